"""A second simulated source: the own site of a bookmaker that has some of the same matches.

Its answers have the shape of SportyBet's, so a goal suspends its markets instead of removing them.
It has fewer competitions and markets, its own ids, and writes the names of teams its own way, so
only names and starts join its events to those of the first source. Now and then it is out of order.
"""

import unicodedata
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Final

import msgspec
import trio
from msgspec import Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import request_response

from odds_service.asgi import serve_app
from odds_service.decoding import JsonDecoder
from odds_service.demo.bookmaker import SimulatedBookmaker
from odds_service.demo.simulation import SimulatedEvent, SimulatedSport
from odds_service.demo.walk import WalkingMarket

_SHORT: Final = {"United": "Utd", "Athletic": "Ath", "Rovers": "Rvrs"}
_PATH: Final = "/api/ng/factsCenter/"
_SUCCESS: Final = 10_000
_OPEN, _SUSPENDED = 0, 1  # a market's status
_SCHEDULED, _IN_PLAY = 0, 1  # an event's status
_WINNER: Final = ("1", "1X2", ("1", "3", "2"))  # id, name and outcomes: home, away, draw
_TOTAL: Final = ("18", "Over/Under", ("12", "13"))  # over, under
_KINDS: Final = {"h2h": _WINNER, "totals": _TOTAL}


class SecondSettings(Struct, frozen=True, kw_only=True):
    """The offer and the gaps of the second source.

    Attributes:
        sport: The key of the one simulated sport that it has.
        sport_id: Its own id of that sport.
        country: The country of its one tournament.
        bookmaker: The simulated bookmaker whose odds it shows.
        down_from_s: Seconds from the start until it answers 503 to everything.
        down_to_s: Seconds from the start until it answers again.
    """

    sport: str
    sport_id: str
    country: str
    bookmaker: str
    down_from_s: float
    down_to_s: float


class _Walked(Struct, frozen=True):
    """An outcome as the simulation writes it."""

    name: str
    price: float
    point: float | None = None


class _Outcome(Struct, frozen=True):
    id: str
    odds: str
    desc: str
    isActive: int = 1


class _Market(Struct, frozen=True):
    id: str
    desc: str
    outcomes: list[_Outcome]
    specifier: str | None = None
    status: int = _OPEN


_walked: Final = JsonDecoder(list[_Walked])


class SecondSource:
    """The second source as an endpoint that answers every path.

    Args:
        bookmaker: The simulation whose matches it shows.
        settings: Its offer and its gaps.
        now: The clock of the outage; aware times.
    """

    def __init__(
        self,
        bookmaker: SimulatedBookmaker,
        settings: SecondSettings,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._bookmaker = bookmaker
        self._settings = settings
        self._now = now
        self._start = now()
        self._open: dict[str, list[_Market]] = {}  # markets before a goal, by the event's id

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        settings = self._settings
        since_s = (self._now() - self._start).total_seconds()
        if settings.down_from_s <= since_s < settings.down_to_s:
            return Response(b"out of order", 503)
        path, query = request.scope["path"], request.query_params
        sport = self._bookmaker.sport(settings.sport)
        match path.removeprefix(_PATH):
            case "popularAndSportList":
                return _answer({"sportList": [self._listing()]})
            case "pcEvents":
                return _answer([{"events": [self._head(sport, each) for each in sport.offered()]}])
            case "event":
                asked = query.get("eventId")
                found = [each for each in sport.offered() if own_id(each) == asked]
                return _answer(self._event(sport, found[0]) if found else None)
        return Response(b"no such path", 404)

    def _listing(self) -> Mapping[str, object]:
        tournament = {"id": "sr:tournament:1", "name": "Premier Division"}
        category = {"name": self._settings.country, "tournaments": [tournament]}
        return {"id": self._settings.sport_id, "categories": [category]}

    def _head(self, sport: SimulatedSport, event: SimulatedEvent) -> dict[str, object]:
        tournament = {"name": "Premier Division"}
        return {
            "eventId": own_id(event),
            "homeTeamName": own_name(event.fields.home_team),
            "awayTeamName": own_name(event.fields.away_team),
            "estimateStartTime": round(event.start.timestamp() * 1_000),
            "status": _IN_PLAY if event.start <= sport.now else _SCHEDULED,
            "sport": {
                "id": self._settings.sport_id,
                "name": "Football",
                "category": {"name": self._settings.country, "tournament": tournament},
            },
        }

    def _event(self, sport: SimulatedSport, event: SimulatedEvent) -> dict[str, object]:
        markets = [
            _market(market, outcomes)
            for market in sport.markets_of(event, self._settings.bookmaker)
            if market.key in _KINDS and (outcomes := market.outcomes(american=False))
        ]
        if sport.is_broken(event):
            # A suspended market keeps the prices of its last bets, until it opens at others.
            kept = self._open.get(event.fields.id, markets)
            markets = [replace(market, status=_SUSPENDED) for market in kept]
        else:
            ids = {each.fields.id for each in sport.events}
            self._open = {key: each for key, each in self._open.items() if key in ids}
            self._open[event.fields.id] = markets
        return self._head(sport, event) | {"markets": markets}


def own_id(event: SimulatedEvent) -> str:
    """Return an event's id at this source, which has nothing to do with other sources' ids."""
    return f"sr:match:{1 + int(event.fields.id[:12], 16)}"


def own_name(name: str) -> str:
    """Return a team's name as this source writes it: in ASCII, with short words."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return " ".join(_SHORT.get(word, word) for word in plain.split(" "))


def _market(market: WalkingMarket, outcomes: bytes) -> _Market:
    kind, name, ids = _KINDS[market.key]
    walked = _walked.decode(b"[" + outcomes + b"]")
    return _Market(
        kind,
        name,
        list(_outcomes(walked, market, ids)),
        None if walked[0].point is None else f"total={walked[0].point:g}",
    )


def _outcomes(
    walked: list[_Walked], market: WalkingMarket, ids: tuple[str, ...]
) -> Iterator[_Outcome]:
    """Yield outcomes under this source's ids; some bookmakers list the away side first."""
    for outcome in walked:
        place = market.outcome_names.index(outcome.name)
        yield _Outcome(ids[place], f"{outcome.price:.2f}", own_name(outcome.name))


def _answer(value: object) -> Response:
    body = {"bizCode": _SUCCESS, "message": "0#0", "data": value}
    return Response(msgspec.json.encode(body), 200, media_type="application/json")


async def run_both(
    bookmaker: SimulatedBookmaker,
    settings: SecondSettings,
    *,
    task_status: trio.TaskStatus[tuple[int, int]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a bookmaker and its second source on loopback until cancelled.

    Args:
        bookmaker: The first source.
        settings: The second one's offer and gaps.
        task_status: Receives the two ports.

    Raises:
        OSError: No port is free.
    """
    async with trio.open_nursery() as nursery:
        first, second = [
            await nursery.start(partial(serve_app, request_response(endpoint)))
            for endpoint in (bookmaker, SecondSource(bookmaker, settings))
        ]
        task_status.started((first, second))
