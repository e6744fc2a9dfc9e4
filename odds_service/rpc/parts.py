"""What the server is given; it knows only what it asks of the pipeline and the database."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol, runtime_checkable

from msgspec import Struct

from odds_service.bridge import TrioGate
from odds_service.cache import OddsCache
from odds_service.config import ServerSettings
from odds_service.feed import ChangeFeed
from odds_service.model.change import Change
from odds_service.model.event import Event
from odds_service.model.refresh import RefreshOutcome
from odds_service.model.snapshot import EventOdds, Reading
from odds_service.model.source import SourceState
from odds_service.status import ServiceStatus
from odds_service.store import ClosingOdds, HistoryFilter, HistoryPage, StartedEvents


class History(Protocol):
    """The stored log, as store.Store has it; all functions are Trio's."""

    async def history(self, after: int, upto: int, limit: int) -> Sequence[Change]:
        """Changes with after < revision <= upto, in order, at most `limit`."""
        ...

    async def history_page(
        self, after: int, upto: int, limit: int, only: HistoryFilter = ...
    ) -> HistoryPage:
        """The same of the changes that a filter selects, with the holes named."""
        ...

    async def oldest_revision(self) -> int:
        """The first revision that is kept, or will be when there is none."""
        ...


class PastOdds(Protocol):
    """Odds as they were at a revision; `at`: when that was detected, None before the first."""

    @property
    def revision(self) -> int: ...
    @property
    def at(self) -> datetime | None: ...
    @property
    def events(self) -> Sequence[EventOdds]: ...


@runtime_checkable
class Past(Protocol):
    """A store that can also tell the odds of the past; its functions raise BelowFloor."""

    async def revision_at(self, at: datetime) -> int:
        """The last revision detected at or before a time."""
        ...

    async def odds_at(
        self, revision: int, event_ids: Sequence[str] = (), at: datetime | None = None
    ) -> PastOdds:
        """The odds of all events, or of some, as of a revision (seen by `at`, if that is given)."""
        ...

    async def sources_at(self, revision: int, at: datetime) -> Sequence[SourceState]:
        """The sources as of a revision that was the last one at a time."""
        ...


@runtime_checkable
class ClosingOddsReader(Protocol):
    """A store that can also tell closing odds; both functions are Trio's."""

    async def started_events(
        self, only: StartedEvents, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[Event]:
        """Events in the order of (start, id), from after such a place on, at most `limit`."""
        ...

    async def closing_odds(self, event_ids: Sequence[str]) -> Sequence[ClosingOdds]:
        """The closing odds of events."""
        ...


def utc_now() -> datetime:
    """The clock that staleness and heartbeats are told by."""
    return datetime.now(UTC)


class RpcParts(Struct, frozen=True, kw_only=True):
    """All that the server reads and calls.

    status: called in the Trio thread. refresh: a Trio function (event id, deadline in seconds).
    epochs: (epoch, its first revision) in their order, the last the present one; empty where only
    the feed's own is known. store, refresh: None where there is none; their calls then answer
    UNIMPLEMENTED, and a reader that memory cannot serve gets an image.
    """

    cache: OddsCache
    feed: ChangeFeed
    gate: TrioGate
    settings: ServerSettings
    status: Callable[[], ServiceStatus]
    refresh: Callable[[str, float], Awaitable[RefreshOutcome]] | None = None
    store: History | None = None
    epochs: Sequence[tuple[str, int]] = ()
    now: Callable[[], datetime] = utc_now
    clocks: Callable[[], Reading] | None = None

    def reading(self) -> Reading:
        """The clocks now; ages are told by the wall clock where there is no other."""
        return Reading(self.now()) if self.clocks is None else self.clocks()
