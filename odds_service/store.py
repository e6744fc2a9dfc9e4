"""The interface of a store, independent of the database."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from msgspec import Struct

from odds_service.model.asks import Asks
from odds_service.model.change import Change, Commit
from odds_service.model.event import Event
from odds_service.model.market import Market
from odds_service.model.scrape_run import ScrapeRun
from odds_service.model.snapshot import BookmakerOdds, EventOdds, EventSource
from odds_service.model.source import SourceState

# At a start, only ghosts of events that began within this time are read, up to MOST_GHOSTS. A
# ghost's own start time can differ from its event's; the reconciler judges by the ghost's.
GHOSTS_SINCE: Final = timedelta(days=2)
MOST_GHOSTS: Final = 50_000


class Stored(Struct, frozen=True, kw_only=True):
    """The stored state at a start, and the epoch that the start opens.

    Attributes:
        events: The live events, with their live odds.
        ghosts: (event id, source event that departed from it), for events that began recently or
            have yet to begin, ended ones included.
        sources: The last announced states of sources.
        revision: The durable revision.
        epochs: (epoch, its first revision) in order; the last one belongs to this start.
        dead_letters: The number of dead letters kept.
        replayed: The number of changes stored from the last stop's spill file.
        misfits: The number of changes in that file that did not fit and are now dead letters.
        asks: Source -> its asks in the last run.
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


class WriteGroup(Struct):
    """The content of one transaction: consecutive commits, and records without an order."""

    batches: Sequence[Commit] = ()
    confirmations: Sequence[BookmakerOdds] = ()
    runs: Sequence[ScrapeRun] = ()

    @property
    def last_revision(self) -> int | None:
        return self.batches[-1].last_revision if self.batches else None


class HistoryFilter(Struct, frozen=True, kw_only=True):
    """A selection of changes by the rules of the contract's Filter; empty fields do not restrict.

    Bookmakers, markets and sources do not restrict changes of events. Only sources restrict
    changes of sources.

    Attributes:
        of_markets: Whether changes of markets are included.
        ended: Whether each event's end carries the bookmakers' last odds, which amount to
            megabytes in a page of such changes.
    """

    event_ids: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    bookmakers: frozenset[str] = frozenset()
    markets: frozenset[str] = frozenset()
    of_markets: bool = True
    ended: bool = True


class HistoryPage(Struct, frozen=True):
    """A stretch of the log, in order.

    Attributes:
        upto: The page holds every selected change up to here.
        unstored: The revisions of changes that the database refused, whether or not the filter
            would have selected them.
    """

    changes: list[Change]
    upto: int
    unstored: list[int]


class PastOdds(Struct, frozen=True):
    """The odds as of a revision, with its time (None before the first change).

    Attributes:
        unstored: The number of later changes that are unknown (refused, and dropped from the dead
            letters). If it is not 0, a market may show the odds from before or after one of them.
    """

    revision: int
    at: datetime | None
    events: list[EventOdds]
    unstored: int


class StartedEvents(Struct, frozen=True, kw_only=True):
    """A selection of events that began before a time; empty fields do not restrict."""

    before: datetime
    event_ids: frozenset[str] = frozenset()
    sports: frozenset[str] = frozenset()
    competitions: frozenset[str] = frozenset()
    start_from: datetime | None = None


class ClosingOdds(Struct, frozen=True):
    """The last OPEN odds of a market before its event's start.

    Attributes:
        confirmed_at: The last time at which they were seen true, the start at the latest.
        offered: Whether they stood until the start; if not, the market had been suspended or
            removed by then.
    """

    event_id: str
    start_time: datetime
    source: str
    bookmaker: str
    market: Market
    confirmed_at: datetime
    offered: bool

    @property
    def age_s(self) -> float:
        """Seconds from the last confirmation to the start."""
        return (self.start_time - self.confirmed_at).total_seconds()


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A change that is missing from history, with the reason.

    Attributes:
        change: The change; None if it cannot be read back.
    """

    letter_id: int
    epoch: str
    revision: int
    reason: str
    kept_at: datetime
    attempts: int
    change: Change | None


class Retention(Struct, frozen=True, kw_only=True):
    """The ages at which stored rows are deleted; None keeps them for ever.

    Attributes:
        history: The age of changes, and of the snapshots and ended events that they refer to.
        runs: The age of the records of fetches.
        ended: The age of the last odds of ended events, which history holds as well.
    """

    history: timedelta | None = None
    runs: timedelta | None = timedelta(days=30)
    ended: timedelta | None = timedelta(days=1)


class Retained(Struct, kw_only=True):
    """The number of rows, or partitions of PostgreSQL's history, deleted by one retention round."""

    history: int = 0
    partitions: int = 0
    current: int = 0
    snapshots: int = 0
    events: int = 0
    runs: int = 0


