"""A second simulated source beside a simulated bookmaker: another feed of the same matches.

It has other bookmakers, fewer competitions and markets, and writes the names of teams its own way.
Now and then it is out of order.
"""

import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import msgspec
import trio
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import request_response

from odds_service.asgi import serve_app
from odds_service.demo.bookmaker import SimulatedBookmaker

_SHORT: Final = {"United": "Utd", "Athletic": "Ath", "Rovers": "Rvrs"}
_NAMES: Final = frozenset({"home_team", "away_team", "name"})


class SecondSettings(Struct, frozen=True, kw_only=True):
    """The gaps of the second source.

    Attributes:
        sports: The keys of the sports that it has.
        markets: The keys of the markets that it has.
        down_from_s: Seconds from the start until it answers 503 to everything.
        down_to_s: Seconds from the start until it answers again.
    """

    sports: frozenset[str]
    markets: frozenset[str]
    down_from_s: float
    down_to_s: float


class SecondSource:
    """The second source as an endpoint that answers every path, in the shape of The Odds API.

    Args:
        bookmaker: The simulation whose matches it shows.
        settings: Its gaps.
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

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        settings = self._settings
        since_s = (self._now() - self._start).total_seconds()
        if settings.down_from_s <= since_s < settings.down_to_s:
            return Response(b"out of order", 503)
        answer = await self._bookmaker(request)
        if answer.status_code != 200:
            return answer
        shown = self._shown(msgspec.json.decode(bytes(answer.body)))
        return Response(msgspec.json.encode(shown), 200, media_type="application/json")

    def _shown(self, value: Any) -> Any:
        """Return the part of a decoded answer that this source has, under its own names."""
        if isinstance(value, list):
            return [self._shown(each) for each in value if self._has(each)]
        if not isinstance(value, dict):
            return value
        return {
            key: own_name(each) if key in _NAMES and isinstance(each, str) else self._shown(each)
            for key, each in value.items()
        }

    def _has(self, entry: Any) -> bool:
        if not isinstance(entry, dict):
            return True
        if "outcomes" in entry:
            return entry["key"] in self._settings.markets
        sport = entry["key"] if "active" in entry else entry.get("sport_key")
        return sport is None or sport in self._settings.sports


def own_name(name: str) -> str:
    """Return a team's name as this source writes it: in ASCII, with short words."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return " ".join(_SHORT.get(word, word) for word in plain.split(" "))


async def run_both(
    bookmaker: SimulatedBookmaker,
    settings: SecondSettings,
    *,
    task_status: trio.TaskStatus[tuple[int, int]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a bookmaker and its second source on loopback until cancelled.

    Args:
        bookmaker: The first source.
        settings: The second one's gaps.
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
