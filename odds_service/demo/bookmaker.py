"""The simulated bookmaker: a seeded random walk behind the HTTP shape of The Odds API v4.

It differs from the documented API in two respects. The all-events endpoint offers alternate and
player markets too, so that large loads need few requests. `dateFormat` is always `iso`.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import trio
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import request_response

from odds_service.asgi import serve_app
from odds_service.demo import names
from odds_service.demo.settings import SimulationSettings
from odds_service.demo.simulation import SimulatedSport, Wanted

DETAILS_URL: Final = "https://the-odds-api.com/liveapi/guides/v4/api-error-codes.html"
REGIONS: Final = frozenset({"us", "us2", "uk", "eu", "au", "fr", "se"})
BOOKMAKERS_A_REGION: Final = 10  # named bookmakers that cost as much as one region
FREQUENCY_WINDOW: Final = timedelta(seconds=1)
JSON: Final = "application/json; charset=utf-8"

OnServed = Callable[[str, bytes], None]


class _ApiError(Exception):
    """An error to report to the client."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class ApiErrorBody(msgspec.Struct, frozen=True):
    """The object that replaces the array in an error answer."""

    message: str
    error_code: str
    details_url: str


class SportFields(msgspec.Struct, frozen=True):
    """A sport in `/v4/sports`."""

    key: str
    group: str
    title: str
    description: str
    active: bool = True
    has_outrights: bool = False


