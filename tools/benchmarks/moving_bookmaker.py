"""Bookmakers whose prices move at every answer, as a process of its own, for the benchmark `board`.

The odds are the simulator's, and each body is one bookmaker's odds for one event. A few events
start soon; the others start after them. Each answer moves some prices. Those of an event that
starts soon run through the thousandths from 1.501 to 2.499 (but never whole hundredths), so that a
price on a screen tells which move it was.

Prints `{"port": N, "sports": […], "markets": […], "names": […], "shown": N, "soon": [event ids]}`,
and answers each line, the id of an event, with its latest moves: `[[thousandths, time.time()], …]`.
"""

import os
import random
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Annotated, Any, Final

import msgspec
import trio
import typer
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import request_response

from odds_service.asgi import Limits, serve_app
from odds_service.demo import names
from odds_service.demo.settings import SimulationSettings
from tools.benchmarks.bookmaker import Bodies, by_event, lists_of
from tools.benchmarks.load import Load, settings_of
from tools.benchmarks.processes import tell

SOON_MINUTES: Final = 20.0
MOVES: Final = 100_000  # that are remembered, of each event
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


def thousandths() -> Iterator[int]:
    """Yield the prices of one event, over and over."""
    for number in count():
        if (place := number % 999 + 1) % 10:
            yield 1_500 + place


class Bookmaker:
    """The application."""

    def __init__(self, bodies: Bodies, lists: Bodies, soon: list[str], moved: int) -> None:
        self._bodies = bodies
        self._lists = lists
        self._moved = moved  # prices in an answer
        self._random = random.Random(1)
        self._prices = {event: thousandths() for event in soon}
        self.moves = {event: deque[tuple[int, float]](maxlen=MOVES) for event in soon}

    async def __call__(self, request: Request) -> Response:
        path = request.scope["path"]
        if path in self._lists:
            return Response(self._lists[path])
        which = f"{path} {request.query_params['bookmakers']}"
        if which not in self._bodies:
            return Response(status_code=404)
        event = msgspec.json.decode(self._bodies[which])
        self._move(event)
        body = self._bodies[which] = msgspec.json.encode(event)
        return Response(body)

    def _move(self, event: dict[str, Any]) -> None:
        markets = event["bookmakers"][0]["markets"]
        prices, now = self._prices.get(event["id"]), time.time()
        for _ in range(self._moved):
            outcome = self._random.choice(self._random.choice(markets)["outcomes"])
            if prices is None:
                outcome["price"] = self._random.randint(150, 250) / 100
            else:
                number = next(prices)
                outcome["price"] = number / 1_000
                self.moves[event["id"]].append((number, now))


def started(sports: Bodies, soon: int) -> tuple[Bodies, list[str]]:
    """Let a number of events start soon, and return the ids of those with the bodies."""
    chosen: list[str] = []
    begin = datetime.now(UTC)
    made: Bodies = {}
    for sport, body in sports.items():
        events = msgspec.json.decode(body, type=list[dict[str, Any]])
        for event in events:
            start = begin + timedelta(days=2, minutes=len(event["id"]))
            if len(chosen) < soon:
                start = begin + timedelta(minutes=SOON_MINUTES + len(chosen))
                chosen.append(event["id"])
            event["commence_time"] = start.strftime(_TIME)
        made[sport] = msgspec.json.encode(events)
    return made, chosen


def serve(
    *,
    events: Annotated[int, typer.Option()],
    bookmakers: Annotated[int, typer.Option()],
    markets: Annotated[int, typer.Option()],
    sports: Annotated[int, typer.Option()],
    soon: Annotated[int, typer.Option(help="Events that start soon.")],
    moved: Annotated[int, typer.Option(help="Prices that move in each answer.")],
) -> None:
    """Make the odds, then serve them until the input ends."""
    settings = settings_of(events, bookmakers, markets, 0.0, sports=sports)
    trio.run(_serve, settings, soon, moved)


async def _serve(settings: SimulationSettings, soon: int, moved: int) -> None:
    load = Load(settings)
    sports, chosen = started(await load.bodies(), soon)
    bodies = by_event(sports)
    bookmaker = Bookmaker(bodies, lists_of(sports), chosen, moved)
    shown = sum(
        len(load.read([msgspec.Raw(body)])[0].bookmakers[0].markets) for body in bodies.values()
    )
    async with trio.open_nursery() as nursery:
        port = await nursery.start(
            partial(serve_app, request_response(bookmaker), limits=Limits(idle_s=3_600.0))
        )
        tell(
            {"port": port, "sports": list(sports), "markets": sorted(load.bookmaker.market_keys),
             "names": [key for key, _ in names.bookmakers(settings.bookmakers)],
             "shown": shown, "soon": chosen}
        )  # fmt: skip
        async for lines in trio.lowlevel.FdStream(os.dup(0)):  # standard input
            for line in lines.splitlines():
                tell(list(bookmaker.moves[msgspec.json.decode(line, type=str)]))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    typer.run(serve)
