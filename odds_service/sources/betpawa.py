"""BetPawa: its competitions, events and payloads.

Each country has its own site, and a header selects the brand whose offer is returned.
"""

from collections import Counter
from datetime import datetime
from typing import Any, ClassVar, Final

import msgspec
from msgspec import Struct
from pydantic import Field

from odds_service.decoding import JsonDecoder
from odds_service.errors import SourceError
from odds_service.model.observation import ObservedEvent
from odds_service.sources.base import Pull
from odds_service.sources.betpawa_body import read_event
from odds_service.sources.by_event import ByEvent, ByEventSettings, pull_of
from odds_service.sources.event_answers import UNKNOWN
from odds_service.sources.http_answer import decode_json, require_json, require_ok
from odds_service.sources.listing_entries import Entries
from odds_service.sources.markets.coverage import Coverage
from odds_service.sources.naming import one_id, sportradar_id

_PATH: Final = "/api/sportsbook/v3"
PAGE: Final = 100  # events per page
MOST_PAGES: Final = 100  # per competition


class BetPawaSettings(ByEventSettings):
    """The keys of a `[[sources]]` table of kind `betpawa`; `brand` is the country's brand."""

    url: str = "https://www.betpawa.ng"
    sports: list[str] = Field(default=["2"], min_length=1)
    brand: str = "betpawa-nigeria"


class _Thing(Struct):
    id: str


class _Competition(Struct):
    competition: _Thing


class _Region(Struct):
    competitions: list[msgspec.Raw] = []


class _Category(Struct):
    category: _Thing
    regions: list[msgspec.Raw] = []


class _Categories(Struct):
    withRegions: list[msgspec.Raw]


class _Widget(Struct):
    type: str | None = None
    id: str | int | None = None


class _Additional(Struct):
    live: bool | None = None


class _Listed(Struct):
    id: str
    startTime: datetime | None = None
    widgets: list[_Widget] | None = None
    additionalInfo: _Additional | None = None


class _Page(Struct):
    responses: list[msgspec.Raw]


class _Pages(Struct):
    responses: list[_Page]


_category: Final = JsonDecoder(_Category)
_region: Final = JsonDecoder(_Region)
_competition: Final = JsonDecoder(_Competition)
_listed: Final = JsonDecoder(_Listed)


class BetPawa(ByEvent[BetPawaSettings]):
    """BetPawa's offer in one country."""

    kind: ClassVar[str] = "betpawa"
    settings_type = BetPawaSettings

    @classmethod
    def headers_of(cls, settings: Any) -> dict[str, str]:
        """Return the headers of every request, with the country's brand."""
        return {"x-pawa-brand": settings.brand, "devicetype": "web", **settings.headers}

    async def tournaments(self, problems: Counter[str]) -> list[str]:
        """Return the competitions of the chosen sports; see ByEvent.tournaments."""
        found: list[str] = []
        for sport in self._settings.sports:
            path = f"{_PATH}/categories/list/{sport}"
            answer = await self._http.get(path, {"includeRegions": "true"})
            reply = decode_json(path, answer, _Categories)
            entries = Entries(path, problems)
            here = [
                each.competition.id
                for category in entries.read(reply.withRegions, _category)
                if category.category.id == sport
                for region in entries.read(category.regions, _region)
                for each in entries.read(region.competitions, _competition)
            ]
            entries.require(here)
            found += here
        return found

    async def listed(self, tournament: str, problems: Counter[str]) -> list[Pull]:
        """Return the events of a competition, upcoming and in play; see ByEvent.listed."""
        path = f"{_PATH}/events/lists/by-queries"
        pulls: list[Pull] = []
        for kind in ("UPCOMING", "LIVE"):
            for page in range(MOST_PAGES):
                query = {
                    "query": {
                        "eventType": kind,
                        "categories": self._settings.sports,
                        "zones": {"competitions": [tournament]},
                        "hasOdds": True,
                    },
                    "view": {},
                    "skip": page * PAGE,
                    "take": PAGE,
                }
                text = msgspec.json.encode({"queries": [query]}).decode()
                reply = decode_json(path, await self._http.get(path, {"q": text}), _Pages)
                listed = [event for part in reply.responses for event in part.responses]
                entries = Entries(path, problems)
                events = entries.read(listed, _listed)
                entries.require(events)
                pulls += [_pull(event, tournament, in_play=kind == "LIVE") for event in events]
                if len(listed) < PAGE:
                    break
        return pulls

    async def read(
        self, event_id: str, *, started: bool, problems: Counter[str], coverage: Coverage
    ) -> ObservedEvent:
        """Read an event, before its start or in play; see ByEvent.read."""
        del started
        path = f"{_PATH}/events/{event_id}"
        answer = await self._http.get(path, {})
        if answer.status == 404 and not answer.body.lstrip().startswith(b"<"):
            raise SourceError(UNKNOWN, f"{path}: unknown event")
        return self.read_body(require_json(path, require_ok(path, answer)), problems, coverage)

    @staticmethod
    def read_body(body: bytes, problems: Counter[str], coverage: Coverage) -> ObservedEvent:
        """Decode the body of an event; see ByEvent.read_body."""
        return read_event(body, problems, coverage)


def _pull(event: _Listed, competition: str, *, in_play: bool) -> Pull:
    start = event.startTime
    shared = one_id(
        sportradar_id(widget.id) for widget in event.widgets or () if widget.type == "SPORTRADAR"
    )
    return pull_of(
        event.id,
        competition,
        start if start is not None and start.tzinfo is not None else None,
        shared,
        in_play=in_play or bool(event.additionalInfo and event.additionalInfo.live),
    )
