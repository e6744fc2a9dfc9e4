"""`odds-service events`: listed events, one line each, at any width and in a pipe."""

import pytest
from msgspec.structs import replace

from odds_service.model.market import MarketKey
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.commands.books import book_of, messages
from tests.support.command_line import ran
from tests.support.observations import observe, observed_event
from tests.support.odds_builders import Bookkeeping, serving
from tests.support.terminal import seen

IDS = ("a" * 7 + "1" * 25, "a" * 7 + "2" * 25, "b" * 32)


def three() -> Bookkeeping:
    book = Bookkeeping()
    offer = {"b1": {MarketKey("h2h"): {"home": 2.0}}}
    events = [observed_event(each, offer, home="Port Vesper Mariners", away="Kestrel Point Wolves")
              for each in IDS]  # fmt: skip
    book.see(observe([replace(event, competition="soccer_arvenia") for event in events]))
    return book


async def test_events_are_a_table_or_a_message_each() -> None:
    async with serving(book_of()) as server:
        table = await ran("events", ODDS_SERVER=server.address)
        listed = await ran("events", "--json", ODDS_SERVER=server.address)
    assert "Reds – Blues" in table.stdout
    assert [m.event.id for m in messages(listed.stdout, pb.ListedEvent)] == ["e1", "e2"]  # type: ignore[attr-defined]  # of that kind


async def test_a_pipe_gets_whole_cells_between_tabs_and_no_remarks() -> None:
    async with serving(three()) as server:
        piped = await ran("events", ODDS_SERVER=server.address, COLUMNS="20")
        bare = await ran("events", "--no-header", ODDS_SERVER=server.address)
    header, *rows = piped.stdout.splitlines()
    assert header.split("\t") == [
        "start (UTC)", "event", "competition", "id", "bookmakers", "markets"
    ]  # fmt: skip
    assert [row.split("\t")[1:] for row in rows] == [
        ["Port Vesper Mariners – Kestrel Point Wolves", "soccer_arvenia", each, "1", "1"]
        for each in IDS
    ]
    assert bare.stdout.splitlines() == rows
    assert piped.stderr == "3 events\n"


@pytest.mark.parametrize("width", [80, 100, 160])
async def test_at_a_terminal_the_id_shrinks_and_stays_unique(width: int) -> None:
    async with serving(three()) as server:
        shown = await seen("events", width=width, environment={"ODDS_SERVER": server.address})
        ids = [
            word for line in shown.lines for word in line.split() if word[:6] in {"a" * 6, "b" * 6}
        ]
        assert len(set(ids)) == 3
        assert all(any(whole.startswith(each) for whole in IDS) for each in ids)
        by_prefix = await ran("get", ids[1], "--json", ODDS_SERVER=server.address)
        several = await ran("get", "aaaa", ODDS_SERVER=server.address)
    assert all(word in shown.text for word in ("Mariners", "Kestrel", "Wolves"))
    assert max(map(len, shown.lines)) <= width
    assert "bookmakers" in shown.text
    assert IDS[1] in by_prefix.stdout
    assert IDS[0] not in by_prefix.stdout
    assert several.returncode == 3
    assert "begins 2 ids" in several.stderr


async def test_nothing_matches_says_what_is_unknown_and_near() -> None:
    async with serving(three()) as server:
        for option, value, says in (
            ("--sport", "none", "no sport 'none'"),
            ("--bookmaker", "b2", "no bookmaker 'b2' (near: b1)"),
            ("--competition", "soccer_arveni", "no competition 'soccer_arveni' (near: soccer_arv"),
            ("--market", "h2", "no market 'h2' (near: h2h)"),
            ("--event", "nowhere", "no such event: nowhere"),
            ("--event", "kestrel", "Kestrel Point Wolves is aaaa"),
            ("--start-from", "+99w", "no event has all of that"),
        ):
            none = await ran("events", option, value, ODDS_SERVER=server.address)
            assert (none.returncode, none.stdout) == (3, "")
            assert says in none.stderr
            assert len(none.stderr.splitlines()) == 1


async def test_a_service_without_events_is_no_error() -> None:
    async with serving(Bookkeeping()) as server:
        none = await ran("events", ODDS_SERVER=server.address)
    assert (none.returncode, none.stdout, none.stderr) == (0, "", "0 events\n")
