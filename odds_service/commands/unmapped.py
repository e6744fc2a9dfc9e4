"""`odds-service unmapped`: the markets that no table maps."""

import sys
from collections.abc import Sequence
from datetime import UTC
from typing import Annotated, Final

import typer

from odds_service.client import Address, connect
from odds_service.commands.csv_cells import write_rows
from odds_service.commands.finding import CALL_S, known_sources, listed_events, nothing_of
from odds_service.commands.options import (
    AsCsv,
    AsJson,
    Source,
    connection,
    one_form,
    output,
    takes,
    times,
)
from odds_service.commands.output import Column, Grid, Output
from odds_service.commands.times import Times
from odds_service.model.text import counted
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

COLUMNS: Final = (
    "source", "sport", "name", "count", "last_seen_at", "event_id", "event", "outcomes",
)  # fmt: skip


@takes(address=connection, out=output, shown=times)
def unmapped(
    *,
    source: Source = None,
    sport: Annotated[
        list[str] | None, typer.Option("--sport", help="Only this sport; repeatable.")
    ] = None,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
    address: Address,
    out: Output,
    shown: Times,
) -> None:
    """List the markets that no table maps, the commonest first."""
    one_form(as_csv=as_csv, as_json=as_json)
    with connect(address) as stub:
        request = pb.ListUnmappedRequest(sources=source, sports=sport)
        found = stub.ListUnmapped(request, timeout=CALL_S).markets
        if not found and (source or sport):
            sports = {each.event.sport for each in listed_events(stub)} if sport else set()
            raise nothing_of(
                "every market of that was mapped",
                ("source", source or (), known_sources(stub)),
                ("sport", sport or (), sports),
            )
    if as_json:
        for each in found:
            out.json(each)
    elif as_csv:
        write_rows(COLUMNS, map(_cells, found), sys.stdout)
    else:
        if found:
            out.grid(_grid(found, shown))
        out.remark(counted(len(found), "name"))


def _grid(found: Sequence[pb.UnmappedMarket], shown: Times) -> Grid:
    grid = Grid(
        Column(name="source", folds=True),
        Column(name="sport", folds=True),
        Column(name="name", folds=True),
        Column(name="seen", right=True),
        Column(name=f"last ({shown.zone})"),
        Column(name="sample", folds=True),
    )
    for each in found:
        grid.add(
            each.source,
            each.sport,
            each.name,
            f"{each.count:,}",
            shown.second(each.last_seen_at.ToDatetime()) if each.HasField("last_seen_at") else "",
            _sample(each),
        )
    return grid


def _sample(market: pb.UnmappedMarket) -> str:
    """Return the latest match with the market, and its outcomes there."""
    for sample in market.samples:
        outcomes = " / ".join(sample.outcomes)
        return ": ".join(part for part in (sample.event_name or sample.event_id, outcomes) if part)
    return ""


def _cells(market: pb.UnmappedMarket) -> tuple[object, ...]:
    sample = market.samples[0] if market.samples else pb.UnmappedSample()
    return (
        market.source,
        market.sport,
        market.name,
        market.count,
        market.last_seen_at.ToDatetime(UTC) if market.HasField("last_seen_at") else None,
        sample.event_id,
        sample.event_name,
        " / ".join(sample.outcomes),
    )
