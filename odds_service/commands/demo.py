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
from odds_service.commands.change_lines import ChangeLines
from odds_service.commands.live_table import LiveTable
from odds_service.commands.output import Output
from odds_service.commands.serve import only_error
from odds_service.commands.times import Times
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
    out, times, names = Output(), Times(), dict[str, str]()
    lines = ChangeLines(times, name_of=lambda event_id: names.get(event_id, event_id),
                        aligned=out.on_terminal)  # fmt: skip
    title = f"odds as they change · gRPC at {running.address} · ^C ends"
    table = LiveTable(times, lines, title, lambda: _summary(running, table))

    def take(message: pb.WatchChangesResponse) -> None:
        names.update({entry.event.id: entry.event.name for entry in message.image.events})
        for change in message.changes.changes:
            if change.HasField("event"):
                names[change.event_id] = change.event.name
        table.take(message)

    if with_table and out.on_terminal:
        with table.shown(out.console) as redraw:

            def draw(message: pb.WatchChangesResponse) -> None:
                take(message)
                redraw()

            await trio.to_thread.run_sync(partial(_follow, running.address, draw))
    else:

        def write(message: pb.WatchChangesResponse) -> None:
            take(message)
            for line in lines.message(message):
                out.parts(*line)

        await trio.to_thread.run_sync(partial(_follow, running.address, write))
    out.line(_summary(running, table))


def _summary(running: Running, table: LiveTable) -> str:
    feed = running.parts.feed
    return (
        f"{table.changes} changes seen; revision {feed.head_revision}, "
        f"stored up to {feed.durable_revision}; {len(running.parts.cache.events)} events"
    )


def _follow(address: str, take: Callable[[pb.WatchChangesResponse], None]) -> None:
    try:
        with connect(Address(address)) as stub:
            for message in stub.WatchChanges(pb.WatchChangesRequest()):
                take(message)
    except ServiceError as error:
        if error.code != "UNAVAILABLE":  # a stopping server ends its streams with UNAVAILABLE
            raise OddsServiceError(str(error)) from None
