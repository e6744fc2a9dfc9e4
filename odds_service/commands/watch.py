"""`odds-service watch`: every change as it happens."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from odds_service.client import (
    Address,
    Cursor,
    Disconnected,
    Filter,
    OddsMap,
    connect,
    open_sync_client,
)
from odds_service.commands.change_lines import ChangeLines
from odds_service.commands.finding import resolved
from odds_service.commands.live_table import LiveTable
from odds_service.commands.options import (
    LOG_PLACE,
    AsJson,
    LogPlace,
    connection,
    cursor,
    log_place,
    output,
    selection,
    takes,
    times,
)
from odds_service.commands.output import Output
from odds_service.commands.prices import Format, OddsFormat, Prices
from odds_service.commands.replaying import Waits, show_replay
from odds_service.commands.times import Times
from odds_service.model.text import counted
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb


@takes(address=connection, where=selection, out=output, shown=times)
def watch(
    *,
    resume: Annotated[
        Cursor | None,
        typer.Option(parser=cursor, metavar="EPOCH:REVISION", help="Resume after this cursor."),
    ] = None,
    conflate: Annotated[
        float,
        typer.Option(min=0, help="Send one change per market and interval, in seconds; 0: all."),
    ] = 0.0,
    heartbeat: Annotated[
        float | None,
        typer.Option(min=0, help="Longest silence, in seconds; default: the server's."),
    ] = None,
    latest: Annotated[
        bool, typer.Option("--latest", help="When too slow, get an image instead of old changes.")
    ] = False,
    image_only: Annotated[
        bool, typer.Option("--image-only", help="Print the current odds and end.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for a server that is not running yet.")
    ] = False,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="End after this many seconds; default: at ^C.")
    ] = None,
    table: Annotated[
        bool, typer.Option("--table", help="A live table of the latest changes.")
    ] = False,
    replay: Annotated[
        LogPlace | None,
        typer.Option(
            parser=log_place,
            metavar=LOG_PLACE,
            help="Watch the past instead, from this time or after this cursor.",
        ),
    ] = None,
    until: Annotated[
        LogPlace | None,
        typer.Option(
            parser=log_place,
            metavar=LOG_PLACE,
            help="With --replay: stop before this time or after this cursor; default: the newest.",
        ),
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="With --replay: seconds of the past in one second; default: all at once.",
        ),
    ] = None,
    odds_format: Format = OddsFormat.DECIMAL,
    as_json: AsJson = False,
    address: Address,
    where: Filter,
    out: Output,
    shown: Times,
) -> None:
    """Print changes until ^C, resuming by itself after a lost connection.

    With --json, print every message of the stream, including images and heartbeats.
    """
    if replay is None and (until is not None or speed is not None):
        raise typer.BadParameter("--until and --speed need --replay")
    if replay is not None:
        if resume or conflate or heartbeat or latest or image_only or wait or table:
            raise typer.BadParameter("--replay takes only --until, --speed and --seconds beside it")
        if as_json and speed is not None:
            raise typer.BadParameter("--json prints whole messages, so it takes no --speed")
        with connect(address) as stub:
            where = resolved(stub, where, past=True)
        ended = threading.Event()
        end = None if until is None else until.at

        def stop() -> None:
            replaying.end()
            ended.set()

        with (
            open_sync_client(address) as client,
            client.replay(replay.at, end, where=where) as replaying,
            _ended_after(seconds, stop),
        ):
            names = _Names(replaying.odds)
            lines = ChangeLines(shown, Prices(odds_format), names.of, aligned=out.on_terminal)
            show_replay(replaying, lines, Waits(speed, ended), out, as_json=as_json)
        return
    if table and (as_json or not out.on_terminal):
        raise typer.BadParameter("--table needs a terminal, and no --json")
    if not wait:
        with connect(address) as stub:
            where = resolved(stub, where)
    with (
        open_sync_client(address) as client,
        client.watch(
            where,
            start=resume,
            conflate_s=conflate,
            heartbeat_s=heartbeat,
            latest=latest,
            image_only=image_only,
            wait_for_server=wait,
        ) as watching,
        _ended_after(seconds, watching.close),
    ):
        names = _Names(watching.odds)
        lines = ChangeLines(shown, Prices(odds_format), names.of, aligned=out.on_terminal)
        if table:
            _show_table(watching.messages(), lines, shown, out, address.server)
            return
        for message in watching.messages():
            if isinstance(message, Disconnected):
                if message.changed_to is None:  # the client tells the rest itself
                    out.remark(_lost(message), style="yellow")
            elif as_json:
                out.json(message)
            else:
                for line in lines.message(message):
                    out.parts(*line)


def _lost(message: Disconnected) -> str:
    if message.changed_to is not None:
        return f"changing over to {message.changed_to}"
    return f"{message.error}; trying again in {message.retry_in_s:.1f} s"


def _show_table(
    messages: Iterable[pb.WatchChangesResponse | Disconnected],
    lines: ChangeLines,
    shown: Times,
    out: Output,
    server: str,
) -> None:
    state = {"": "connecting"}

    def summary() -> str:
        return f"{counted(table.changes, 'change')} · {state['']}"

    table = LiveTable(shown, lines, f"odds as they change · {server} · ^C ends", summary)
    with table.shown(out.console) as redraw:
        for message in messages:
            if isinstance(message, Disconnected):
                state[""] = _lost(message)
            else:
                kind = message.WhichOneof("message")
                if kind == "changes":
                    state[""] = f"revision {message.changes.cursor.revision}"
                elif kind == "opened":
                    state[""] = f"connected at revision {message.opened.cursor.revision}"
                table.take(message)
            redraw()


class _Names:
    """The names of a map's events; an event that is not in the map gives its id."""

    def __init__(self, odds: OddsMap) -> None:
        self._odds = odds

    def of(self, event_id: str) -> str:
        entry = self._odds.events.get(event_id)
        return event_id if entry is None else entry.event.name


@contextmanager
def _ended_after(seconds: float | None, end: Callable[[], None]) -> Iterator[None]:
    """Call `end` from another thread after some seconds, unless the block ends first."""
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
