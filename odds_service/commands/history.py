"""`odds-service history`: stored changes."""

from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console

from odds_service.client import Address, Filter, connect, history_request, json_line
from odds_service.commands.options import (
    TIME_FORMATS,
    AsJson,
    connection,
    selection,
    takes,
    utc,
)
from odds_service.commands.text import change_text


@takes(address=connection, where=selection)
def history(
    *,
    since: Annotated[
        datetime | None,
        typer.Option(formats=TIME_FORMATS, help="From then on (UTC); none: the oldest kept."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(formats=TIME_FORMATS, help="Before then (UTC); none: the newest stored."),
    ] = None,
    as_json: AsJson = False,
    address: Address,
    where: Filter,
) -> None:
    """Print stored changes in their order; with --json one a line."""
    console = Console(soft_wrap=True)
    with connect(address) as stub:
        for page in stub.GetHistory(history_request(where, utc(since), utc(until))):
            for change in page.changes:
                if as_json:
                    typer.echo(json_line(change))
                else:
                    console.print(change_text(change), markup=False, highlight=False)
