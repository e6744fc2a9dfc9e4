"""Withdrawal of odds that the settings no longer ask for, before anything is scraped."""

from collections.abc import Mapping
from typing import Final, Protocol

import structlog
import trio

from odds_service.detection.withdrawal import Changed
from odds_service.errors import StorageUnavailable
from odds_service.model.asks import Asks
from odds_service.pipeline.detect import Detector

RETRY_S: Final = 1.0  # between attempts to store the asks

log = structlog.get_logger(__name__)


class KeepsAsks(Protocol):
    """The part of the store that keeps asks."""

    async def put_asks(self, asks: Mapping[str, Asks]) -> None:
        """Replace the asks of the last run."""
        ...


class Commits(Protocol):
    """The part of the writer that a withdrawal needs."""

    async def committed(self, revision: int) -> None:
        """Wait until everything up to a revision is stored."""
        ...


async def withdraw_unasked(changed: Changed, detector: Detector) -> int:
    """Withdraw the odds that the settings no longer ask for.

    Args:
        changed: the sources whose settings differ from those of the last run.
        detector: numbers and publishes the changes.

    Returns:
        The revision that must be stored before `remember_asks` stores the asks; 0 if nothing was
        withdrawn.

    Cancellation:
        Some odds may have been withdrawn; the next start withdraws the rest.
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
    during a database outage; scraping does not.

    Args:
        asks: the asks by source.
        revision: the last revision of the withdrawal; 0 if there was none.
        writer: the writer to wait for.
        store: the store for the asks.
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
