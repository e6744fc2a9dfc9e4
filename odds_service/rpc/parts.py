"""The parts of the service that the server uses, as narrow as it needs them."""

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
        """Return changes with after < revision <= upto, in order, at most `limit`."""
        ...

    async def history_page(
        self, after: int, upto: int, limit: int, only: HistoryFilter = ...
    ) -> HistoryPage:
        """Like history(), for the changes that a filter selects, with the gaps named."""
        ...

    async def oldest_revision(self) -> int:
        """Return the first revision that is kept, or the next one where none is."""
        ...


class PastOdds(Protocol):
    """Odds at a past revision. at: the time of its detection, None before the first."""

    @property
    def revision(self) -> int: ...
    @property
    def at(self) -> datetime | None: ...
    @property
    def events(self) -> Sequence[EventOdds]: ...


@runtime_checkable
class Past(Protocol):
    """A store that also holds the odds of the past; its functions raise BelowFloor."""

    async def revision_at(self, at: datetime) -> int:
        """Return the last revision detected at or before a time."""
        ...

    async def odds_at(
        self, revision: int, event_ids: Sequence[str] = (), at: datetime | None = None
    ) -> PastOdds:
        """Return odds as of a revision.

        Args:
            revision: the place in the log.
            event_ids: the events; empty for all.
            at: the time at which ages are judged; None for the revision's own.
        """
        ...

    async def sources_at(self, revision: int, at: datetime) -> Sequence[SourceState]:
        """Return the sources as of a revision, the last one at the given time."""
        ...


@runtime_checkable
class ClosingOddsReader(Protocol):
    """A store that also holds closing odds; both functions are Trio's."""

    async def started_events(
        self, only: StartedEvents, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[Event]:
        """Return events in the order of (start, id) after a place, at most `limit`."""
        ...

    async def closing_odds(self, event_ids: Sequence[str]) -> Sequence[ClosingOdds]:
        """Return the closing odds of events."""
        ...


def utc_now() -> datetime:
    """Return the machine's time of day."""
    return datetime.now(UTC)


class RpcParts(Struct, frozen=True, kw_only=True):
    """The parts that the server reads and calls.

    status: called in the Trio thread. refresh: a Trio function (event id, deadline in seconds).
    epochs: (epoch, its first revision) in order, the present one last; empty where only the feed's
    own is known. Without store or refresh their calls answer UNIMPLEMENTED; without store, a reader
    that memory cannot serve gets an image.
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
        """Read the clocks; the wall clock alone where there is no other."""
        return Reading(self.now()) if self.clocks is None else self.clocks()
