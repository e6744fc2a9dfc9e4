"""`odds-service coverage`: the events of each competition that each bookmaker prices."""

import sys
from collections.abc import Iterator
from typing import Annotated, Final, NamedTuple

import typer

from odds_service.client import Address, Filter, connect, filter_message
from odds_service.commands.csv_cells import write_rows
from odds_service.commands.finding import CALL_S, explain_nothing, resolved
from odds_service.commands.options import (
    AsCsv,
    AsJson,
    connection,
    one_form,
    output,
    selection,
    takes,
)
from odds_service.commands.output import Column, Grid, Output
from odds_service.model.text import counted
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

COLUMNS: Final = (
    "sport", "competition", "competition_events", "bookmaker", "source", "events", "markets",
    "stale_events",
)  # fmt: skip


class Row(NamedTuple):
    """A bookmaker's part of a competition, in the order of COLUMNS."""

    sport: str
    competition: str
    of: int
    bookmaker: str
    source: str
    events: int = 0
    markets: int = 0
    stale: int = 0


@takes(address=connection, where=selection, out=output)
def coverage(
    *,
    gaps: Annotated[
        bool,
        typer.Option("--gaps", help="Only where a bookmaker lacks events of a competition."),
    ] = False,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
    address: Address,
    where: Filter,
    out: Output,
) -> None:
    """Count the events and markets of each competition that each bookmaker has now."""
    one_form(as_csv=as_csv, as_json=as_json)
    if gaps and as_json:
        raise typer.BadParameter("--gaps is for tables and --csv; --json prints whole messages")
    with connect(address) as stub:
        where = resolved(stub, where)
        request = pb.GetCoverageRequest(filter=filter_message(where))
        reply = stub.GetCoverage(request, timeout=CALL_S)
        rows = list(_gaps(reply) if gaps else _rows(reply))
        if not any(each.bookmakers for each in reply.competitions) and where != Filter():
            raise explain_nothing(stub, where)
    if as_json:
        for each in reply.competitions:
            out.json(each)
    elif as_csv:
        write_rows(COLUMNS, rows, sys.stdout)
    else:
        if rows:
            out.grid(_grid(rows))
        told = counted(len(reply.competitions), "competition")
        out.remark(f"{counted(len(rows), 'gap')} in {told}" if gaps else told)


def _rows(reply: pb.GetCoverageResponse) -> Iterator[Row]:
    """Yield each bookmaker's part of each competition."""
    for each in reply.competitions:
        for found in each.bookmakers:
            yield Row(
                each.sport, each.competition, each.events, found.bookmaker, found.source,
                found.events, found.markets, found.stale_events,
            )  # fmt: skip


def _gaps(reply: pb.GetCoverageResponse) -> Iterator[Row]:
    """Yield where a bookmaker has fewer events than the competition, or none of them."""
    priced = list(_rows(reply))
    everybody = sorted({(row.bookmaker, row.source) for row in priced})
    known = {(row.sport, row.competition, row.bookmaker, row.source): row for row in priced}
    for each in reply.competitions:
        for place in everybody:
            row = known.get((each.sport, each.competition, *place))
            if row is None:
                yield Row(each.sport, each.competition, each.events, *place)
            elif row.events < each.events:
                yield row


def _grid(rows: list[Row]) -> Grid:
    grid = Grid(
        Column(name="competition", folds=True),
        Column(name="bookmaker", folds=True),
        Column(name="source", folds=True),
        Column(name="events", right=True),
        Column(name="markets", right=True),
        Column(name="stale", right=True),
    )
    for row in rows:
        events = f"{row.events:,} of {row.of:,}"
        grid.add(
            row.competition,
            row.bookmaker,
            row.source,
            (events, "yellow") if row.events < row.of else events,
            f"{row.markets:,}",
            (f"{row.stale:,}", "yellow") if row.stale else "0",
        )
    return grid
