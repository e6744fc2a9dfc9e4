"""`odds-service refresh`: fetch an event now."""

from typing import Annotated, Final

import typer
from rich.console import Console

from odds_service.client import Address, connect, json_line, refresh_request
from odds_service.commands.options import AsJson, connection, takes
from odds_service.commands.text import change_text

MARGIN_S: Final = 5.0  # added to the server's deadline, so that its own error arrives first


@takes(address=connection)
def refresh(
    event_id: Annotated[str, typer.Argument(help="Event id (see `events`).")],
    *,
    deadline: Annotated[
        float, typer.Option(min=0.1, help="Time limit for fetch and commit, in seconds.")
    ] = 30.0,
    as_json: AsJson = False,
    address: Address,
) -> None:
    """Fetch an event now from all its sources, and wait until the result is stored."""
    request = refresh_request(event_id, deadline)
    with connect(address) as stub:
        reply = stub.RefreshEvent(request, timeout=deadline + MARGIN_S)
    if as_json:
        typer.echo(json_line(reply))
        return
    console = Console(soft_wrap=True)
    for change in reply.changes:
        console.print(change_text(change), markup=False, highlight=False)
    for source in reply.sources:
        outcome = "fetched" if source.ok else f"failed: {source.error_code}: {source.error_message}"
        console.print(f"{source.source}: {outcome}", markup=False, highlight=False)
    console.print(
        f"{len(reply.changes)} changes at revision {reply.cursor.revision}, stored up to"
        f" {reply.durable_revision}",
        highlight=False,
    )
