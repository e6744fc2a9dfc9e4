"""The odds that the parts measure with: a simulated bookmaker whose every `last_update` moves."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from starlette.requests import Request

from odds_service.demo.bookmaker import SimulatedBookmaker
from odds_service.demo.settings import SimulationSettings
from odds_service.model.observation import Completeness, Observation, ObservedEvent, Scope
from odds_service.sources.odds_api_body import BodyReader, PriceFormat

SOURCE: Final = "simulated"
MOST_SPORTS: Final = 20
BEGIN: Final = datetime(2026, 8, 4, 12, tzinfo=UTC)
CYCLE: Final = timedelta(minutes=1)


def settings_of(
    events: int, bookmakers: int, markets: int, changed: float, *, sports: int = 3
) -> SimulationSettings:
    """Return settings in which a share of the prices and every `last_update` move per cycle."""
    return SimulationSettings(
        sports=min(sports, events),
        events=events,
        bookmakers=bookmakers,
        markets_per_bookmaker=markets,
        change_share=changed,
        in_play_change_share=changed,
        lead_s=1e9,  # far away, also years after BEGIN: none starts while it is measured
        line_move_share=0.0,
        still_share=0.0,
        line_absence_share=0.0,
        outcome_absence_share=0.0,
        market_absence_share=0.0,
        bookmaker_absence_share=0.0,
        event_absence_share=0.0,
        empty_share=0.0,
    )


class Load:
    """Cycle after cycle of a bookmaker's bodies; `now` is the clock of whoever takes them."""

    def __init__(self, settings: SimulationSettings) -> None:
        self.now = BEGIN
        self.bookmaker = SimulatedBookmaker(settings, now=lambda: self.now)
        self.reader = BodyReader()

    async def bodies(self) -> dict[str, bytes]:
        """Return the next cycle's bodies by sport."""
        self.now += CYCLE
        return {sport: await self._body(sport) for sport in self.bookmaker.sport_keys}

    async def observations(self) -> list[Observation]:
        """Return the observations of the next cycle."""
        return [
            self.observation(sport, self.read(msgspec.json.decode(body, type=list[msgspec.Raw])))
            for sport, body in (await self.bodies()).items()
        ]

    def read(self, raws: Iterable[msgspec.Raw]) -> list[ObservedEvent]:
        """Normalise the events of one body. Raises RuntimeError for what cannot be read."""
        problems: Counter[str] = Counter()
        unreadable: set[str] = set()
        read = self.reader.read_event
        events = [
            event
            for raw in raws
            if (event := read(raw, PriceFormat.DECIMAL, problems, unreadable)) is not None
        ]
        if problems or unreadable:
            raise RuntimeError(f"the simulator's bodies have problems: {problems} {unreadable}")
        return events

    def observation(self, sport: str, events: Sequence[ObservedEvent]) -> Observation:
        """Return the observation of a fetch that has just ended."""
        return Observation(
            tier="all",
            source=SOURCE,
            scope=Scope(listing=sport),
            completeness=Completeness.COMPLETE,
            started_at=self.now,
            observed_at=self.now,
            events=tuple(events),
        )

    async def _body(self, sport: str) -> bytes:
        markets = ",".join(self.bookmaker.market_keys)
        scope = {
            "type": "http",
            "method": "GET",
            "path": f"/v4/sports/{sport}/odds",
            "query_string": f"apiKey=benchmark&regions=uk,eu&markets={markets}".encode(),
            "headers": [],
        }
        response = await self.bookmaker(Request(scope))
        if response.status_code != 200:
            raise RuntimeError(f"the simulator answered {response.status_code}: {response.body!r}")
        return bytes(response.body)


def markets_of(observations: Iterable[Observation]) -> int:
    """Return the number of markets that the events show."""
    return sum(
        len(bookmaker.markets)
        for observation in observations
        for event in observation.events
        for bookmaker in event.bookmakers
    )
