"""The withdrawal of what the settings ask for no more: at a start, before anything is scraped."""

from collections.abc import Mapping
from typing import Final, Protocol

import structlog
import trio

from odds_service.detection.withdrawal import Changed
from odds_service.errors import StorageUnavailable
from odds_service.model.asks import Asks
from odds_service.pipeline.detect import Detector

RETRY_S: Final = 1.0  # between two attempts to store what is asked for

log = structlog.get_logger(__name__)


class KeepsAsks(Protocol):
    """The part of a store that this needs."""

    async def put_asks(self, asks: Mapping[str, Asks]) -> None: ...


class Commits(Protocol):
    """The part of the writer that this needs."""

    async def committed(self, revision: int) -> None: ...


async def withdraw_unasked(changed: Changed, detector: Detector) -> int:
    """Withdraw what no source is asked for any more.

    Args:
        changed: the sources whose settings differ from the last run's.
        detector: numbers and publishes the changes.

    Returns: the revision up to which the log has to be stored before `remember_asks`.

    Cancelled, it has withdrawn some; the next start goes on.
    """
    if not changed:
        return 0
    changes, revision = await detector.withdraw(changed)
    if changes:
        log.info("withdrawn", changes=changes, sources=sorted(changed))
    return revision if changes else 0


async def remember_asks(
    asks: Mapping[str, Asks], revision: int, writer: Commits, store: KeepsAsks
) -> None:
    """Store what the sources are asked for, once the withdrawal is stored.

    A crash in between repeats the comparison at the next start, which finds what is left to
    withdraw. While the database is away this waits; scraping does not.

    Args:
        asks: what each source is asked for now.
        revision: the last change of the withdrawal; 0: there was none.
        writer: tells when it is stored.
        store: keeps `asks`.
    """
    if revision:
        await writer.committed(revision)
    while True:
        try:
            await store.put_asks(asks)
        except StorageUnavailable as error:
            log.warning("asks_not_stored", reason=str(error))
            await trio.sleep(RETRY_S)
        else:
            return
