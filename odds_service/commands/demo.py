"""`odds-service demo`: a simulated bookmaker, the service, and a live table of changes."""

import os
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import trio
import typer

from odds_service.client import Address, ServiceError, connect
from odds_service.commands.board import board_address, board_lines, may_open, open_when_asked
from odds_service.commands.change_lines import ChangeLines
from odds_service.commands.first_steps import demo_at, next_commands, typed
from odds_service.commands.live_table import LiveTable
from odds_service.commands.output import Output, unique_length
from odds_service.commands.running import run_in_trio
from odds_service.commands.times import Times
from odds_service.config import Settings, load_settings
from odds_service.demo.bookmaker import SimulatedBookmaker
from odds_service.demo.second import SecondSettings, run_both
from odds_service.demo.settings import Happening, SimulationSettings
from odds_service.errors import OddsServiceError, SettingsError
from odds_service.logs import configure_logs
from odds_service.model.text import counted
from odds_service.ports import is_taken, next_free
from odds_service.service import Running, run_service
from odds_service.signals import stop_on_signals
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

# Events stay for as long as real matches, so that an id that was seen can be asked for later.
SIMULATION: Final = SimulationSettings(
    seed=10, sports=2, events=12, bookmakers=6, markets_per_bookmaker=5, pace="clock", step_s=1.0,
    lead_s=2_400.0, in_play_s=5_400.0, event_absence_share=0.000_1, in_play_change_share=0.2,
    regions=("uk", "eu", "us"),
    # All of it within the first two minutes, for those who look for no longer.
    happenings=(
        Happening(kind="goal", at_s=12.0, every_s=27.0, lasts_s=6.0),
        Happening(kind="drift", at_s=20.0, every_s=90.0, lasts_s=45.0),
        Happening(kind="postponed", at_s=35.0),
        Happening(kind="ended", at_s=75.0),
    ),
)  # fmt: skip
FIRST_REGIONS: Final = ("uk", "eu")
SECOND: Final = SecondSettings(
    sport="soccer_arvenia", sport_id="sr:sport:1", country="Arvenia", bookmaker="tidewatersports",
    down_from_s=40.0, down_to_s=70.0,
)  # fmt: skip
SECOND_DISCOVERY_S: Final = 5.0  # a match that comes is there within seconds
REAL_INTERVAL_S: Final = 60.0  # for the real API, where each pull costs quota
GO_ON: Final = "go on with docs/tutorial.md: from here to a source of your own and a back-test"


def demo(
    *,
    seconds: Annotated[
        float | None, typer.Option(help="Stop after this many seconds; default: at ^C.")
    ] = None,
    table: Annotated[bool, typer.Option(help="Live table, or one line per change.")] = True,
    sport: Annotated[
        list[str] | None, typer.Option("--sport", help="With ODDS_API_KEY: scrape this sport.")
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(help="SQLite file or database URL to keep; default: a temporary database."),
    ] = None,
    listen: Annotated[str, typer.Option(help="host:port of the gRPC server.")] = "127.0.0.1:50051",
    board: Annotated[
        str, typer.Option(help="host:port of the board and the HTTP API; empty: neither.")
    ] = "127.0.0.1:8050",
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "warning",
) -> None:
    """Show odds as they change: scraped, stored, and watched over gRPC and in a browser.

    The odds come from a simulated bookmaker, or from The Odds API if ODDS_API_KEY is set.
    """
    configure_logs(log_level, "auto")
    with tempfile.TemporaryDirectory() if database is None else nullcontext() as folder:
        place = database or str(Path(folder or "") / "odds.db")
        url = place if "://" in place else f"sqlite:///{place}"
        shown = _board_at(board)
        settings = load_settings(
            server={"listen": listen}, http={"listen": shown},
            database={"url": url, "migrate": True},
        )  # fmt: skip
        _check_port(settings.server.listen)
        refused = f"{board} is in use" if shown != board else ""
        run_in_trio(_demo, settings, sport or ["soccer_epl"], seconds, table, refused)


def _board_at(listen: str) -> str:
    """Return the address for the board: the one asked for, or one with a free port."""
    host, _, port = listen.rpartition(":")
    if host and port.isdecimal() and int(port) and is_taken(host, int(port)):
        return f"{host}:0"
    return listen


def _check_port(listen: str) -> None:
    """Raise SettingsError, with a command for the next free port, if this one is taken."""
    host, _, port = listen.rpartition(":")
    if is_taken(host, int(port)) and (near := next_free(host, int(port))) is not None:
        instead = demo_at(typed(), f"{host}:{near}")
        raise SettingsError(f"{listen} is in use; the next port is free: {instead}")


