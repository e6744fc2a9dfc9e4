"""Withdrawal of odds that the settings no longer ask for, before anything is scraped."""

from collections.abc import Mapping
from typing import Final, Protocol

import structlog
import trio

from odds_service.detection.withdrawal import Changed
from odds_service.errors import StorageUnavailable
from odds_service.model.asks import Asks
from odds_service.pipeline.detect import Detector

RETRY_S: Final = 1.0  # between two attempts to store the asks

log = structlog.get_logger(__name__)


class KeepsAsks(Protocol):
    """A store that keeps asks."""

    async def put_asks(self, asks: Mapping[str, Asks]) -> None:
        """Replace the asks of the last run."""
        ...


class Commits(Protocol):
    """A writer that can be waited for."""

    async def committed(self, revision: int) -> None:
        """Wait until everything up to a revision is stored."""
        ...


async def withdraw_unasked(changed: Changed, detector: Detector) -> int:
    """Withdraw the odds that no source is asked for any more.

    Args:
        changed: the sources whose settings differ from those of the last run.
        detector: numbers and publishes the changes.

    Returns:
        The revision that has to be stored before `remember_asks` stores the asks; 0 where nothing
        was withdrawn.

    Cancellation:
        A part may have been withdrawn; the next start withdraws the rest.
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
    """Store the asks of this run, once the withdrawal is stored.

    After a crash in between, the next start compares again and withdraws the rest. This waits
    while the database is away; scraping does not.

    Args:
        asks: the asks of each source.
        revision: the last change of the withdrawal; 0 where there was none.
        writer: tells when that change is stored.
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
