"""`odds-service events`: events with their bookmakers and their sources' matches."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Final

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from odds_service.client import Address, Filter, connect, filter_message, json_line
from odds_service.commands.options import AsJson, connection, selection, takes
from odds_service.commands.text import counted
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc

CALL_S: Final = 60  # for each page
WIDE_FROM: Final = 120  # a narrower terminal gets short dates and no competition
EDGES: Final = 2
BETWEEN: Final = 3  # spaces between two columns
NAME_LEAST: Final = 8

Why = Annotated[
    bool, typer.Option("--why", help="Also show why each source's event was matched to this one.")
]


@takes(address=connection, where=selection)
def events(*, why: Why = False, as_json: AsJson = False, address: Address, where: Filter) -> None:
    """List events in the order of their start."""
    with connect(address) as stub:
        listed = _all(stub, pb.ListEventsRequest(filter=filter_message(where)))
        if where.bookmakers or where.markets or where.sources:
            # The filter leaves nothing to show of an event without bookmakers.
            listed = (each for each in listed if each.bookmakers)
        if as_json:
            for each in listed:
                typer.echo(json_line(each))
        elif why:
            for each in listed:
                typer.echo("\n".join(_reasons(each)))
        else:
            console = Console()
            found = list(listed)
            if found:
                console.print(_table(found, console.width))
            console.print(counted(len(found), "event"), highlight=False)


def _table(listed: Sequence[pb.ListedEvent], width: int) -> Table:
    """Return a table with one line per event; ids are never truncated, so they can be copied."""
    wide = width >= WIDE_FROM
    start = 16 if wide else 12
    longest_id = max(len(each.event.id) for each in listed)
    competition = max(len(each.event.competition) for each in listed) if wide else 0
    by, of = ("bookmakers", "markets") if wide else ("by", "of")
    others = [start, longest_id, max(len(by), 3), max(len(of), 4)] + [competition] * wide
    left = width - EDGES - sum(others) - BETWEEN * len(others)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("start (UTC)", no_wrap=True, min_width=start)
    table.add_column("event", no_wrap=True, overflow="ellipsis", max_width=max(left, NAME_LEAST))
    if wide:
        table.add_column("competition", no_wrap=True)
    table.add_column("id", no_wrap=True, min_width=longest_id)
    table.add_column(by, justify="right", no_wrap=True)
    table.add_column(of, justify="right", no_wrap=True)
    for each in listed:
        event = each.event
        table.add_row(
            f"{event.start_time.ToDatetime():{'%Y-%m-%d %H:%M' if wide else '%d %b %H:%M'}}",
            event.name,
            *([event.competition] if wide else []),
            event.id,
            str(len(each.bookmakers)),
            str(sum(bookmaker.markets for bookmaker in each.bookmakers)),
        )
    return table


def _reasons(listed: pb.ListedEvent) -> Iterator[str]:
    """Yield lines: the event, then the score, version and reason of each source."""
    event = listed.event
    yield f"{_start(event)}  {event.name}  {event.id}"
    for match in listed.matches:
        shown = f"{match.source} {match.source_event_id}: {match.home} – {match.away}"
        yield f"  {match.score:3}  {_start(match)}  {shown}  [{match.reason or 'nothing like it'}]"


def _start(of: pb.Event | pb.SourceMatch) -> str:
    return f"{of.start_time.ToDatetime():%Y-%m-%d %H:%M}"


def _all(stub: pb_grpc.OddsServiceStub, request: pb.ListEventsRequest) -> Iterator[pb.ListedEvent]:
    while True:
        page = stub.ListEvents(request, timeout=CALL_S)
        yield from page.events
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
