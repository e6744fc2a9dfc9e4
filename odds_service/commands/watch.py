"""`odds-service watch`: every change as it happens."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

from odds_service.client import (
    Address,
    Cursor,
    Disconnected,
    Filter,
    OddsMap,
    json_line,
    open_sync_client,
)
from odds_service.commands.options import AsJson, connection, cursor, selection, takes
from odds_service.commands.text import lines


@takes(address=connection, where=selection)
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
    as_json: AsJson = False,
    address: Address,
    where: Filter,
) -> None:
    """Print changes until ^C, resuming by itself after a lost connection.

    With --json, print every message of the stream, including images and heartbeats.
    """
    console, complaints = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
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
        for message in watching.messages():
            if isinstance(message, Disconnected):
                text = f"{message.error}; trying again in {message.retry_in_s:.1f} s"
                complaints.print(text, style="yellow", markup=False, highlight=False)
            elif as_json:
                typer.echo(json_line(message))
            else:
                for line in lines(message, names.of):
                    console.print(line, markup=False, highlight=False)


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
