"""`odds-service watch`: every change as it happens."""

import time
from collections.abc import Iterator
from typing import Annotated, Final

import typer
from rich.console import Console

from odds_service.client import Address, ServiceError, connect, json_line
from odds_service.commands.options import (
    DEFAULT_SERVER,
    AsJson,
    Bookmakers,
    Ca,
    Events,
    Markets,
    Server,
    Sports,
    Token,
    address_of,
    filter_of,
    key_text,
    prices_text,
)
from odds_service.rpc.pb.odds.v1 import odds_pb2 as pb

RETRY_FIRST_S: Final = 0.5
RETRY_MAX_S: Final = 15.0


def watch(
    *,
    sport: Sports = None,
    event: Events = None,
    bookmaker: Bookmakers = None,
    market: Markets = None,
    resume: Annotated[
        str | None, typer.Option(help="Go on after this cursor, EPOCH:REVISION.")
    ] = None,
    server: Server = DEFAULT_SERVER,
    ca: Ca = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Print changes until ^C; resumes by itself where it was when the connection breaks.

    With --json every message of the stream is printed, image and heartbeats included.
    """
    request = pb.WatchChangesRequest(filter=filter_of(sport, event, bookmaker, market))
    if resume is not None:
        request.resume.CopyFrom(_cursor(resume))
    console = Console(soft_wrap=True)
    for message in _messages(address_of(server, ca, token), request):
        if as_json:
            typer.echo(json_line(message))
        else:
            for line in lines(message):
                console.print(line, markup=False, highlight=False)


def _cursor(text: str) -> pb.Cursor:
    epoch, _, revision = text.rpartition(":")
    if not epoch or not revision.isdigit():
        raise typer.BadParameter(f"{text!r} is not EPOCH:REVISION", param_hint="--resume")
    return pb.Cursor(epoch=epoch, revision=int(revision))


def _messages(
    address: Address, request: pb.WatchChangesRequest
) -> Iterator[pb.WatchChangesResponse]:
    """The messages of one stream after another, each resumed at the cursor before.

    Raises ServiceError when the first connection fails, or for what trying again cannot mend.
    """
    wait_s, connected = RETRY_FIRST_S, False
    while True:
        try:
            with connect(address) as stub:
                whole = True  # a cursor inside an image is none to resume at
                for message in stub.WatchChanges(request):
                    connected, wait_s = True, RETRY_FIRST_S
                    kind = message.WhichOneof("message")
                    if kind in {"image_begin", "lagged"} or (
                        kind == "opened" and message.opened.intent == pb.INTENT_IMAGE
                    ):
                        whole = False
                        request.ClearField("resume")
                    elif kind == "image_end":
                        whole = True
                    if whole and kind is not None:
                        request.resume.CopyFrom(getattr(message, kind).cursor)
                    yield message
        except ServiceError as error:
            if not connected or error.code not in {"UNAVAILABLE", "INTERNAL", "UNKNOWN"}:
                raise
            Console(stderr=True).print(f"{error}; trying again in {wait_s:g} s", style="yellow")
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, RETRY_MAX_S)


def lines(message: pb.WatchChangesResponse) -> Iterator[str]:
    """What a person wants to read of a message: nothing for heartbeats."""
    kind = message.WhichOneof("message")
    if kind == "opened":
        intent = pb.Intent.Name(message.opened.intent).removeprefix("INTENT_").lower()
        reason = pb.IntentReason.Name(message.opened.reason).removeprefix("INTENT_REASON_").lower()
        yield f"— {intent} ({reason}) at revision {message.opened.cursor.revision}"
    elif kind == "image_end":
        end = message.image_end
        yield f"— image: {end.events} events, {end.markets} markets"
    elif kind == "lagged":
        yield f"— changes {message.lagged.lost_from} to {message.lagged.lost_to} were missed"
    elif kind == "closing":
        yield f"— {message.closing.reason}"
    elif kind == "changes":
        for change in message.changes.changes:
            yield change_text(change)


def change_text(change: pb.Change) -> str:
    """One change as one line."""
    name = pb.ChangeKind.Name(change.kind).removeprefix("CHANGE_KIND_").lower()
    at = f"{change.detected_at.ToDatetime():%H:%M:%S}"
    reason = f" ({change.reason})" if change.reason else ""
    if change.kind >= pb.CHANGE_KIND_SOURCE_UP:
        return f"{at}  {name}  {change.source}{reason}"
    if change.kind >= pb.CHANGE_KIND_EVENT_ADDED:
        return f"{at}  {name}  {change.event.name or change.event_id}{reason}"
    before = prices_text(change.before) if change.HasField("before") else ""
    after = prices_text(change.after)
    odds = " → ".join(part for part in (before, after) if part)
    place = f"{change.event_id}  {change.bookmaker}  {key_text(change.after.key)}"
    return f"{at}  {name}  {place}  {odds}{reason}"
