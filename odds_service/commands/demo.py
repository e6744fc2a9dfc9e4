"""`odds-service demo`: a simulated bookmaker, the service, and a live table of changes."""

import os
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import trio
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table

from odds_service.client import Address, ServiceError, connect, enum_word
from odds_service.commands.serve import only_error
from odds_service.commands.text import bare_prices_text, key_text, lines, prices_text
from odds_service.config import Settings, load_settings
from odds_service.demo.bookmaker import SimulatedBookmaker, run_bookmaker
from odds_service.demo.settings import SimulationSettings
from odds_service.errors import OddsServiceError
from odds_service.logs import configure_logs
from odds_service.service import Running, run_service
from odds_service.signals import stop_on_signals
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

SIMULATION: Final = SimulationSettings(
    sports=2, events=12, bookmakers=4, markets_per_bookmaker=5, pace="clock", step_s=1.0
)
ROWS: Final = 100  # changes kept, enough for any terminal
AROUND: Final = 7  # lines of the table besides its rows
NAMED_FROM: Final = 150  # the terminal width from which outcomes are named
WHOLE_FROM: Final = 100  # the width from which the time and the odds before are shown
# The shares of the remaining width for columns that may be truncated.
SHARES: Final = {"event": 5, "bookmaker": 4, "market": 5}
ODDS: Final = ("before", "after")
NAMED_ODDS: Final = 31  # characters for three prices with their names
BARE_ODDS: Final = 17
REFRESH_PER_S: Final = 4
REAL_INTERVAL_S: Final = 60.0  # for the real API, where each pull costs quota


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
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "warning",
) -> None:
    """Show odds as they change: scraped over HTTP, stored, and watched over gRPC.

    The odds come from a simulated bookmaker, or from The Odds API if ODDS_API_KEY is set.
    """
    configure_logs(log_level, "auto")
    with tempfile.TemporaryDirectory() if database is None else nullcontext() as folder:
        place = database or str(Path(folder or "") / "odds.db")
        url = place if "://" in place else f"sqlite:///{place}"
        settings = load_settings(server={"listen": listen}, database={"url": url, "migrate": True})
        trio.run(_demo, settings, sport or ["soccer_epl"], seconds, table)


async def _demo(
    settings: Settings, sports: list[str], seconds: float | None, with_table: bool
) -> None:
    stop = trio.Event()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_on_signals, stop, nursery.cancel_scope)
            if os.environ.get("ODDS_API_KEY"):
                source = {"sports": sports, "interval_s": REAL_INTERVAL_S}
            else:
                source = await _simulated(nursery)
            table = {"kind": "the-odds-api"} | source
            chosen = settings.model_copy(update={"sources": [table]})
            async with trio.open_nursery() as serving:
                running: Running = await serving.start(run_service, chosen, stop)
                serving.start_soon(_show, running, with_table)
                with trio.move_on_after(float("inf") if seconds is None else seconds):
                    await stop.wait()
                stop.set()
            nursery.cancel_scope.cancel()
    except* OddsServiceError as group:
        raise only_error(group) from group


async def _simulated(nursery: trio.Nursery) -> dict[str, Any]:
    port: int = await nursery.start(run_bookmaker, SIMULATION)
    offer = SimulatedBookmaker(SIMULATION)
    return {
        "url": f"http://127.0.0.1:{port}",
        "api_key": "simulated",
        "sports": offer.sport_keys,
        "regions": list(SIMULATION.regions),
        "markets": list(offer.market_keys),
        "interval_s": SIMULATION.step_s,
    }


async def _show(running: Running, with_table: bool) -> None:
    """Watch the service from a thread, like any client, until it ends the stream."""
    console = Console()
    board = Board(running)
    if with_table:
        first = board.render(*console.size)
        with Live(first, console=console, refresh_per_second=REFRESH_PER_S) as live:

            def take(message: pb.WatchChangesResponse) -> None:
                board.take(message)
                live.update(board.render(*console.size))

            await trio.to_thread.run_sync(partial(_follow, running.address, take))
    else:

        def write(message: pb.WatchChangesResponse) -> None:
            board.take(message)
            for line in lines(message, board.name_of):
                console.print(line, markup=False, highlight=False, soft_wrap=True)

        await trio.to_thread.run_sync(partial(_follow, running.address, write))
    console.print(board.summary())


def _follow(address: str, take: Callable[[pb.WatchChangesResponse], None]) -> None:
    try:
        with connect(Address(address)) as stub:
            for message in stub.WatchChanges(pb.WatchChangesRequest()):
                take(message)
    except ServiceError as error:
        if error.code != "UNAVAILABLE":  # a stopping server ends its streams with UNAVAILABLE
            raise OddsServiceError(str(error)) from None


class Board:
    """The latest changes, newest first, and a summary of all changes."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._rows: deque[tuple[pb.Change, str]] = deque(maxlen=ROWS)
        self._names: dict[str, str] = {}
        self.changes = 0

    def take(self, message: pb.WatchChangesResponse) -> None:
        kind = message.WhichOneof("message")
        if kind == "image":
            self._names |= {entry.event.id: entry.event.name for entry in message.image.events}
        if kind != "changes":
            return
        for change in message.changes.changes:
            self.changes += 1
            self._names |= {change.event.id: change.event.name} if change.HasField("event") else {}
            self._rows.appendleft((change, self._names.get(change.event_id, change.source)))

    def name_of(self, event_id: str) -> str:
        return self._names.get(event_id, event_id)

    def render(self, width: int, height: int) -> Table:
        table = changes_table(tuple(self._rows), width, height)
        table.title = f"odds as they change · gRPC at {self._running.address} · ^C ends"
        table.caption = self.summary()
        return table

    def summary(self) -> str:
        feed = self._running.parts.feed
        return (
            f"{self.changes} changes seen; revision {feed.head_revision}, "
            f"stored up to {feed.durable_revision}; {len(self._running.parts.cache.events)} events"
        )


def changes_table(changes: Sequence[tuple[pb.Change, str]], width: int, height: int) -> Table:
    """Return a table of the changes that fit, one per line, with kind and prices in full."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, expand=True)
    most = NAMED_ODDS if width >= NAMED_FROM else BARE_ODDS
    for name in _cells(pb.Change(), "", width):
        table.add_column(
            name,
            no_wrap=True,
            overflow="ellipsis",
            ratio=SHARES.get(name),
            max_width=most if name in ODDS else None,
        )
    for change, event in changes[: max(height - AROUND, 1)]:
        table.add_row(*_cells(change, event, width).values())
    return table


def _cells(change: pb.Change, event: str, width: int) -> dict[str, str]:
    """Return the cells of a change by column, for a terminal of `width` characters."""
    market = change.HasField("after")
    odds = prices_text if width >= NAMED_FROM else bare_prices_text
    cells = {
        "time": f"{change.detected_at.ToDatetime():%H:%M:%S}",
        "change": enum_word(pb.ChangeKind.Name, change.kind, "CHANGE_KIND_"),
        "event": event,
        "bookmaker": change.bookmaker,
        "market": key_text(change.after.key) if market else "",
        "before": odds(change.before) if change.HasField("before") else "",
        "after": odds(change.after) if market else change.reason,
    }
    if width < WHOLE_FROM:
        del cells["time"], cells["before"]
    return cells
