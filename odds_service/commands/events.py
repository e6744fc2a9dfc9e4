"""`odds-service events`: which events there are, and who prices them."""

from collections.abc import Iterator

import typer
from rich.console import Console
from rich.table import Table

from odds_service.client import connect, json_line
from odds_service.commands.options import (
    DEFAULT_SERVER,
    AsJson,
    Bookmakers,
    Ca,
    Server,
    Sports,
    Token,
    address_of,
    filter_of,
)
from odds_service.rpc.pb.odds.v1 import odds_pb2 as pb
from odds_service.rpc.pb.odds.v1 import odds_pb2_grpc as pb_grpc


def events(
    *,
    sport: Sports = None,
    bookmaker: Bookmakers = None,
    server: Server = DEFAULT_SERVER,
    ca: Ca = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """List the events in the order of their start."""
    table = Table("start (UTC)", "event", "competition")
    table.add_column("id", overflow="fold", no_wrap=True)  # it is there to be copied
    table.add_column("bookmakers")
    table.add_column("markets")
    with connect(address_of(server, ca, token)) as stub:
        for listed in _all(stub, pb.ListEventsRequest(filter=filter_of(sport, None, bookmaker))):
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
        page = stub.ListEvents(request, timeout=60)
        yield from page.events
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
