"""The contract of a store, whatever the database."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from msgspec import Struct

from odds_service.errors import StorageError
from odds_service.model.asks import Asks
from odds_service.model.change import Change, Commit
from odds_service.model.event import Event
from odds_service.model.market import AtStart, Market
from odds_service.model.scrape_run import ScrapeRun
from odds_service.model.snapshot import BookmakerOdds, EventOdds, EventSource
from odds_service.model.source import SourceState

# A start loads ghosts of events that began at most this long ago, and only the latest of them. A
# ghost's own start can differ from its event's; the reconciler judges by the ghost's.
GHOSTS_SINCE: Final = timedelta(days=2)
MOST_GHOSTS: Final = 50_000

# Called with the progress of long work: what is counted, in the plural, the number so far, and the
# number in all if that is known. Work in stages counts one thing after another.
Report = Callable[[str, int, int | None], None]


def unreported(what: str, done: int, total: int | None) -> None:
    """Ignore progress."""


class Stored(Struct, frozen=True, kw_only=True):
    """The stored state at a start, and the epoch that the start opens.

    Attributes:
        events: events that have not ended, with their live odds.
        ghosts: (event id, source event that departed from it), for events that began recently or
            are still to begin, including ended ones.
        sources: last announced state of each source.
        revision: the durable revision.
        epochs: (epoch, its first revision) in order; the last is the one opened by this start.
        dead_letters: number of dead letters.
        replayed: number of changes stored from the spill file of the last stop.
        misfits: number of changes in that file that did not fit and are now dead letters.
        asks: each source's asks in the last run.
    """

    events: list[EventOdds]
    ghosts: list[tuple[str, EventSource]] = []
    sources: list[SourceState]
    revision: int
    epoch: str
    epochs: list[tuple[str, int]]
    last_detected_at: datetime | None
    database_id: str
    dead_letters: int = 0
    replayed: int = 0
    misfits: int = 0
    asks: dict[str, Asks] = {}


class Opening(Struct, frozen=True, kw_only=True):
    """The kind of a start, and what it accepts.

    Attributes:
        recorded_from: The time of the first recording that an import brings; None for a service.
        adopt: Whether a service accepts a database whose last run was an import.
    """

    recorded_from: datetime | None = None
    adopt: bool = False

    def check(self, *, imported: bool, last_detected_at: datetime | None) -> None:
        """Check the database before an epoch is opened.

        Args:
            imported: Whether its last run was an import.
            last_detected_at: The time of its newest change; None if it has none.

        Raises:
            StorageError: The database holds imported odds that nobody adopted, or its log is
                newer than the recordings.
        """
        first = self.recorded_from
        if first is None:
            if imported and not self.adopt:
                raise StorageError(
                    "the database was filled by `odds-service import`; start with --adopt"
                    " (database.adopt) to put live odds behind the imported ones"
                )
        elif last_detected_at is not None and first <= last_detected_at:
            raise StorageError(
                f"the recordings begin at {first.isoformat()}, and the log of this database"
                f" reaches {last_detected_at.isoformat()} already: nothing can be put before that;"
                " import into a new database, or only what is later (--since)"
            )


class WriteGroup(Struct):
    """The content of one transaction: consecutive commits, and records that need no order."""

    batches: Sequence[Commit] = ()
    confirmations: Sequence[BookmakerOdds] = ()
    runs: Sequence[ScrapeRun] = ()

    @property
    def last_revision(self) -> int | None:
        return self.batches[-1].last_revision if self.batches else None


class HistoryFilter(Struct, frozen=True, kw_only=True):
    """A selection of changes by the rules of the contract's Filter; empty fields do not restrict.

    Changes of events ignore the fields bookmakers, markets and sources; changes of sources obey
    only `sources`.

    Attributes:
        of_markets: False leaves out changes of markets.
        ended: False leaves out the odds that an event's end carries, which can fill megabytes per
            page.
    """

    event_ids: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    bookmakers: frozenset[str] = frozenset()
    markets: frozenset[str] = frozenset()
    of_markets: bool = True
    ended: bool = True


class HistoryPage(Struct, frozen=True):
    """A part of the log, in order.

    Attributes:
        changes: the selected changes.
        upto: revision up to which the page holds every selected change.
        unstored: revisions of changes that the database refused; the filter might have selected
            them or not.
    """

    changes: list[Change]
    upto: int
    unstored: list[int]


# The columns of LogRows, named as in odds_history.
LOG_COLUMNS: Final = (
    "revision", "detected_at", "kind", "reason", "event_id", "source", "bookmaker", "market",
    "line", "participant", "snapshot_id", "observed_at", "before", "after", "other_line", "ended",
)  # fmt: skip


class LogRows(NamedTuple):
    """A part of the log as stored rows, in order, for readers that need no values.

    Attributes:
        rows: the selected rows, with LOG_COLUMNS. Times are datetimes, or microseconds since 1970.
        upto: revision up to which these are all selected rows.
    """

    rows: Sequence[Sequence[Any]]
    upto: int


class Extent(Struct, frozen=True):
    """The log of a database: revisions with floor < revision <= durable."""

    database_id: str
    floor: int
    durable: int


class PastOdds(Struct, frozen=True):
    """The odds as they were at a revision.

    Attributes:
        revision: the revision.
        at: its time; None before the first change.
        unstored: number of unknown changes after it (refused, and dropped from the dead letters).
            Unless it is 0, a market may show the odds from before or after one of them.
    """

    revision: int
    at: datetime | None
    events: list[EventOdds]
    unstored: int


class StartedEvents(Struct, frozen=True, kw_only=True):
    """A selection of events that started before a time; empty fields do not restrict."""

    before: datetime
    event_ids: frozenset[str] = frozenset()
    sports: frozenset[str] = frozenset()
    competitions: frozenset[str] = frozenset()
    start_from: datetime | None = None


class ClosingOdds(Struct, frozen=True):
    """The last OPEN odds of a market before its event's start.

    Attributes:
        confirmed_at: last time at which they were seen true, not after the start.
        at_start: whether they still stood at the start.
        looked_at: last look at the event at or before the start. It is later than confirmed_at if
            the market was gone by then.
        opening: the first OPEN odds of the market; None if the history does not reach back so far.
    """

    event_id: str
    start_time: datetime
    source: str
    bookmaker: str
    market: Market
    confirmed_at: datetime
    at_start: AtStart
    looked_at: datetime
    opening: Market | None = None

    @property
    def offered(self) -> bool:
        """Return whether the market is known to have been offered at the start."""
        return self.at_start is AtStart.OFFERED

    @property
    def age_s(self) -> float:
        """Seconds from the last confirmation to the start."""
        return (self.start_time - self.confirmed_at).total_seconds()


RunPlace = tuple[datetime, str, str]  # started_at, source, listing: the key of a run


class RunsFilter(Struct, frozen=True, kw_only=True):
    """A selection of runs that began at or after `start` and before `end`; None for no bound.

    Attributes:
        sources: the sources; empty for all.
    """

    sources: frozenset[str] = frozenset()
    start: datetime | None = None
    end: datetime | None = None


class RunsPage(Struct, frozen=True):
    """Some runs, the newest first.

    Attributes:
        runs: the runs, without those whose records cannot be read.
        next: the place before which the next page begins; None on the last page.
    """

    runs: list[ScrapeRun]
    next: RunPlace | None


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A change that is missing from the history, with the reason.

    Attributes:
        change: None if it cannot be decoded.
    """

    letter_id: int
    epoch: str
    revision: int
    reason: str
    kept_at: datetime
    attempts: int
    change: Change | None


