"""A bookmaker whose bodies were made ahead, as a process of its own.

The bodies are the simulator's, some cycles of them, served to and fro, so that each step changes
the same share of the markets. Making them while the service is measured would measure that too.
A body is a sport's, or (`--by-event`) one bookmaker's for one event.

Prints `{"port": N, "sports": […], "markets": […], "names": […], "shown": N, "bodies": […]}`, and
then answers lines: a number lets each body go that many cycles further (a request beyond them
waits), null lets all go on for ever. An answer is `{"served": bodies so far, "until": how many they
will be, null for no end, "waiting": requests that are held}`.
"""

import math
import os
from functools import partial
from typing import Annotated, Any

import msgspec
import trio
import typer
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import request_response

from odds_service.asgi import Limits, serve_app
from odds_service.demo import names
from odds_service.demo.settings import SimulationSettings
from odds_service.model.observation import Observation
from tools.benchmarks.load import Load, markets_of, settings_of
from tools.benchmarks.processes import tell

Bodies = dict[str, bytes]  # by path, and bookmaker if it is one's alone

BARE = "bare"  # a query parameter: return the next body without counting it


class Bookmaker:
    """The application: serves body after body up to the allowed step; lists are not counted."""

    def __init__(self, cycles: list[Bodies], lists: Bodies) -> None:
        self._cycles = cycles
        self._lists = lists
        self._served = dict.fromkeys(cycles[0], 0)
        self._allowed: float = 0
        self.waiting = 0  # requests that are held
        self._moved = trio.Event()

    @property
    def served(self) -> int:
        """The number of bodies that were sent completely."""
        return sum(self._served.values())

    @property
    def until(self) -> int | None:
        """The number of bodies served once each has reached its limit."""
        return None if math.isinf(self._allowed) else int(self._allowed) * len(self._served)

    def allow(self, cycles: int | None) -> None:
        """Allow this many cycles beyond the most advanced body; None removes the limit."""
        if cycles is None:
            self._allowed = math.inf
        else:
            self._allowed = max(self._served.values()) + cycles
        self._moved.set()
        self._moved = trio.Event()

    async def __call__(self, request: Request) -> Response:
        path = request.scope["path"]
        if path in self._lists:
            return Response(self._lists[path])
        of_one = request.query_params.get("bookmakers")
        which = path if of_one is None else f"{path} {of_one}"
        place = self._served[which]
        if request.query_params.get(BARE) is not None:
            return Response(self._body(which, place))
        self.waiting += 1
        while place >= self._allowed:
            await self._moved.wait()
        self.waiting -= 1

        async def sent() -> None:
            self._served[which] += 1

        return Response(self._body(which, place), background=BackgroundTask(sent))

    def _body(self, which: str, place: int) -> bytes:
        last = len(self._cycles) - 1
        turn = place % (2 * last) if last else 0
        return self._cycles[min(turn, 2 * last - turn)][which]


def path_of(sport: str, event_id: str | None = None) -> str:
    """Return the path of a body, as at The Odds API."""
    return f"/v4/sports/{sport}/" + ("odds" if event_id is None else f"events/{event_id}/odds")


def by_event(sports: Bodies) -> Bodies:
    """Split the bodies of sports into one per bookmaker and event."""
    cut: Bodies = {}
    for sport, body in sports.items():
        for event in msgspec.json.decode(body, type=list[dict[str, Any]]):
            for bookmaker in event["bookmakers"]:
                path = f"{path_of(sport, event['id'])} {bookmaker['key']}"
                cut[path] = msgspec.json.encode(event | {"bookmakers": [bookmaker]})
    return cut


def lists_of(sports: Bodies) -> Bodies:
    """Return the list of each sport's events, without odds."""
    lists: Bodies = {}
    for sport, body in sports.items():
        events = msgspec.json.decode(body, type=list[dict[str, Any]])
        bare = [{name: each[name] for name in each if name != "bookmakers"} for each in events]
        lists[f"/v4/sports/{sport}/events"] = msgspec.json.encode(bare)
    return lists


def serve(
    *,
    events: Annotated[int, typer.Option()],
    bookmakers: Annotated[int, typer.Option()],
    markets: Annotated[int, typer.Option()],
    sports: Annotated[int, typer.Option()],
    changed: Annotated[float, typer.Option()] = 0.05,
    cycles: Annotated[int, typer.Option()] = 4,
    small: Annotated[int, typer.Option(help="Markets in one more sport, of one event.")] = 0,
    single: Annotated[bool, typer.Option("--by-event", help="A body for each event.")] = False,
) -> None:
    """Make the bodies, then serve them until SIGTERM."""
    settings = settings_of(events, bookmakers, markets, changed, sports=sports)
    trio.run(_serve, settings, cycles, small, single)


async def _serve(settings: SimulationSettings, cycles: int, small: int, single: bool) -> None:
    load = Load(settings)
    bodies = [await load.bodies() for _ in range(cycles)]
    offered = set(load.bookmaker.market_keys)
    shown = markets_of([await _read(load, body) for body in bodies[0].items()])
    if small:
        other = Load(
            settings_of(
                settings.sports + 1, settings.bookmakers, small, settings.change_share,
                sports=settings.sports + 1,
            )
        )  # fmt: skip
        for cycle in bodies:
            sport, body = list((await other.bodies()).items())[-1]
            cycle[sport] = body
        offered |= set(other.bookmaker.market_keys)
        shown += small * settings.bookmakers
    sports = list(bodies[0])
    lists = lists_of(bodies[0]) if single else {}
    served = [
        by_event(cycle) if single else {path_of(sport): body for sport, body in cycle.items()}
        for cycle in bodies
    ]
    del bodies
    bookmaker = Bookmaker(served, lists)
    async with trio.open_nursery() as nursery:
        # A request may wait while a part measures something else.
        limits = Limits(idle_s=3_600.0, request_s=3_600.0)
        port = await nursery.start(partial(serve_app, request_response(bookmaker), limits=limits))
        tell(
            {"port": port, "sports": sports, "markets": sorted(offered), "shown": shown,
             "names": [key for key, _ in names.bookmakers(settings.bookmakers)],
             "bodies": list(served[0]), "bytes": sum(map(len, served[0].values()))}
        )  # fmt: skip
        async for line in trio.lowlevel.FdStream(os.dup(0)):  # standard input
            for question in line.splitlines():
                bookmaker.allow(msgspec.json.decode(question, type=int | None))
                tell(
                    {"served": bookmaker.served, "until": bookmaker.until,
                     "waiting": bookmaker.waiting}
                )  # fmt: skip
        nursery.cancel_scope.cancel()


async def _read(load: Load, body: tuple[str, bytes]) -> Observation:
    await trio.lowlevel.checkpoint()
    raws = msgspec.json.decode(body[1], type=list[msgspec.Raw])
    return load.observation(body[0], load.read(raws))


if __name__ == "__main__":
    typer.run(serve)
