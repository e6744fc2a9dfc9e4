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


async def withdraw_unasked(
    changed: Changed,
    asks: Mapping[str, Asks],
    detector: Detector,
    writer: Commits,
    store: KeepsAsks,
) -> None:
    """Withdraw what no source is asked for any more, then remember what they are asked for.

    What is asked for is stored last, once the withdrawal is: a crash in between repeats the
    comparison at the next start, and finds only what is left to withdraw. With equal settings
    nothing is read or written.

    Args:
        changed: the sources whose settings differ from the last run's.
        asks: what each source is asked for now.
        detector: numbers and publishes the changes.
        writer: tells when they are stored.
        store: keeps `asks`.

    Cancelled, it has withdrawn some; the next start goes on.
    """
    if not changed:
        return
    changes, revision = await detector.withdraw(changed)
    if changes:
        log.info("withdrawn", changes=changes, sources=sorted(changed))
        await writer.committed(revision)
    while True:
        try:
            await store.put_asks(asks)
        except StorageUnavailable as error:
            log.warning("asks_not_stored", reason=str(error))
            await trio.sleep(RETRY_S)
        else:
            return
