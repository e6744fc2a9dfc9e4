"""`odds-service get`: the current or past odds."""

from typing import Annotated, Final

import typer
from rich.console import Console

from odds_service.client import Address, Filter, connect, json_line, odds_request
from odds_service.commands.odds_table import arbitrages, best_table, heading, odds_tables, suspects
from odds_service.commands.options import (
    LOG_PLACE,
    AsJson,
    LogPlace,
    connection,
    log_place,
    selection,
    takes,
)
from odds_service.commands.text import counted
from odds_service.errors import UnknownEvent

CALL_S: Final = 60


@takes(address=connection, where=selection)
def get(
    event_ids: Annotated[
        list[str] | None, typer.Argument(help="Event ids (see `events`); default: all.")
    ] = None,
    *,
    best: Annotated[
        bool, typer.Option("--best", help="Also show best prices, overrounds and arbitrages.")
    ] = False,
    as_of: Annotated[
        LogPlace | None,
        typer.Option(parser=log_place, metavar=LOG_PLACE, help="The odds as they were then."),
    ] = None,
    as_json: AsJson = False,
    address: Address,
    where: Filter,
) -> None:
    """Print the current or past odds, with bookmakers side by side."""
    request = odds_request(where, include_best=best, as_of=as_of.at if as_of else None)
    request.filter.event_ids.extend(event_ids or ())
    with connect(address) as stub:
        reply = stub.GetOdds(request, timeout=CALL_S)
    missing = set(event_ids or ()) - {entry.event.id for entry in reply.events}
    if missing and not reply.events:
        then = " then" if as_of else ""
        raise UnknownEvent(f"no such event{then}: {', '.join(sorted(missing))}; see `events`")
    if as_json:
        typer.echo(json_line(reply))
        return
    console = Console()
    for entry in reply.events:
        console.print(heading(entry.event), style="bold", markup=False, highlight=False)
        for table in odds_tables(entry, console.width):
            console.print(table)
        if entry.best:
            console.print(best_table(entry, console.width))
    for line in arbitrages(reply):
        console.print(f"arbitrage {line}", markup=False, highlight=False, soft_wrap=True)
    for line in suspects(reply):
        console.print(f"suspect {line}", markup=False, highlight=False, soft_wrap=True)
    at = f"revision {reply.cursor.revision}, stored up to {reply.durable_revision}"
    console.print(f"{counted(len(reply.events), 'event')} at {at}", highlight=False)