async def _demo(
    settings: Settings, sports: list[str], seconds: float | None, with_table: bool, refused: str
) -> None:
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop_on_signals, stop, nursery.cancel_scope)
        if os.environ.get("ODDS_API_KEY"):
            tables = [{"kind": "the-odds-api", "sports": sports, "interval_s": REAL_INTERVAL_S}]
        else:
            tables = await _simulated(nursery)
        chosen = settings.model_copy(update={"sources": tables})
        async with trio.open_nursery() as serving:
            running: Running = await serving.start(run_service, chosen, stop)
            board = board_address(running.server.addresses[1:])
            serving.start_soon(_show, running, with_table, board, refused)
            opening = trio.CancelScope()
            if board and may_open():
                serving.start_soon(open_when_asked, board, opening)
            with trio.move_on_after(float("inf") if seconds is None else seconds):
                await stop.wait()
            stop.set()
            opening.cancel()
        nursery.cancel_scope.cancel()


async def _simulated(nursery: trio.Nursery) -> list[dict[str, Any]]:
    """Serve a simulated bookmaker and a second source of it; return their settings."""
    first = SimulatedBookmaker(SIMULATION)
    ports: tuple[int, int] = await nursery.start(run_both, first, SECOND)
    every_s = SIMULATION.step_s
    return [
        {
            "kind": "the-odds-api",
            "url": f"http://127.0.0.1:{ports[0]}",
            "api_key": "simulated",
            "sports": first.sport_keys,
            "regions": list(FIRST_REGIONS),
            "markets": first.market_keys,
            "interval_s": every_s,
        },
        {
            "kind": "sportybet",
            "name": "second",
            "url": f"http://127.0.0.1:{ports[1]}",
            "sports": [SECOND.sport_id],
            "tiers": [{"name": "all", "interval_s": every_s}],
            "discovery_s": SECOND_DISCOVERY_S,
            "http": {"requests_per_s": 50.0},
        },
    ]


async def _show(running: Running, with_table: bool, board: str, refused: str) -> None:
    """Watch the service from a thread, like any client, until it ends the stream."""
    out, times, names = Output(), Times(), dict[str, str]()
    lines = ChangeLines(times, name_of=lambda event_id: names.get(event_id, event_id),
                        aligned=out.on_terminal)  # fmt: skip
    title = f"odds as they change · gRPC at {running.address} · ^C ends"
    hints = _Hints(running.address, board_lines(board, refused))
    table = LiveTable(times, lines, title, lambda: _summary(running, table), hints.lines)

    def take(message: pb.WatchChangesResponse) -> None:
        events = [entry.event for entry in message.image.events]
        events += [each.event for each in message.changes.changes if each.HasField("event")]
        names.update({event.id: event.name for event in events})
        hints.starts.update({event.id: event.start_time.ToNanoseconds() for event in events})
        table.take(message)

    if with_table and out.on_terminal:
        with table.shown(out.console) as redraw:

            def draw(message: pb.WatchChangesResponse) -> None:
                take(message)
                redraw()

            await trio.to_thread.run_sync(partial(_follow, running.address, draw))
            hints.over = True  # what stays on the screen
            redraw()
    else:

        def write(message: pb.WatchChangesResponse) -> None:
            take(message)
            for line in lines.message(message):
                out.parts(*line)
            for hint in hints.once():
                out.remark(hint)

        await trio.to_thread.run_sync(partial(_follow, running.address, write))
        out.line(_summary(running, table))
    out.remark(GO_ON)


class _Hints:
    """The commands to type in a second terminal, once there are odds to look at."""

    def __init__(self, address: str, first: list[str]) -> None:
        self._address = address
        self._first = first  # lines about the board
        self._program = typed()
        self.starts: dict[str, int] = {}  # events with their starts, in nanoseconds
        self.over = False

    def lines(self) -> list[str]:
        """Return the lines; none before the first odds and after the end."""
        if self.over or not self.starts:
            return []
        last = max(self.starts, key=self.starts.__getitem__)  # it stays for longest
        beginning = last[: unique_length(list(self.starts))]
        commands = next_commands(self._program, self._address, beginning)
        return [
            *self._first,
            "type in a second terminal:",
            *(f"  {command}" for command in commands),
        ]

    def once(self) -> list[str]:
        """Return the lines the first time that there are any."""
        lines = self.lines()
        self.over = self.over or bool(lines)
        return lines


def _summary(running: Running, table: LiveTable) -> str:
    feed = running.parts.feed
    return (
        f"{counted(table.changes, 'change')} seen; revision {feed.head_revision}, "
        f"stored up to {feed.durable_revision}; {counted(len(running.parts.cache.events), 'event')}"
    )


def _follow(address: str, take: Callable[[pb.WatchChangesResponse], None]) -> None:
    try:
        with connect(Address(address)) as stub:
            for message in stub.WatchChanges(pb.WatchChangesRequest()):
                take(message)
    except ServiceError as error:
        if error.code != "UNAVAILABLE":  # a stopping server ends its streams with UNAVAILABLE
            raise OddsServiceError(str(error)) from None
