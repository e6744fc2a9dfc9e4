"""`odds-service get`: the current or past odds."""

import sys
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from odds_service.client import Address, Filter, connect, odds_request
from odds_service.commands.finding import explain_nothing, resolved, whole_ids, with_odds
from odds_service.commands.odds_csv import write_csv
from odds_service.commands.odds_table import (
    Shown,
    arbitrages,
    best_grid,
    heading,
    odds_grids,
    prices_before,
    suspects,
)
from odds_service.commands.options import (
    LOG_PLACE,
    AsJson,
    LogPlace,
    complete_event,
    connection,
    log_place,
    one_form,
    output,
    selection,
    takes,
    times,
)
from odds_service.commands.output import Output
from odds_service.commands.prices import Format, OddsFormat, Prices
from odds_service.commands.times import Times, read_time
from odds_service.model.text import counted
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc

CALL_S: Final = 60
WIDE_FROM: Final = 120  # the width from which the margin of each bookmaker is shown


@takes(address=connection, where=selection, out=output, shown=times)
def get(
    event_ids: Annotated[
        list[str] | None,
        typer.Argument(
            autocompletion=complete_event,
            help="Event ids or their beginnings (see `events`); default: all.",
        ),
    ] = None,
    *,
    best: Annotated[
        bool, typer.Option("--best", help="Also show best prices, overrounds and arbitrages.")
    ] = False,
    as_of: Annotated[
        LogPlace | None,
        typer.Option(parser=log_place, metavar=LOG_PLACE, help="The odds as they were then."),
    ] = None,
    moves: Annotated[
        datetime | None,
        typer.Option(parser=read_time, metavar="TIME", help="Mark what moved since: ▲ up, ▼ down."),
    ] = None,
    odds_format: Format = OddsFormat.DECIMAL,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="One line of CSV for each outcome and bookmaker.")
    ] = False,
    as_json: AsJson = False,
    address: Address,
    where: Filter,
    out: Output,
    shown: Times,
) -> None:
    """Print the current or past odds, with bookmakers side by side."""
    one_form(as_csv=as_csv, as_json=as_json)
    at = as_of.at if as_of else None
    if isinstance(at, datetime) and at > datetime.now(UTC):
        raise typer.BadParameter(f"--as-of {shown.iso(at)} is in the future")
    with connect(address) as stub:
        past = at is not None
        where = resolved(stub, where, past=past)
        chosen = whole_ids(stub, event_ids or (), past=past)
        request = odds_request(where, include_best=best, as_of=at)
        request.filter.event_ids.extend(chosen)
        reply = stub.GetOdds(request, timeout=CALL_S)
        kept = with_odds(reply.events, where)
        del reply.events[:]
        reply.events.extend(kept)
        if not reply.events and (chosen or where != Filter()):
            raise explain_nothing(stub, where, chosen, past=past)
        before = {} if moves is None else _before(stub, request, moves)
    if as_json:
        out.json(reply)
        return
    if as_csv:
        write_csv(reply, sys.stdout)
        return
    now = at if isinstance(at, datetime) else datetime.now(UTC)
    form = Shown(Prices(odds_format), shown, now, before)
    _print(reply, form, out)


def _before(
    stub: pb_grpc.OddsServiceStub, request: pb.GetOddsRequest, moves: datetime
) -> dict[tuple[str, str, str, str, str], float]:
    earlier = pb.GetOddsRequest()
    earlier.CopyFrom(request)
    earlier.include_best = False
    earlier.as_of_time.FromDatetime(moves)
    return prices_before(stub.GetOdds(earlier, timeout=CALL_S))


def _print(reply: pb.GetOddsResponse, form: Shown, out: Output) -> None:
    width = out.width if out.on_terminal else None
    for entry in reply.events:
        out.sentence(heading(entry.event, form.times), style="bold")
        for grid in odds_grids(entry, form, width):
            out.grid(grid)
        if entry.best:
            out.grid(best_grid(entry, form, wide=width is None or width >= WIDE_FROM))
    for line in arbitrages(reply, form.prices):
        out.sentence(f"arbitrage {line}", style="bold green")
    for line in suspects(reply, form.prices):
        out.sentence(f"suspect {line}", style="yellow")
    at = f"revision {reply.cursor.revision}, stored up to {reply.durable_revision}"
    out.remark(f"{counted(len(reply.events), 'event')} at {at}")
