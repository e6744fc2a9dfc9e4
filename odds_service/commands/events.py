"""`odds-service events`: events with their bookmakers and their sources' matches."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Final

import typer

from odds_service.client import Address, Filter, connect, filter_message
from odds_service.commands.finding import explain_nothing, listed_events, resolved, with_odds
from odds_service.commands.options import AsJson, connection, output, selection, takes, times
from odds_service.commands.output import Cell, Column, Grid, Output
from odds_service.commands.times import Times
from odds_service.model.text import counted
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

WIDE_FROM: Final = 120  # a narrower terminal gets no competition

Why = Annotated[
    bool, typer.Option("--why", help="Also show why each source's event was matched to this one.")
]


@takes(address=connection, where=selection, out=output, shown=times)
def events(
    *,
    why: Why = False,
    as_json: AsJson = False,
    address: Address,
    where: Filter,
    out: Output,
    shown: Times,
) -> None:
    """List events in the order of their start."""
    with connect(address) as stub:
        where = resolved(stub, where)
        found = with_odds(listed_events(stub, filter_message(where)), where)
        if not found and where != Filter():
            raise explain_nothing(stub, where)
    if as_json:
        for each in found:
            out.json(each)
    elif why:
        for each in found:
            for line in _reasons(each, shown):
                out.line(line)
    else:
        wide = not out.on_terminal or out.width >= WIDE_FROM
        if found:
            out.grid(_grid(found, shown, wide=wide))
        out.remark(counted(len(found), "event"))


def _grid(listed: Sequence[pb.ListedEvent], shown: Times, *, wide: bool) -> Grid:
    """Return a table with one line per event."""
    grid = Grid(
        Column(name=f"start ({shown.zone})"),
        Column(name="event", folds=True),
        *([Column(name="competition", folds=True)] if wide else []),
        Column(name="id", is_id=True),
        Column(name="bookmakers", right=True),
        Column(name="markets", right=True),
    )
    for each in listed:
        event = each.event
        grid.add(
            shown.minute(event.start_time.ToDatetime()),
            _with_status(event),
            *([event.competition] if wide else []),
            event.id,
            str(len(each.bookmakers)),
            str(sum(bookmaker.markets for bookmaker in each.bookmakers)),
        )
    return grid


def _with_status(event: pb.Event) -> Cell:
    """Return an event's name, marked while it is in play."""
    if event.status == pb.EVENT_STATUS_IN_PLAY:
        return f"{event.name} (in play)", "bold"
    return event.name


def _reasons(listed: pb.ListedEvent, shown: Times) -> Iterator[str]:
    """Yield lines: the event, then the score, version and reason of each source."""
    event = listed.event
    yield f"{_start(event, shown)} {shown.zone}  {event.name}  {event.id}"
    for match in listed.matches:
        told = f"{match.source} {match.source_event_id}: {match.home} – {match.away}"
        reason = match.reason or "nothing like it"
        yield f"  {match.score:3}  {_start(match, shown)}  {told}  [{reason}]"


def _start(of: pb.Event | pb.SourceMatch, shown: Times) -> str:
    return shown.minute(of.start_time.ToDatetime())
