"""`odds-service events`: listed events, one line each."""

import pytest

from odds_service.model.market import MarketKey
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.commands.books import book_of, messages
from tests.support.command_line import ran
from tests.support.observations import observe, observed_event
from tests.support.odds_builders import Bookkeeping, serving


async def test_events_are_a_table_or_a_message_each() -> None:
    async with serving(book_of()) as server:
        table = await ran("events", ODDS_SERVER=server.address)
        listed = await ran("events", "--json", ODDS_SERVER=server.address)
    assert "Reds – Blues" in table.stdout
    assert [m.event.id for m in messages(listed.stdout, pb.ListedEvent)] == ["e1", "e2"]  # type: ignore[attr-defined]  # of that kind


@pytest.mark.parametrize("columns", [80, 120, 160])
async def test_an_event_is_a_line_with_its_whole_id(columns: int) -> None:
    book, id_ = Bookkeeping(), "e" * 32
    book.see(observe([observed_event(id_, {"b1": {MarketKey("h2h"): {"home": 2.0}}})]))
    async with serving(book) as server:
        address = {"ODDS_SERVER": server.address, "COLUMNS": str(columns)}
        shown = await ran("events", **address)
        none = await ran("events", "--sport", "none", **address)
    (line,) = (line for line in shown.stdout.splitlines() if id_ in line)
    assert line.split()[-2:] == ["1", "1"]
    assert max(map(len, shown.stdout.splitlines())) <= columns
    assert shown.stdout.splitlines()[-1] == "1 event"
    assert none.stdout == "0 events\n"
