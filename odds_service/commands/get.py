"""`odds-service get`: the odds as they are now."""

from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from odds_service.client import Address, Filter, connect, enum_word, json_line, odds_request
from odds_service.commands.options import AsJson, connection, selection, takes
from odds_service.commands.text import key_text, prices_text
from odds_service.rpc.pb.odds.v1 import odds_pb2 as pb

CALL_S: Final = 60


@takes(address=connection, where=selection)
def get(
    event_ids: Annotated[
        list[str] | None, typer.Argument(help="Event ids (see `events`); none: all.")
    ] = None,
    *,
    best: Annotated[
        bool, typer.Option("--best", help="Also best prices and overrounds per market.")
    ] = False,
    as_json: AsJson = False,
    address: Address,
    where: Filter,
) -> None:
    """Print the current odds, bookmakers side by side."""
    request = odds_request(where, include_best=best)
    request.filter.event_ids.extend(event_ids or ())
    with connect(address) as stub:
        reply = stub.GetOdds(request, timeout=CALL_S)
    if as_json:
        typer.echo(json_line(reply))
        return
    console = Console()
    for entry in reply.events:
        console.print(_table(entry))
        if entry.best:
            console.print(_best(entry))
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


def _best(entry: pb.EventOdds) -> Table:
    table = Table("market", "best prices", "overround", "left out", title="best prices")
    for market in entry.best:
        legs = "  ".join(f"{leg.outcome} {leg.price:g} ({leg.bookmaker})" for leg in market.prices)
        combined = market.combined_overround
        overround = f"{combined:+.2%}" if market.HasField("combined_overround") else ""
        reasons = [
            f"{each.bookmaker} "
            + enum_word(pb.ExclusionReason.Name, each.reason, "EXCLUSION_REASON_")
            for each in market.exclusions
        ]
        table.add_row(key_text(market.key), legs, overround, ", ".join(reasons))
    return table
