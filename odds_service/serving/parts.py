"""The parts of the service that the gRPC server uses, as narrow protocols."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol, runtime_checkable

from msgspec import Struct, field

from odds_service.bridge import TrioGate
from odds_service.cache import OddsCache
from odds_service.certificates import Guard
from odds_service.config import ServerSettings
from odds_service.delays import Delays
from odds_service.feed import ChangeFeed
from odds_service.model.change import Change
from odds_service.model.event import Event
from odds_service.model.market_types import MarketType
from odds_service.model.refresh import RefreshOutcome
from odds_service.model.reload import Reloaded
from odds_service.model.snapshot import EventOdds, Reading
from odds_service.model.source import SourceState
from odds_service.status import ServiceStatus, UnmappedReport
from odds_service.store import (
    ClosingOdds,
    Extent,
    HistoryFilter,
    HistoryPage,
    LogRows,
    RunPlace,
    RunsFilter,
    RunsPage,
    StartedEvents,
)


class History(Protocol):
    """The stored log, a subset of store.Store; all functions run under Trio."""

    async def history(self, after: int, upto: int, limit: int) -> Sequence[Change]:
        """Return at most `limit` changes with after < revision <= upto, in order."""
        ...

    async def history_page(
        self, after: int, upto: int, limit: int, only: HistoryFilter = ...
    ) -> HistoryPage:
        """Return a page of the changes that a filter selects, with the gaps named."""
        ...

    async def oldest_revision(self) -> int:
        """Return the first stored revision, or the next revision if none is stored."""
        ...


@runtime_checkable
class StoredRows(Protocol):
    """A store whose rows can be read as they are; both functions run under Trio."""

    async def log_rows(
        self, after: int, upto: int, limit: int, only: HistoryFilter = ...
    ) -> LogRows:
        """Return stored rows in order. Raises BelowFloor."""
        ...

    async def event_texts(self, event_ids: Sequence[str], revision: int) -> dict[str, str]:
        """Return events as JSON text, as of a revision."""
        ...


@runtime_checkable
class Bounded(Protocol):
    """A store that tells the extent of its log; the function runs under Trio."""

    async def extent(self) -> Extent:
        """Return the revisions that it holds."""
        ...


class OddsAsOf(Protocol):
    """Odds as of a past revision, and `at`, its detection time (None before the first change).

    `unstored` is the number of later changes that are unknown; see store.PastOdds.
    """

    @property
    def revision(self) -> int: ...
    @property
    def at(self) -> datetime | None: ...
    @property
    def events(self) -> Sequence[EventOdds]: ...
    @property
    def unstored(self) -> int: ...


@runtime_checkable
class Past(Protocol):
    """A store that also holds past odds.

    Its functions run under Trio, and raise BelowFloor for a place before the floor.
    """

    async def revision_at(self, at: datetime) -> int:
        """Return the last revision detected at or before a time."""
        ...

    async def odds_at(
        self, revision: int, event_ids: Sequence[str] = (), at: datetime | None = None
    ) -> OddsAsOf:
        """Return odds as of a revision.

        Args:
            revision: The place in the log.
            event_ids: The events; empty for all.
            at: The time at which to judge ages; None for the revision's own.
        """
        ...

    async def sources_at(self, revision: int, at: datetime) -> Sequence[SourceState]:
        """Return the sources as of a revision, which must be the last one at time `at`."""
        ...


@runtime_checkable
class ClosingOddsReader(Protocol):
    """A store that also holds closing odds; both functions run under Trio."""

    async def started_events(
        self, only: StartedEvents, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[Event]:
        """Return started events in the order of (start, id).

        Args:
            only: The events to choose.
            after: The (start, id) after which to begin; None to begin with the first event.
            limit: The most events to return.
        """
        ...

    async def closing_odds(self, event_ids: Sequence[str]) -> Sequence[ClosingOdds]:
        """Return the closing odds of events."""
        ...


@runtime_checkable
class RunsReader(Protocol):
    """A store that also holds the runs of sources."""

    async def runs(self, only: RunsFilter, before: RunPlace | None, limit: int) -> RunsPage:
        """Return at most `limit` runs before a place, the newest first; runs under Trio."""
        ...


def utc_now() -> datetime:
    """Return the time of the system clock, in UTC."""
    return datetime.now(UTC)


class ServingParts(Struct, frozen=True, kw_only=True):
    """The parts that the server reads and calls.

    Attributes:
        status: Returns the state of the service; called in the Trio thread.
        refresh: A Trio function of an event id and a deadline in seconds. Without it, RefreshEvent
            answers UNIMPLEMENTED.
        guard: The tokens and certificates of the port, which a reload replaces; None for those of
            the settings.
        reload: A Trio function that reads the settings again. Without it, Reload answers
            UNIMPLEMENTED.
        store: The stored log. Without it, calls that read history answer UNIMPLEMENTED, and a
            reader that memory cannot serve gets an image.
        now: The wall clock.
        clocks: Reads all clocks; None to use `now` alone.
        delays: Receives the delays of what is sent.
        market_types: The types of the market table, in its order.
        unmapped: Returns the markets that no table maps; called in the Trio thread.
        behind_wait_s: The longest wait, in seconds, of a call for a place in the log that only
            other nodes have reached so far.
        settled: Returns the time up to which the log is complete here; called in the Trio thread.
            None for `now`.
        watch_elsewhere: The reason for refusing streams of changes; empty if there is none.
    """

    cache: OddsCache
    feed: ChangeFeed
    gate: TrioGate
    settings: ServerSettings
    status: Callable[[], ServiceStatus]
    refresh: Callable[[str, float], Awaitable[RefreshOutcome]] | None = None
    reload: Callable[[], Awaitable[Reloaded]] | None = None
    guard: Guard | None = None
    store: History | None = None
    now: Callable[[], datetime] = utc_now
    clocks: Callable[[], Reading] | None = None
    delays: Delays = field(default_factory=Delays)
    market_types: Sequence[MarketType] = ()
    unmapped: Callable[[], Sequence[UnmappedReport]] = tuple
    behind_wait_s: float = 0.0
    settled: Callable[[], datetime] | None = None
    watch_elsewhere: str = ""

    def reading(self) -> Reading:
        """Read the clocks, or the wall clock alone if there is no other."""
        return Reading(self.now()) if self.clocks is None else self.clocks()
