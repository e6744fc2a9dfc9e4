"""`odds-service history`: spans, JSON, charts and closing odds on the command line."""

import json
from pathlib import Path

import pytest

from odds_service.bridge import open_bridge
from odds_service.model.market import MarketKey
from odds_service.storage import open_store
from odds_service.store import WriteGroup
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.commands.books import H2H, at, book_of, messages, moving
from tests.support.command_line import complaint, ran
from tests.support.observations import Prices, observe, observed_event
from tests.support.odds_builders import Bookkeeping, serving


async def test_changes_are_lines_or_messages() -> None:
    async with serving(book_of()) as server:
        address = {"ODDS_SERVER": server.address}
        lines = await ran("history", "--market", "h2h", **address)
        stored = await ran("history", "--json", "--event", "e1", **address)
    assert lines.stdout.count("added") == 6  # 4 markets and the 2 events
    kinds = [m.kind for m in messages(stored.stdout, pb.Change)]  # type: ignore[attr-defined]  # of that kind
    assert kinds == [pb.CHANGE_KIND_EVENT_ADDED, *3 * [pb.CHANGE_KIND_ADDED]]


async def test_charts_and_closing_odds_on_the_command_line(tmp_path: Path) -> None:
    book = moving()
    image = tmp_path / "chart.png"
    of_market = ["history", "--event", "e", "--market", "h2h", "--server"]
    async with serving(book) as server:
        drawn = await ran(*of_market, server.address, "--chart", str(image))
        again = await ran(*of_market, server.address, "--chart", str(image))
        since = (at(5)).isoformat()
        text = await ran(*of_market, server.address, "--chart", "-", "--since", since)
        one = await ran(*of_market, server.address, "--chart", "-", "--outcome", "away")
    assert drawn.returncode == 0, drawn.stderr
    assert image.read_bytes().startswith(b"\x89PNG")
    assert "exists; it is not overwritten" in complaint(again)
    assert "Reds – Blues · h2h" in text.stdout
    assert "a b1   b b2" in text.stdout  # b2 did not move in the span
    assert "\nhome\n" not in one.stdout
    assert "\naway\n" in one.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--closing", "--chart", "-"], "give one of"),
        (["--chart", "-", "--event", "e"], "one market"),
        (["--chart", "x.jpg", "--event", "e", "--market", "h2h"], "does not end in .png"),
        (["--export", "odds.xls"], "ends in none of .parquet, .arrow, .csv"),
        (["--since", "noonish"], "neither a time"),
        (["--closing", "--since", "2026-01-01"], "--start-from"),
    ],
)
async def test_wrong_usage_is_told(arguments: list[str], says: str) -> None:
    ended = await ran("history", *arguments)
    assert ended.returncode == 2
    assert says in " ".join(ended.stderr.replace("│", " ").split())


async def test_a_span_between_cursors_and_as_json() -> None:
    book = moving()
    async with serving(book) as server:
        span = ["history", "--since", "e1:2", "--until", "e1:4", "--server", server.address]
        told = await ran(*span)
        as_json = await ran(*span, "--json")
        by_time = await ran("history", "--since", "2026-08-04T12:05Z", "--server", server.address)
        nothing = await ran("history", "--event", "other", "--server", server.address)
    assert len(told.stdout.splitlines()) == 2
    assert all(line.startswith("2026-08-04 12:00:00  ") for line in told.stdout.splitlines())
    assert all("  Reds – Blues  b" in line for line in told.stdout.splitlines())
    changes = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert [change["revision"] for change in changes] == ["3", "4"]
    expected = sum(change.detected_at >= at(5) for change in book.log)
    assert len(by_time.stdout.splitlines()) == expected > 0
    assert (nothing.returncode, nothing.stdout) == (3, "")
    assert nothing.stderr == "error: no stored changes match\n"


async def test_closing_odds_are_printed_with_their_age(tmp_path: Path) -> None:
    book = Bookkeeping()
    for minute, home in ((0, 2.0), (8, 2.1), (11, 9.0)):
        offer: dict[str, dict[MarketKey, Prices]] = {"b1": {H2H: {"home": home, "away": 1.8}}}
        event = observed_event("e", offer, start_time=at(10), home="Reds", away="Blues")
        book.see(observe([event], minute))
    book.now = at(60)
    async with open_bridge(), open_store(f"sqlite:///{tmp_path / 'odds.db'}") as store:
        await store.begin()
        await store.write(WriteGroup(book.batches))
        async with serving(book, store=store) as server:
            closing = ["history", "--closing", "--server", server.address]
            told = await ran(*closing)
            as_json = await ran(*closing, "--json", "--event", "e")
            nothing = await ran(*closing, "--sport", "chess")
    assert told.stdout.startswith("Reds – Blues · soccer_epl · 2026-08-04 12:10 UTC · ")
    (line,) = [line for line in told.stdout.splitlines() if "h2h" in line]
    assert line.split("\t") == [
        "h2h",
        "b1",
        "Reds 2.00  Blues 1.80",
        "Reds 2.10  Blues 1.80",
        "2 min before",
        "open",
    ]
    (entry,) = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert entry["odds"][0]["age"] == "120s"
    assert entry["odds"][0]["atStart"] == "AT_START_OFFERED"
    assert nothing.stdout == ""
    assert nothing.returncode == 3
    assert "no sport 'chess'" in nothing.stderr


async def test_lines_of_closing_odds_are_sorted_as_numbers(tmp_path: Path) -> None:
    book = Bookkeeping()
    offer: dict[str, dict[MarketKey, Prices]] = {
        "b1": {
            MarketKey("totals", line): {"over": 1.9, "under": 1.8} for line in ("10", "9.5", "2")
        }
    }
    book.see(observe([observed_event("e", offer, start_time=at(10))], 0))
    book.now = at(60)
    async with open_bridge(), open_store(f"sqlite:///{tmp_path / 'odds.db'}") as store:
        await store.begin()
        await store.write(WriteGroup(book.batches))
        async with serving(book, store=store) as server:
            told = await ran("history", "--closing", "--server", server.address)
    rows = [line.split("\t")[0] for line in told.stdout.splitlines()]
    assert [row for row in rows if row.startswith("totals")] == [
        "totals 2",
        "totals 9.5",
        "totals 10",
    ]