class SimulatedBookmaker:
    """The simulated bookmaker, as an endpoint that answers every path.

    Building a body blocks the thread, so large loads need a separate process
    (``python -m odds_service.demo``).

    Args:
        settings: the sizes and paces.
        now: the clock for the start, for `pace="clock"` and for the rate limit.
        on_served: called in order with the path (without query) and the uncompressed body of each
            odds answer that was sent completely; tests use it as an oracle.

    Raises:
        ValueError: ``now`` returns naive times.
    """

    def __init__(
        self,
        settings: SimulationSettings,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_served: OnServed | None = None,
    ) -> None:
        start = now()
        if start.tzinfo is None:
            raise ValueError("now must give aware times")
        self._settings = settings
        self._now = now
        self._on_served = on_served
        self._used = 0
        self._recent: deque[datetime] = deque()
        self._region = {
            key: settings.regions[number % len(settings.regions)]
            for number, (key, _) in enumerate(names.bookmakers(settings.bookmakers))
        }
        share, extra = divmod(settings.events, settings.sports)
        self._sports = {
            sport.key: SimulatedSport(sport, share + (number < extra), settings, start)
            for number, sport in enumerate(names.sports(settings.sports))
        }

    @property
    def sport_keys(self) -> list[str]:
        """Return the keys of the sports on offer."""
        return list(self._sports)

    @property
    def market_keys(self) -> list[str]:
        """Return all market keys that some sport offers."""
        return sorted(
            {
                market.key
                for sport in self._sports.values()
                for event in sport.events
                for market in event.markets
            }
        )

    def sport(self, key: str) -> SimulatedSport:
        """Return a sport as an answer would show it now. Raises KeyError."""
        sport = self._sports[key]
        sport.poll(self._now())
        return sport

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        try:
            if request.method not in {"GET", "HEAD"}:
                raise _ApiError(405, "METHOD_NOT_ALLOWED", "Only GET and HEAD are answered")
            self._admit(request)
            return self._route(request)
        except _ApiError as error:
            anchor = error.code.lower().replace("_", "-")
            body = ApiErrorBody(error.message, error.code, f"{DETAILS_URL}#{anchor}")
            headers = self._quota_headers(0)
            return Response(msgspec.json.encode(body), error.status, headers, JSON)

    def _admit(self, request: Request) -> None:
        """Check key, rate and credits, before anything else."""
        key = _first(request, "apiKey")
        if not key:
            raise _ApiError(401, "MISSING_KEY", "API key is missing")
        if self._settings.api_key is not None and key != self._settings.api_key:
            raise _ApiError(401, "INVALID_KEY", "API key is not valid")
        limit = self._settings.requests_per_s
        if limit is None:
            return
        now = self._now()
        while self._recent and now - self._recent[0] >= FREQUENCY_WINDOW:
            self._recent.popleft()
        if len(self._recent) >= limit:
            raise _ApiError(
                429,
                "EXCEEDED_FREQ_LIMIT",
                f"Requests are limited to {limit} a second; space them out",
            )
        self._recent.append(now)

    def _route(self, request: Request) -> Response:
        match request.scope["path"].strip("/").split("/"):
            case ["v4", "sports"]:
                return self._free([self._fields(sport.sport) for sport in self._sports.values()])
            case ["v4", "sports", key, "events"]:
                return self._free(self._sport(key).listed())
            case ["v4", "sports", key, "odds"]:
                return self._odds(self._sport(key), request)
            case ["v4", "sports", key, "events", event_id, "odds"]:
                return self._event_odds(self._sport(key), event_id, request)
        raise _ApiError(404, "NOT_FOUND", "There is no such path")

    def _odds(self, sport: SimulatedSport, request: Request) -> Response:
        wanted, cost = self._wanted(request)
        self._afford(cost)
        sport.poll(self._now())
        pieces = sport.odds(wanted)
        # As documented: an answer without events costs nothing.
        return self._charged(request, pieces, cost if len(pieces) > 2 else 0)

    def _event_odds(self, sport: SimulatedSport, event_id: str, request: Request) -> Response:
        wanted, cost = self._wanted(request)
        self._afford(cost)
        sport.poll(self._now())
        body = sport.event_odds(
            event_id, msgspec.structs.replace(wanted, bookmaker_stamps=False, event_ids=())
        )
        if body is None:
            raise _ApiError(404, "EVENT_NOT_FOUND", "Event not found; it may have ended")
        return self._charged(request, [body], cost)

    def _afford(self, cost: int) -> None:
        if self._used + cost > self._settings.quota:
            raise _ApiError(
                401, "OUT_OF_USAGE_CREDITS", "Usage quota has been reached; see the plans"
            )

    def _charged(self, request: Request, pieces: list[bytes], cost: int) -> Response:
        body, sent = b"".join(pieces), None
        if request.method == "GET":
            self._used += cost
            if (on_served := self._on_served) is not None:
                sent = BackgroundTask(_served, on_served, request.scope["path"], body)
        return Response(body, 200, self._quota_headers(cost), JSON, sent)

    def _free(self, listing: Sequence[msgspec.Struct]) -> Response:
        return Response(msgspec.json.encode(listing), 200, self._quota_headers(0), JSON)

    def _quota_headers(self, cost: int) -> Mapping[str, str]:
        return {
            "x-requests-remaining": str(self._settings.quota - self._used),
            "x-requests-used": str(self._used),
            "x-requests-last": str(cost),
        }

    def _sport(self, key: str) -> SimulatedSport:
        sport = self._sports.get(key)
        if sport is None:
            raise _ApiError(404, "UNKNOWN_SPORT", "Unknown sport")
        return sport

    @staticmethod
    def _fields(sport: names.Sport) -> SportFields:
        return SportFields(sport.key, sport.group, sport.title, sport.description)

    def _wanted(self, request: Request) -> tuple[Wanted, int]:
        """Parse an odds request; return its filter and its cost in credits."""
        markets = _listed(request, "markets") or ["h2h"]
        for market in markets:
            if not all(c.isascii() and (c.isalnum() or c == "_") for c in market):
                raise _ApiError(422, "INVALID_MARKET", "Invalid markets parameter")
        odds_format = _first(request, "oddsFormat") or "decimal"
        if odds_format not in {"decimal", "american"}:
            raise _ApiError(422, "INVALID_ODDS_FORMAT", "Invalid oddsFormat parameter")
        if (_first(request, "dateFormat") or "iso") != "iso":
            raise _ApiError(422, "INVALID_DATE_FORMAT", "Invalid dateFormat parameter: only iso")
        asked, regions = _listed(request, "bookmakers"), _listed(request, "regions")
        if not asked and not regions:
            raise _ApiError(422, "MISSING_REGION", "Missing regions parameter")
        for region in regions:
            if region not in REGIONS and region not in self._settings.regions:
                raise _ApiError(422, "INVALID_REGION", f"Invalid region in {','.join(regions)}")
        # As documented: bookmakers take priority where both are given.
        bookmakers = asked or [key for key, region in self._region.items() if region in regions]
        units = -(-len(set(asked)) // BOOKMAKERS_A_REGION) if asked else len(set(regions))
        event_ids = _listed(request, "eventIds")
        for event_id in event_ids:
            if not event_id.isalnum():
                raise _ApiError(422, "INVALID_EVENT_IDS", "Invalid eventIds parameter")
        start_from = _time(request, "commenceTimeFrom", "INVALID_COMMENCE_TIME_FROM")
        start_to = _time(request, "commenceTimeTo", "INVALID_COMMENCE_TIME_TO")
        if start_from is not None and start_to is not None and start_to < start_from:
            raise _ApiError(
                422, "INVALID_COMMENCE_TIME_RANGE", "commenceTimeTo is before commenceTimeFrom"
            )
        wanted = Wanted(
            bookmakers=frozenset(bookmakers),
            markets=frozenset(markets),
            event_ids=frozenset(event_ids),
            start_from=start_from,
            start_to=start_to,
            american=odds_format == "american",
        )
        return wanted, units * len(set(markets))


async def _served(on_served: OnServed, path: str, body: bytes) -> None:
    """Call `on_served` in this thread; Starlette runs plain functions in another."""
    on_served(path, body)


def _first(request: Request, parameter: str) -> str | None:
    """Return the first value of a query parameter, or None if it is absent."""
    return next(iter(request.query_params.getlist(parameter)), None)


def _listed(request: Request, parameter: str) -> list[str]:
    """Return the non-blank parts of a comma-separated query parameter."""
    values = request.query_params.getlist(parameter)
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def _time(request: Request, parameter: str, code: str) -> datetime | None:
    text = _first(request, parameter)
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise _ApiError(
            422, code, f"Invalid {parameter} parameter: not like 2025-01-31T00:00:00Z"
        ) from None


async def run_bookmaker(
    settings: SimulationSettings,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    on_served: OnServed | None = None,
    gzip: bool = False,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a simulated bookmaker until cancelled; ``started()`` passes the port.

    Args:
        settings: the sizes and paces.
        host: the address to listen on.
        port: the port; 0 for any free one.
        now: see SimulatedBookmaker.
        on_served: see SimulatedBookmaker.
        gzip: compress bodies for clients that accept it.
        task_status: for nursery.start().

    Raises:
        OSError: The address cannot be bound.
    """
    bookmaker = SimulatedBookmaker(settings, now=now, on_served=on_served)
    await serve_app(
        request_response(bookmaker), host=host, port=port, gzip=gzip, task_status=task_status
    )