class Retention(Struct, frozen=True, kw_only=True):
    """Ages at which stored data is deleted; None keeps it for ever.

    Attributes:
        history: changes, with the snapshots and ended events that they refer to.
        runs: records of pulls.
        ended: last odds of ended events, which the history holds as well.
        events: events after their end, with their sources. The history keeps their changes, and
            past odds stay readable, but closing odds of them are not found any more.
        letters: dead letters. Their placeholders stay, and past odds count them as unknown.
    """

    history: timedelta | None = None
    runs: timedelta | None = timedelta(days=30)
    ended: timedelta | None = timedelta(days=1)
    events: timedelta | None = timedelta(days=90)
    letters: timedelta | None = timedelta(days=90)


class Retained(Struct, kw_only=True):
    """Numbers of rows, or of PostgreSQL's partitions, deleted in one round of retention."""

    history: int = 0
    partitions: int = 0
    current: int = 0
    snapshots: int = 0
    events: int = 0
    runs: int = 0
    letters: int = 0


class Verified(Struct, frozen=True):
    """The result of comparing odds_current with the fold of odds_history.

    Attributes:
        markets: number of live markets compared.
        faulty: number of differences.
        faults: descriptions of the first differences.
        unstored: number of placeholders, whose changes no fold can contain.
    """

    markets: int
    revision: int
    faulty: int
    faults: list[str]
    unstored: int


class StoreSize(Struct, frozen=True):
    """The size of a database, and the room where it grows.

    Attributes:
        parts: Part -> its bytes; all parts together are the whole database and its spill.
        folders: Place (`database`, `spill`) -> its folder, for those on this machine.
    """

    parts: Mapping[str, int]
    folders: Mapping[str, Path]


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

        Rows that the filter may select or not, such as placeholders, are among them.

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
            BelowFloor: the history no longer holds the revision, or does not hold it yet.
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
