"""`odds-service refresh`: fetch an event now."""

from typing import Annotated, Final

import typer

from odds_service.client import Address, connect, refresh_request
from odds_service.commands.change_lines import ChangeLines
from odds_service.commands.finding import whole_ids
from odds_service.commands.options import AsJson, complete_event, connection, output, takes, times
from odds_service.commands.output import Output
from odds_service.commands.times import Times
from odds_service.model.text import counted
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

MARGIN_S: Final = 5.0  # added to the server's deadline, so that its own error arrives first


@takes(address=connection, out=output, shown=times)
def refresh(
    event_id: Annotated[
        str,
        typer.Argument(
            autocompletion=complete_event, help="Event id or its beginning (see `events`)."
        ),
    ],
    *,
    deadline: Annotated[
        float, typer.Option(min=0.1, help="Time limit for fetch and commit, in seconds.")
    ] = 30.0,
    as_json: AsJson = False,
    address: Address,
    out: Output,
    shown: Times,
) -> None:
    """Fetch an event now from all its sources, and wait until the result is stored.

    Exit with code 1 if a source failed.
    """
    with connect(address) as stub:
        (whole,) = whole_ids(stub, [event_id])
        request = refresh_request(whole, deadline)
        reply = stub.RefreshEvent(request, timeout=deadline + MARGIN_S)
    if as_json:
        out.json(reply)
    else:
        _print(reply, ChangeLines(shown), out)
    if not all(source.ok for source in reply.sources):
        raise typer.Exit(1)


def _print(reply: pb.RefreshEventResponse, lines: ChangeLines, out: Output) -> None:
    for change in reply.changes:
        out.parts(*lines.change(change))
    for source in reply.sources:
        outcome = "fetched" if source.ok else f"failed: {source.error_code}: {source.error_message}"
        out.sentence(f"{source.source}: {outcome}", style="" if source.ok else "red")
    out.line(
        f"{counted(len(reply.changes), 'change')} at revision {reply.cursor.revision}, "
        f"stored up to {reply.durable_revision}"
    )
