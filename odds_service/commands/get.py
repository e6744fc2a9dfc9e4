"""`odds-service get`: the odds as they are now."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from odds_service.client import connect, json_line
from odds_service.commands.options import (
    DEFAULT_SERVER,
    AsJson,
    Bookmakers,
    Ca,
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


def get(
    *,
    event: Annotated[
        list[str] | None, typer.Argument(help="Event ids (see `events`); none: all.")
    ] = None,
    sport: Sports = None,
    bookmaker: Bookmakers = None,
    market: Markets = None,
    server: Server = DEFAULT_SERVER,
    ca: Ca = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Print the current odds, bookmakers side by side."""
    request = pb.GetOddsRequest(filter=filter_of(sport, event, bookmaker, market))
    with connect(address_of(server, ca, token)) as stub:
        reply = stub.GetOdds(request, timeout=60)
    if as_json:
        typer.echo(json_line(reply))
        return
    console = Console()
    for entry in reply.events:
        console.print(_table(entry))
    at = f"revision {reply.cursor.revision}, stored up to {reply.durable_revision}"
    console.print(f"{len(reply.events)} events at {at}")


def _table(entry: pb.EventOdds) -> Table:
    start = entry.event.start_time.ToDatetime().strftime("%Y-%m-%d %H:%M UTC")
    title = f"{entry.event.name} · {entry.event.competition} · {start}\n{entry.event.id}"
    table = Table(title=title)
    table.add_column("market")
    shown: dict[tuple[str, float, str], dict[int, str]] = {}
    for place, odds in enumerate(entry.bookmakers):
        table.add_column(odds.bookmaker + (" (stale)" if odds.stale else ""))
        for market in odds.markets:
            key = (market.key.market, market.key.line, market.key.participant)
            row = shown.setdefault(key, {-1: key_text(market.key)})
            suspended = market.status == pb.MARKET_STATUS_SUSPENDED
            row[place] = prices_text(market) + (" suspended" if suspended else "")
    for key in sorted(shown):
        cells = [shown[key].get(place, "") for place in range(-1, len(entry.bookmakers))]
        table.add_row(*cells)
    return table
