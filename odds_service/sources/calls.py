"""The calls that a scraper makes into a source: each returns what has passed the gate."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec.structs import replace

from odds_service.clock import Clock
from odds_service.model.observation import Observation
from odds_service.sources.access import Access, access_of
from odds_service.sources.base import Offer, OpenSource, Pace, Pull, Source
from odds_service.sources.boundary import Gate, Limits
from odds_service.sources.containment import contained


class SourceCalls(OpenSource, Protocol):
    """An open source as its scraper calls it, in this process or in another.

    All calls raise SourceFailed for an exception of the source, and SourceError for an answer that
    the gate refused. `problems` is incremented for everything that was wrong, also when a call
    raises. Observations carry the times at which their whole answer had arrived.

    Attributes:
        access: the policy of the source; the scraper counts its pulls there.
    """

    access: Access

    async def discover(self) -> Offer:
        """Return the valid part of the source's offer."""
        ...

    async def fetch(self, pull: Pull, problems: Counter[str]) -> Observation:
        """Make one pull; cancelling loses its answer."""
        ...

    async def fetch_event(
        self, source_event_id: str, listing: str | None, problems: Counter[str]
    ) -> Observation:
        """Fetch one event on demand; cancelling loses its answer."""
        ...

    def clock_moved(self, day_offset_s: float, slept_s: float) -> None:
        """Pass on a jump of the wall clock or a sleep of the machine; see Access.moved."""
        ...


class CallsInto:
    """The part that calls into an open source share, wherever it runs."""

    def __init__(self, source: OpenSource) -> None:
        self.access = access_of(source)
        self._opened = source

    @property
    def name(self) -> str:
        return self._opened.name

    @property
    def kind(self) -> str:
        return self._opened.kind

    @property
    def pace(self) -> Pace:
        return self._opened.pace


class GatedSource(CallsInto):
    """The calls into a source of this process."""

    def __init__(self, source: Source, clock: Clock, limits: Limits = Limits()) -> None:
        super().__init__(source)
        self._source = source
        self._clock = clock
        self._gate = Gate(source.name, limits)

    async def discover(self) -> Offer:
        return self._gate.offer(await contained(self._source.discover))

    async def fetch(self, pull: Pull, problems: Counter[str]) -> Observation:
        return await self._admitted(lambda: self._source.fetch(pull), problems)

    async def fetch_event(
        self, source_event_id: str, listing: str | None, problems: Counter[str]
    ) -> Observation:
        source = self._source
        return await self._admitted(lambda: source.fetch_event(source_event_id, listing), problems)

    def clock_moved(self, day_offset_s: float, slept_s: float) -> None:
        """Do nothing: the source's HTTP client shares the scraper's access."""

    async def _admitted(
        self, fetch: Callable[[], Awaitable[Observation]], problems: Counter[str]
    ) -> Observation:
        started_at = self._clock.wall()
        given = await contained(fetch)
        observed_at, boot_s = self._clock.wall(), self._clock.boot_s()
        admitted = await self._gate.admit(
            given, problems, started_at=started_at, observed_at=observed_at
        )
        # Replace even plausible times of the source, since its clock may be wrong.
        return replace(
            admitted, started_at=started_at, observed_at=observed_at, observed_boot_s=boot_s
        )