class Verified(Struct, frozen=True):
    """The result of comparing odds_current with the fold of odds_history.

    Attributes:
        markets: The number of live markets compared.
        faulty: The number of differences.
        faults: Descriptions of the first differences.
        unstored: The number of placeholders, whose changes no fold can contain.
    """

    markets: int
    revision: int
    faulty: int
    faults: list[str]
    unstored: int


class Store(Protocol):
    """One database, owned by one process at a time, for use inside an open bridge.

    All functions raise StorageUnavailable if the database does not answer.
    """

    async def begin(self) -> Stored:
        """Store the last stop's spill, open a new epoch and read the stored state.

        Raises StorageError.
        """
        ...

    async def write(self, group: WriteGroup) -> int:
        """Store a group in one transaction, whole or not at all; a repeat changes nothing.

        A group that spans very many days takes several transactions, in order; a repeat continues
        after the last one committed.

        Returns:
            The number of changes that the database refused, which are now dead letters.

        Raises:
            Superseded: another process took over.

        Cancellation:
            The group may or may not have been stored. Write it again.
        """
        ...

    async def put_asks(self, asks: Mapping[str, Asks]) -> None:
        """Replace the stored record of what each source is asked for.

        Raises:
            Superseded: another process took over.
        """
        ...

    def spill(self, batches: Sequence[Commit]) -> str:
        """Save unwritten commits in a file for the next start, and return its name.

        Blocks until they are on disk. Raises OSError.
        """
        ...

    async def history(self, after: int, upto: int, limit: int) -> list[Change]:
        """Return stored changes with after < revision <= upto, in order, at most `limit`.

        Revisions without a stored change are left out. A caller that needs every revision must
        check for gaps.
        """
        ...

    async def history_page(
        self, after: int, upto: int, limit: int, only: HistoryFilter = HistoryFilter()
    ) -> HistoryPage:
        """Return a page of the changes that a filter selects, with the unstored revisions named."""
        ...

    async def oldest_revision(self) -> int:
        """Return the first revision in history, or the next revision if history is empty."""
        ...

    async def revision_at(self, at: datetime) -> int:
        """Return the last revision whose wall clock was at or before a time.

        Raises:
            BelowFloor: History does not reach back to that time.
        """
        ...

    async def odds_at(
        self, revision: int, event_ids: Sequence[str] = (), at: datetime | None = None
    ) -> PastOdds:
        """Return the odds as of a revision.

        Args:
            revision: The last revision to include.
            event_ids: The events to return; empty for all.
            at: The time as of which odds were confirmed; by default the revision's own.

        Raises:
            BelowFloor: History no longer holds the revision, or does not hold it yet.
        """
        ...

    async def sources_at(self, revision: int, at: datetime) -> list[SourceState]:
        """Return the sources as of a revision, which must be the last one at time `at`."""
        ...

    async def started_events(
        self, only: StartedEvents, after: tuple[datetime, str] | None, limit: int
    ) -> list[Event]:
        """Return at most `limit` events after a (start time, id), in that order."""
        ...

    async def closing_odds(self, event_ids: Sequence[str]) -> list[ClosingOdds]:
        """Return the closing odds of events, as far as history reaches back."""
        ...

    async def dead_letters(self, after: int = 0, limit: int = 1_000) -> list[DeadLetter]:
        """Return dead letters with ids above `after`, in order, at most `limit`."""
        ...

    async def count_dead_letters(self) -> int:
        """Return the number of dead letters."""
        ...

    async def retry_dead_letter(self, letter_id: int) -> str:
        """Try to store a letter's change; return the reason for a refusal, empty on success."""
        ...

    async def drop_dead_letter(self, letter_id: int) -> bool:
        """Delete a letter, but not its placeholder; return whether there was such a letter."""
        ...

    async def retain(self, policy: Retention, now: datetime) -> Retained:
        """Delete old rows in short transactions, and create PostgreSQL's next partitions.

        Cancellation:
            Committed transactions stand; the rest is left for the next round.
        """
        ...

    async def verify(self) -> Verified:
        """Compare odds_current with the fold of odds_history."""
        ...
