"""The contract of a store, whatever the database."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from odds_service.model.asks import Asks
from odds_service.model.change import Change, Commit
from odds_service.model.event import Event
from odds_service.model.source import SourceState
from odds_service.store.log_values import Extent, HistoryFilter, HistoryPage, LogRows, WriteGroup
from odds_service.store.past import (
    ClosingOdds,
    PastOdds,
    RunPlace,
    RunsFilter,
    RunsPage,
    StartedEvents,
)
from odds_service.store.starting import Fence, Opening, Report, Stored, unreported
from odds_service.store.upkeep import DeadLetter, Retained, Retention, StoreSize, Verified


class Store(Protocol):
    """A database owned by one process at a time; use it inside an open bridge.

    All methods raise StorageUnavailable while the database does not answer.
    """

    async def begin(self, opening: Opening = Opening()) -> Stored:  # immutable
        """Store the spill of the last stop, open a new epoch and return the stored state.

        Args:
            opening: the kind of the start.

        Raises:
            StorageError: the spill cannot be read, or `opening` does not accept the database.
        """
        ...

    async def fence(self) -> Fence:
        """Bar the former owner from writing, and return the position of its log.

        This is begin() in steps, for an owner whose log on the bus may hold more than the database:
        fence(), store_surplus() and open_epoch() as often as needed, then load().
        """
        ...

    async def store_surplus(self, epoch: str, commits: Sequence[Commit]) -> int:
        """Store commits of the former owner that it could not store itself; skip stored revisions.

        Args:
            epoch: the epoch that numbered them.
            commits: consecutive commits, the first of which begins at or before the revision after
                the durable one.

        Returns:
            The number of changes that the database refused; they are now dead letters.

        Raises:
            StorageError: there is a hole between the durable revision and the commits, or among
                them.
            ForeignSurplus: the database does not know the epoch, or went on in a later one.
            Superseded: another process took over the database.

        Cancellation:
            A part may have been stored. Repeat it.
        """
        ...

    async def open_epoch(self, opening: Opening = Opening()) -> list[tuple[str, int]]:
        """Store the spill of the last stop, and open the fenced epoch after the durable revision.

        After more surplus, call it again.

        Args:
            opening: the kind of the start.

        Returns:
            (epoch, its first revision) in order; the last is the fenced one.

        Raises:
            StorageError: the spill cannot be read, or `opening` does not accept the database.
            Superseded: another process took over the database.
        """
        ...

    async def load(self) -> Stored:
        """Return the stored state in the opened epoch.

        Raises:
            Superseded: another process took over the database.
        """
        ...

    async def warm(self) -> Stored:
        """Return the stored state beside the owner, as of one moment; store nothing.

        Raises:
            StorageUnavailable: as for any method, and before the first start on the database.
        """
        ...

    async def renew(self) -> None:
        """Tell a standby that this owner lives, for the next LEASE_S; call it every second.

        An owner that never calls it is never ended by a standby. If the lock was lost, this takes
        it again, unless another process has taken over meanwhile.

        Raises:
            StorageUnavailable: as for any method, and while another session holds the lock.
            Superseded: another process took over the database.
        """
        ...

    async def write(self, group: WriteGroup) -> int:
        """Store a group in one transaction, whole or not at all; repeating it changes nothing.

        A group that spans very many days takes several transactions, in order. A repeat continues
        after the last one that was committed.

        Returns:
            The number of its changes that the database refused; they are now dead letters.

        Raises:
            Superseded: another process took over the database.

        Cancellation:
            The group may or may not have been stored. Write it again.
        """
        ...

    async def put_asks(self, asks: Mapping[str, Asks]) -> None:
        """Replace the stored asks of all sources.

        Raises:
            Superseded: another process took over the database.
        """
        ...

    @property
    def wal_bytes(self) -> int | None:
        """The size of the write-ahead log that the service keeps (SQLite), after the last write.

        None for a store that keeps none. Thread-safe.
        """
        ...

    def spill(self, batches: Sequence[Commit]) -> str:
        """Save commits that could not be written to a file for the next start; return its name.

        Blocks until they are on the disk. Raises OSError.
        """
        ...

    async def history(self, after: int, upto: int, limit: int) -> list[Change]:
        """Return stored changes with after < revision <= upto, in order.

        Revisions without a stored change are left out. A caller that needs every revision has to
        look for gaps.

        Args:
            after: revision after which to begin.
            upto: last revision of interest.
            limit: bound of the number of changes.
        """
        ...

    async def history_page(
        self, after: int, upto: int, limit: int, only: HistoryFilter = HistoryFilter()
    ) -> HistoryPage:
        """Like history(), for the changes that a filter selects; the page names the gaps.

        A page never reaches beyond what this database holds, which may be less than the owner has
        stored: on a hot standby it may end where it begins.

        Args:
            after: revision after which the page begins.
            upto: last revision of interest.
            limit: bound of the number of changes and gaps.
            only: the filter.
        """
        ...

    async def extent(self) -> Extent:
        """Return the identity of the database and the extent of its log."""
        ...

    async def log_rows(
        self, after: int, upto: int, limit: int, only: HistoryFilter = HistoryFilter()
    ) -> LogRows:
        """Return stored rows with after < revision <= upto that a filter selects, in order.

        Rows that the filter may select or not, such as placeholders, are among them. They reach no
        farther than those of history_page().

        Args:
            after: revision after which to begin.
            upto: last revision of interest.
            limit: bound of the number of rows.
            only: the filter.

        Raises:
            BelowFloor: the history no longer holds the first of them.
        """
        ...

    async def source_rows(self, after: int, upto: int) -> LogRows:
        """Like log_rows(), for all changes of sources."""
        ...

    async def event_texts(self, event_ids: Sequence[str], revision: int) -> dict[str, str]:
        """Return events as JSON text, as of a revision, by id; without those that are unknown.

        An event without a change up to the revision is described by the earliest text known.
        """
        ...

    async def oldest_revision(self) -> int:
        """Return the first revision in the history; if empty, the first that it will hold."""
        ...

    async def revision_at(self, at: datetime) -> int:
        """Return the last revision detected at or before a time, by the wall clock.

        Raises:
            BelowFloor: the history does not reach back to that time.
        """
        ...

    async def odds_at(
        self, revision: int, event_ids: Sequence[str] = (), at: datetime | None = None
    ) -> PastOdds:
        """Return the odds as of a revision.

        Args:
            revision: the last revision that counts.
            event_ids: the events to return; empty for all.
            at: the time up to which confirmations count; the time of the revision by default.

        Raises:
            BelowFloor: the history no longer holds the revision.
            StorageUnavailable: as for any method, and if the database does not hold it yet.
        """
        ...

    async def sources_at(self, revision: int, at: datetime) -> list[SourceState]:
        """Return the states of the sources at a time in the past.

        Args:
            revision: the last revision at that time.
            at: the time.
        """
        ...

    async def started_events(
        self, only: StartedEvents, after: tuple[datetime, str] | None, limit: int
    ) -> list[Event]:
        """Return events in the order of (start time, id).

        Args:
            only: the selection.
            after: (start time, id) of the last event already returned; None for the first page.
            limit: bound of the number of events.
        """
        ...

    async def closing_odds(self, event_ids: Sequence[str]) -> list[ClosingOdds]:
        """Return the closing odds of events, as far as the history reaches back."""
        ...

    async def runs(self, only: RunsFilter, before: RunPlace | None, limit: int) -> RunsPage:
        """Return stored runs in descending order of their places.

        Args:
            only: the selection.
            before: the place before which the page begins; None for the newest run.
            limit: bound of the number of runs.
        """
        ...

    async def dead_letters(self, after: int = 0, limit: int = 1_000) -> list[DeadLetter]:
        """Return at most `limit` dead letters with ids above `after`, in order."""
        ...

    async def count_dead_letters(self) -> int:
        """Return the number of dead letters."""
        ...

    async def retry_dead_letter(self, letter_id: int) -> str:
        """Try to store a letter's change; return the reason of a refusal, empty on success."""
        ...

    async def drop_dead_letter(self, letter_id: int) -> bool:
        """Delete a letter but not its placeholder; return whether the letter existed."""
        ...

    async def retain(self, policy: Retention, now: datetime) -> Retained:
        """Delete old data in short transactions; create PostgreSQL's partitions in advance.

        Args:
            policy: the ages at which data is deleted.
            now: the present time.

        Cancellation:
            Completed transactions stand; the rest is left to the next round.
        """
        ...

    async def size(self) -> StoreSize | None:
        """Return the size of the database; None for a store that holds no bytes outside memory."""
        ...

    async def verify(self, report: Report = unreported) -> Verified:
        """Compare odds_current with the fold of odds_history; `report` gets the progress."""
        ...
