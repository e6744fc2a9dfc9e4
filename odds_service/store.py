"""What a store promises, whatever the database."""

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
    """What a start finds, and the epoch that it opens.

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
    """What one transaction stores: consecutive batches, and the records that need no order."""

    batches: Sequence[Commit] = ()
    confirmations: Sequence[BookmakerOdds] = ()
    runs: Sequence[ScrapeRun] = ()

    @property
    def last_revision(self) -> int | None:
        return self.batches[-1].last_revision if self.batches else None


class HistoryFilter(Struct, frozen=True, kw_only=True):
    """Which changes, by the rules of the contract's Filter; a field left empty does not restrict.

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
    """Some of the log, in order.

    upto: everything that the filter selects up to here is in it. unstored: revisions of changes
    that the database refused; whether the filter would have selected them is not known.
    """

    changes: list[Change]
    upto: int
    unstored: list[int]


class PastOdds(Struct, frozen=True):
    """The odds as they were at a revision, and when that was (None before the first change).

    unstored: how many changes after it are unknown (refused, and dropped from the dead letters);
    where it is not 0, a market may show the odds from before or after one of them.
    """

    revision: int
    at: datetime | None
    events: list[EventOdds]
    unstored: int


class StartedEvents(Struct, frozen=True, kw_only=True):
    """Which events that began before a time; a field left empty does not restrict."""

    before: datetime
    event_ids: frozenset[str] = frozenset()
    sports: frozenset[str] = frozenset()
    competitions: frozenset[str] = frozenset()
    start_from: datetime | None = None


class ClosingOdds(Struct, frozen=True):
    """The last OPEN odds of a market before its event's start.

    confirmed_at: when they were last seen true, the start at the latest. offered: whether they
    stood until the start (else the market had been suspended or removed by then).
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
    """A change that is not in the history, and why. change: None where it cannot be read back."""

    letter_id: int
    epoch: str
    revision: int
    reason: str
    kept_at: datetime
    attempts: int
    change: Change | None


class Retention(Struct, frozen=True, kw_only=True):
    """How long things are kept; None for ever.

    history: changes, and the snapshots and ended events that they refer to. runs: the records of
    pulls. ended: the last odds of events that ended, which the history holds as well.
    """

    history: timedelta | None = None
    runs: timedelta | None = timedelta(days=30)
    ended: timedelta | None = timedelta(days=1)


class Retained(Struct, kw_only=True):
    """How many rows (on PostgreSQL: partitions of the history) one round of retention took out."""

    history: int = 0
    partitions: int = 0
    current: int = 0
    snapshots: int = 0
    events: int = 0
    runs: int = 0


class Verified(Struct, frozen=True):
    """odds_current beside the fold of odds_history.

    markets: how many live ones were compared. faults: what differs, in words, at most some; faulty:
    how many differ. unstored: placeholders, whose changes no fold can contain.
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

        Gives how many of its changes the database refused: they are dead letters now.
        Raises Superseded (another process took over). Cancelled, it may have been stored or not:
        write it again.
        """
        ...

    async def put_asks(self, asks: Mapping[str, Asks]) -> None:
        """Remember what each source is asked for, in place of what was stored.

        Raises Superseded.
        """
        ...

    def spill(self, batches: Sequence[Commit]) -> str:
        """Keep batches that could not be written in a file for the next start; gives its name.

        Blocks until they are on the disk. Raises OSError.
        """
        ...

    async def history(self, after: int, upto: int, limit: int) -> list[Change]:
        """Stored changes with after < revision <= upto, in order, at most `limit`.

        Revisions without a stored change are left out: who counts on all of them looks for holes.
        """
        ...

    async def history_page(
        self, after: int, upto: int, limit: int, only: HistoryFilter = HistoryFilter()
    ) -> HistoryPage:
        """Like `history`, of the changes that a filter selects, with its holes named."""
        ...

    async def oldest_revision(self) -> int:
        """The first revision that history still holds, or will hold when it is empty."""
        ...

    async def revision_at(self, at: datetime) -> int:
        """The last revision whose wall clock was at or before a time, as far as history reaches.

        Raises BelowFloor for a time before that.
        """
        ...

    async def odds_at(
        self, revision: int, event_ids: Sequence[str] = (), at: datetime | None = None
    ) -> PastOdds:
        """The odds as of a revision, of all events or of some.

        at: what was seen later is not told; None for when the revision was detected.
        Raises BelowFloor where history does not reach back so far, or not up to there yet.
        """
        ...

    async def sources_at(self, revision: int, at: datetime) -> list[SourceState]:
        """The sources as of a revision that was the last one at a time, as far as history tells."""
        ...

    async def started_events(
        self, only: StartedEvents, after: tuple[datetime, str] | None, limit: int
    ) -> list[Event]:
        """Known events in the order of (start, id), from after such a place on, at most `limit`."""
        ...

    async def closing_odds(self, event_ids: Sequence[str]) -> list[ClosingOdds]:
        """The closing odds of events, as far as history reaches back."""
        ...

    async def dead_letters(self, after: int = 0, limit: int = 1_000) -> list[DeadLetter]:
        """Kept letters with a higher id than `after`, in order, at most `limit`."""
        ...

    async def count_dead_letters(self) -> int:
        """How many letters are kept."""
        ...

    async def retry_dead_letter(self, letter_id: int) -> str:
        """Try to store a letter's change in its place; gives why not, empty when it is stored."""
        ...

    async def drop_dead_letter(self, letter_id: int) -> bool:
        """Forget a letter; its placeholder stays. Whether there was one."""
        ...

    async def retain(self, policy: Retention, now: datetime) -> Retained:
        """Take out what is too old, in short transactions; on PostgreSQL also make partitions
        ahead. Cancelled, what was taken out is gone, the rest waits for the next round.
        """
        ...

    async def verify(self) -> Verified:
        """Compare odds_current with the fold of odds_history."""
        ...
