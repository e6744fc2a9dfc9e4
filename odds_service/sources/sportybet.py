"""SportyBet: its tournaments, events and payloads.

One site serves all countries; the country is part of the path. Prematch and live betting are two
products, each with its own payload of an event.
"""

from collections import Counter
from datetime import UTC, datetime
from typing import ClassVar, Final, TypeVar

import msgspec
from msgspec import Struct
from pydantic import Field

from odds_service.decoding import JsonDecoder
from odds_service.errors import SourceError
from odds_service.model.observation import ObservedEvent
from odds_service.sources.base import Pull
from odds_service.sources.by_event import ByEvent, ByEventSettings, pull_of
from odds_service.sources.event_answers import UNKNOWN
from odds_service.sources.http_answer import decode_json, require_json, require_ok
from odds_service.sources.listing_entries import Entries
from odds_service.sources.markets.coverage import Coverage
from odds_service.sources.naming import sportradar_id
from odds_service.sources.sportybet_body import SUCCESS, EventBody, open_body, read_body

T = TypeVar("T")

BEFORE, IN_PLAY = "3", "1"  # ids of the two products
MAIN_MARKETS: Final = "1"  # a listing always contains markets: request the fewest
_SCHEDULED, _OVER = 0, 3  # values of an event's status; 1 and 2 are in play


class SportyBetSettings(ByEventSettings):
    """The keys of a `[[sources]]` table of kind `sportybet`; `country` as in the site's paths."""

    url: str = "https://www.sportybet.com"
    sports: list[str] = Field(default=["sr:sport:1"], min_length=1)
    country: str = "ng"


class _Tournament(Struct):
    id: str


class _Category(Struct):
    tournaments: list[msgspec.Raw] = []


class _Sport(Struct):
    id: str
    categories: list[msgspec.Raw] = []


class _Sports(Struct):
    sportList: list[msgspec.Raw]


class _Listed(Struct):
    eventId: str
    estimateStartTime: int | None = None
    status: int = _SCHEDULED


class _Part(Struct):
    events: list[msgspec.Raw] = []


class _SportsAnswer(Struct):
    bizCode: int
    message: str | None = None
    data: _Sports | None = None


class _EventsAnswer(Struct):
    bizCode: int
    message: str | None = None
    data: list[_Part] | None = None


class _State(Struct):
    status: int | None = None
    markets: msgspec.Raw = msgspec.Raw(b"[]")


class _StateAnswer(Struct):
    data: _State | None = None


_sport: Final = JsonDecoder(_Sport)
_category: Final = JsonDecoder(_Category)
_tournament: Final = JsonDecoder(_Tournament)
_listed: Final = JsonDecoder(_Listed)
_state_answer: Final = JsonDecoder(_StateAnswer)


class SportyBet(ByEvent[SportyBetSettings]):
    """SportyBet's offer in one country."""

    kind: ClassVar[str] = "sportybet"
    settings_type = SportyBetSettings

    async def tournaments(self, problems: Counter[str]) -> list[str]:
        """Return the tournaments of the chosen sports; see ByEvent.tournaments."""
        found: list[str] = []
        for sport in self._settings.sports:
            path = self._path("popularAndSportList")
            answer = await self._http.get(path, {"sportId": sport, "productId": BEFORE})
            reply = decode_json(path, answer, _SportsAnswer)
            _require_success(path, reply.bizCode, reply.message)
            entries = Entries(path, problems)
            here = [
                tournament.id
                for listed in entries.read(_present(path, reply.data).sportList, _sport)
                if listed.id == sport
                for category in entries.read(listed.categories, _category)
                for tournament in entries.read(category.tournaments, _tournament)
            ]
            entries.require(here)
            found += here
        return found

    async def listed(self, tournament: str, problems: Counter[str]) -> list[Pull]:
        """Return the events of a tournament; see ByEvent.listed."""
        path = self._path("pcEvents")
        pulls: list[Pull] = []
        for sport in self._settings.sports:
            query = [{"sportId": sport, "marketId": MAIN_MARKETS, "tournamentId": [[tournament]]}]
            reply = decode_json(path, await self._http.post(path, query), _EventsAnswer)
            _require_success(path, reply.bizCode, reply.message)
            entries = Entries(path, problems)
            here = [
                pull_of(
                    event.eventId,
                    tournament,
                    _time(event.estimateStartTime),
                    sportradar_id(event.eventId),
                    in_play=_SCHEDULED < event.status < _OVER,
                )
                for part in _present(path, reply.data)
                for event in entries.read(part.events, _listed)
            ]
            entries.require(here)
            pulls += here
        return pulls

    async def read(
        self, event_id: str, *, started: bool, problems: Counter[str], coverage: Coverage
    ) -> ObservedEvent:
        """Read an event from the product that fits its own status; see ByEvent.read."""
        path = self._path("event")
        product = IN_PLAY if started else BEFORE
        body = open_body(await self._event_body(path, event_id, product))
        status = _state(body).status if body.event is None else body.event.status
        fits = BEFORE if status == _SCHEDULED else IN_PLAY
        if status is not None and fits != product:
            # Rescheduled or started early: the wrong product's payload may lack all markets.
            body = open_body(await self._event_body(path, event_id, fits))
        return _read_unless_over(body, problems, coverage)

    @staticmethod
    def read_body(body: bytes, problems: Counter[str], coverage: Coverage) -> ObservedEvent:
        """Decode the body of an event that is not over; see ByEvent.read_body."""
        return _read_unless_over(open_body(body), problems, coverage)

    async def _event_body(self, path: str, event_id: str, product: str) -> bytes:
        answer = await self._http.get(path, {"eventId": event_id, "productId": product})
        return require_json(path, require_ok(path, answer))

    def _path(self, call: str) -> str:
        return f"/api/{self._settings.country}/factsCenter/{call}"


def _read_unless_over(body: EventBody, problems: Counter[str], coverage: Coverage) -> ObservedEvent:
    event = body.event
    if event is None or (event.status is not None and event.status >= _OVER):
        state = _state(body)
        priced = bytes(state.markets).strip() not in {b"[]", b"null"}
        if state.status is not None and state.status >= _OVER and not priced:
            raise SourceError(UNKNOWN, "SportyBet: the event is over")
    return read_body(body, problems, coverage)


def _state(body: EventBody) -> _State:
    """Decode an event's status; an unreadable one is empty, and the body's reader reports it."""
    try:
        return _state_answer.decode(body.json).data or _State()
    except msgspec.MsgspecError:
        return _State()


def _require_success(path: str, code: int, message: str | None) -> None:
    if code != SUCCESS:
        raise SourceError("refused", f"{path}: bizCode {code}: {message or 'no reason given'}")


def _present(path: str, payload: T | None) -> T:
    if payload is None:
        raise SourceError("wrong_shape", f"{path}: bizCode is a success, but there is no data")
    return payload


def _time(epoch_ms: int | None) -> datetime | None:
    try:
        return None if epoch_ms is None else datetime.fromtimestamp(epoch_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None
