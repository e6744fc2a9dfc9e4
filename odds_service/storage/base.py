"""What a store promises, whatever the database."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from odds_service.model.change import Change, ChangeBatch
from odds_service.model.scrape_run import ScrapeRun
from odds_service.model.snapshot import BookmakerOdds, EventOdds
from odds_service.model.source import SourceState


class Stored(Struct, frozen=True, kw_only=True):
    """What a start finds, and the epoch that it opens.

    events: the live ones, with their live odds. sources: their last announced states. revision:
    the durable one. epochs: (epoch, its first revision) in their order; the last is this start's.
    """

    events: list[EventOdds]
    sources: list[SourceState]
    revision: int
    epoch: str
    epochs: list[tuple[str, int]]
    last_detected_at: datetime | None


class WriteGroup(Struct):
    """What one transaction stores: consecutive batches, and the records that need no order."""

    batches: Sequence[ChangeBatch] = ()
    confirmations: Sequence[BookmakerOdds] = ()
    runs: Sequence[ScrapeRun] = ()

    @property
    def last_revision(self) -> int | None:
        return self.batches[-1].last_revision if self.batches else None


class Store(Protocol):
    """One database, owned by one process at a time; to be used inside an open bridge."""

    async def begin(self) -> Stored:
        """Open a new epoch and read what there is. Raises StorageError, StorageUnavailable."""
        ...

    async def write(self, group: WriteGroup) -> None:
        """Store a group in one transaction, whole or not at all; a repeat changes nothing.

        Raises StorageUnavailable (try again), Superseded (another process took over). Cancelled,
        it may have been stored or not: write it again.
        """
        ...

    async def history(self, after: int, upto: int, limit: int) -> list[Change]:
        """Stored changes with after < revision <= upto, in order, at most `limit`.

        Raises StorageUnavailable.
        """
        ...

    async def oldest_revision(self) -> int | None:
        """The oldest revision in history, None when there is none."""
        ...
