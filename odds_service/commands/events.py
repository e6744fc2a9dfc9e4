"""`odds-service events`: which events there are, and who prices them."""

from collections.abc import Iterator
from typing import Final

import typer
from rich.console import Console
from rich.table import Table

from odds_service.client import Address, Filter, connect, filter_message, json_line
from odds_service.commands.options import AsJson, connection, selection, takes
from odds_service.rpc.pb.odds.v1 import odds_pb2 as pb
from odds_service.rpc.pb.odds.v1 import odds_pb2_grpc as pb_grpc

CALL_S: Final = 60  # for each page


@takes(address=connection, where=selection)
def events(*, as_json: AsJson = False, address: Address, where: Filter) -> None:
    """List the events in the order of their start."""
    table = Table("start (UTC)", "event", "competition")
    table.add_column("id", overflow="fold", no_wrap=True)  # it is there to be copied
    table.add_column("bookmakers")
    table.add_column("markets")
    with connect(address) as stub:
        for listed in _all(stub, pb.ListEventsRequest(filter=filter_message(where))):
            if as_json:
                typer.echo(json_line(listed))
                continue
            event = listed.event
            table.add_row(
                event.start_time.ToDatetime().strftime("%Y-%m-%d %H:%M"),
                event.name,
                event.competition,
                event.id,
                str(len(listed.bookmakers)),
                str(sum(bookmaker.markets for bookmaker in listed.bookmakers)),
            )
    if not as_json:
        Console().print(table)


def _all(stub: pb_grpc.OddsServiceStub, request: pb.ListEventsRequest) -> Iterator[pb.ListedEvent]:
    while True:
        page = stub.ListEvents(request, timeout=CALL_S)
        yield from page.events
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
