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
        typer.Option(parser=cursor, metavar="EPOCH:REVISION", help="Go on after this cursor."),
    ] = None,
    conflate: Annotated[
        float, typer.Option(min=0, help="One change per market in so many seconds; 0: each.")
    ] = 0.0,
    heartbeat: Annotated[
        float | None, typer.Option(min=0, help="Longest silence in seconds; none: the server's.")
    ] = None,
    latest: Annotated[
        bool, typer.Option("--latest", help="When too slow: an image, not every old change.")
    ] = False,
    image_only: Annotated[
        bool, typer.Option("--image-only", help="The odds as they are now, then end.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for a server that is not there yet.")
    ] = False,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="End after so long; none: at ^C.")
    ] = None,
    as_json: AsJson = False,
    address: Address,
    where: Filter,
) -> None:
    """Print changes until ^C; resumes by itself where it was when the connection breaks.

    With --json every message of the stream is printed, image and heartbeats included.
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
    """The names of the events of a map; the id of an event that the map does not hold."""

    def __init__(self, odds: OddsMap) -> None:
        self._odds = odds

    def of(self, event_id: str) -> str:
        entry = self._odds.events.get(event_id)
        return event_id if entry is None else entry.event.name


@contextmanager
def _ended_after(seconds: float | None, end: Callable[[], None]) -> Iterator[None]:
    """Call `end` from another thread after some seconds, unless the block ends before."""
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
