"""The promises of a store, whatever the database."""

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

# A start reads the ghosts of events that began since, and not more of them. A ghost's own start can
# differ from its event's; the reconciler judges by that.
GHOSTS_SINCE: Final = timedelta(days=2)
MOST_GHOSTS: Final = 50_000


class Stored(Struct, frozen=True, kw_only=True):
    """The stored state at a start, and the epoch that the start opens.

    events: the live ones, with their live odds. ghosts: (event id, source event that departed from
    it), of events that began lately or have yet to begin, ended ones among them. sources: their
    last announced states. revision: the durable one. epochs: (epoch, its first revision) in their
    order; the last is this start's.
    dead_letters: how many are kept. replayed: changes stored from the last stop's spill file;
    misfits: changes of it that did not fit and are dead letters now. asks: what each source was
    asked for in the last run.
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
    """The content of one transaction: consecutive commits, and the records that need no order."""

    batches: Sequence[Commit] = ()
    confirmations: Sequence[BookmakerOdds] = ()
    runs: Sequence[ScrapeRun] = ()

    @property
    def last_revision(self) -> int | None:
        return self.batches[-1].last_revision if self.batches else None


class HistoryFilter(Struct, frozen=True, kw_only=True):
    """A selection of changes by the rules of the contract's Filter; empty fields do not restrict.

    Changes of events pass those of bookmakers, markets and sources, changes of sources all but
    that of sources. of_markets: False leaves changes of markets out. ended: False leaves out what
    the bookmakers showed until an event's end, which is megabytes in a page of such changes.
    """

    event_ids: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    bookmakers: frozenset[str] = frozenset()
    markets: frozenset[str] = frozenset()
    of_markets: bool = True
    ended: bool = True


class HistoryPage(Struct, frozen=True):
    """A stretch of the log, in order.

    upto: the page holds every selected change up to here. unstored: revisions of changes that the
    database refused; the filter might have selected them or not.
    """

    changes: list[Change]
    upto: int
    unstored: list[int]


class PastOdds(Struct, frozen=True):
    """The odds as they were at a revision, with its time (None before the first change).

    unstored: how many changes after it are unknown (refused, and dropped from the dead letters);
    where it is not 0, a market may show the odds from before or after one of them.
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

    confirmed_at: the last time they were seen true, the start at the latest. offered: they stood
    until the start; else the market had been suspended or removed by then.
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
    """A change that is not in the history, with the reason.

    change: None where it cannot be read back.
    """

    letter_id: int
    epoch: str
    revision: int
    reason: str
    kept_at: datetime
    attempts: int
    change: Change | None


class Retention(Struct, frozen=True, kw_only=True):
    """The ages at which stored things are deleted; None keeps them for ever.

    history: changes, and the snapshots and ended events that they refer to. runs: the records of
    pulls. ended: the last odds of events that ended, which the history holds as well.
    """

    history: timedelta | None = None
    runs: timedelta | None = timedelta(days=30)
    ended: timedelta | None = timedelta(days=1)


class Retained(Struct, kw_only=True):
    """The rows, or partitions of PostgreSQL's history, that one round of retention deleted."""

    history: int = 0
    partitions: int = 0
    current: int = 0
    snapshots: int = 0
    events: int = 0
    runs: int = 0


class Verified(Struct, frozen=True):
    """The result of comparing odds_current with the fold of odds_history.

    markets: number of live markets compared. faulty: number of differences; faults: the first of
    them in words. unstored: number of placeholders, whose changes no fold can contain.
    """

    markets: int
    revision: int
    faulty: int
    faults: list[str]
    unstored: int


class Store(Protocol):
    """One database, owned by one process at a time; to be used inside an open bridge.

    All functions raise StorageUnavailable when the database does not answer now.
    """

    async def begin(self) -> Stored:
        """Store the last stop's spill, open a new epoch, read what there is.

        Raises StorageError.
        """
        ...

    async def write(self, group: WriteGroup) -> int:
        """Store a group in one transaction, whole or not at all; a repeat changes nothing.

        A group of very many days is stored in several, in order; a repeat goes on after the last.

        Returns:
            The number of its changes that the database refused; they are dead letters now.

        Raises:
            Superseded: another process took over.

        Cancellation:
            The group may have been stored or not. Write it again.
        """
        ...

    async def put_asks(self, asks: Mapping[str, Asks]) -> None:
        """Replace the stored record of what each source is asked for.

        Raises:
            Superseded: another process took over.
        """
        ...

    def spill(self, batches: Sequence[Commit]) -> str:
        """Keep commits that could not be written in a file for the next start; return its name.

        Blocks until they are on the disk. Raises OSError.
        """
        ...

    async def history(self, after: int, upto: int, limit: int) -> list[Change]:
        """Return stored changes with after < revision <= upto, in order, at most `limit`.

        Revisions without a stored change are left out. A caller that needs every revision has to
        look for holes.
        """
        ...

    async def history_page(
        self, after: int, upto: int, limit: int, only: HistoryFilter = HistoryFilter()
    ) -> HistoryPage:
        """Like history(), for the changes that a filter selects; names the holes."""
        ...

    async def oldest_revision(self) -> int:
        """Return the first revision that history holds, or will hold when it is empty."""
        ...

    async def revision_at(self, at: datetime) -> int:
        """Return the last revision whose wall clock was at or before a time.

        Raises:
            BelowFloor: history does not reach back to that time.
        """
        ...

    async def odds_at(
        self, revision: int, event_ids: Sequence[str] = (), at: datetime | None = None
    ) -> PastOdds:
        """Return the odds as of a revision.

        Args:
            revision: the revision; changes up to it count.
            event_ids: the events to return; all of them where empty.
            at: the time as of which odds were confirmed; by default the revision's own.

        Raises:
            BelowFloor: history does not hold the revision any more, or not yet.
        """
        ...

    async def sources_at(self, revision: int, at: datetime) -> list[SourceState]:
        """Return the sources as of a revision, which was the last one at a time."""
        ...

    async def started_events(
        self, only: StartedEvents, after: tuple[datetime, str] | None, limit: int
    ) -> list[Event]:
        """Return events in the order of (start time, id), after such a place, at most `limit`."""
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
        """Delete what is too old in short transactions; make PostgreSQL's partitions ahead.

        Cancellation:
            Finished transactions stand; the rest waits for the next round.
        """
        ...

    async def verify(self) -> Verified:
        """Compare odds_current with the fold of odds_history."""
        ...
