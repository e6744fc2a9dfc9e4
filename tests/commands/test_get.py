"""`odds-service get`: odds side by side, best prices, and the odds of the past."""

import csv
from datetime import timedelta

import pytest
from msgspec.structs import replace

from odds_service.model.market import MarketKey
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.commands.books import book_of, messages, see
from tests.support.command_line import ran
from tests.support.observations import NOON, Prices, observe, observed_event
from tests.support.odds_builders import Bookkeeping, serving
from tests.support.terminal import seen


async def test_get_prints_odds_side_by_side_or_the_reply() -> None:
    async with serving(book_of()) as server:
        table = await ran("get", "e1", "--server", server.address, "--best")
        reply = await ran("get", "--server", server.address, "--bookmaker", "b1", "--json")
    assert table.returncode == 0, table.stderr
    lines = [line.split("\t") for line in table.stdout.splitlines()]
    assert "Reds – Blues · soccer_epl" in table.stdout
    assert ["market", "outcome", "b1", "b2"] in lines
    assert ["h2h", "Reds", "1.50", "1.60"] in lines
    assert ["totals 2.5", "over", "1.90", ""] in lines
    assert ["totals 2.5", "under", "(–)", ""] in lines
    assert ["h2h", "Reds", "1.60", "b2", "+2.50%"] in [line[:5] for line in lines]
    assert "1 event at revision" in table.stderr
    (odds,) = messages(reply.stdout, pb.GetOddsResponse)
    assert isinstance(odds, pb.GetOddsResponse)
    assert {entry.event.id for entry in odds.events} == {"e1", "e2"}
    assert {b.bookmaker for entry in odds.events for b in entry.bookmakers} == {"b1"}


async def test_the_odds_of_the_past() -> None:
    book = Bookkeeping(keeps_past=True)
    see(book, 1.5)
    cursor, then = book.feed.cursor, NOON + timedelta(seconds=30)
    see(book, 1.9, 1)
    async with serving(book) as server:
        address = {"ODDS_SERVER": server.address}
        now = await ran("get", "e1", **address)
        by_cursor = await ran("get", "e1", "--as-of", f"e1:{cursor.revision}", **address)
        by_time = await ran("get", "e1", "--as-of", then.isoformat(), **address)
    assert "h2h\tReds\t1.90\t1.60" in now.stdout
    for past in (by_cursor, by_time):
        assert "h2h\tReds\t1.50\t1.60" in past.stdout, past
        assert f"revision {cursor.revision}," in past.stderr


async def test_arbitrage_is_told_with_the_age_of_its_oldest_leg() -> None:
    shown = await best_of(over=2.04, under=2.0)
    assert [line for line in shown.splitlines() if line.startswith(("arbitrage", "suspect"))] == [
        "arbitrage -0.98%  Home – Away  totals 2.5: over 2.04 b2, under 2.00 b1; oldest leg 42.0 s"
    ]


async def test_what_is_too_good_to_be_true_is_shown_as_suspect_and_as_no_arbitrage() -> None:
    shown = await best_of(over=2.5, under=1.5)
    lines = shown.splitlines()
    assert not [line for line in lines if line.startswith("arbitrage")]
    assert lines[-1] == (
        "suspect -4.75%  Home – Away  totals 2.5: over 2.50 b2, under 1.81 b1; oldest leg 42.0 s"
        " (below_limit)"
    )
    (marked,) = [line for line in lines if "-4.75%" in line and not line.startswith("suspect")]
    assert "-4.75% suspect" in marked


async def best_of(over: float, under: float) -> str:
    """Return the output of `get --best` 42 s after b1 showed 1.8 and b2 other prices."""
    book = Bookkeeping()
    totals = MarketKey("totals", "2.5")
    offer = {
        "b1": {totals: {"over": 1.8, "under": max(1.81, under)}},
        "b2": {totals: {"over": over, "under": 1.5}},
    }
    book.see(observe([observed_event("e1", offer)]))
    book.now = NOON + timedelta(seconds=42)
    async with serving(book) as server:
        return (await ran("get", "e1", "--best", "--server", server.address)).stdout


async def test_an_outright_is_shown_under_its_title() -> None:
    book = Bookkeeping()
    winner: dict[str, dict[MarketKey, Prices]] = {
        name: {MarketKey("outrights"): prices}
        for name, prices in (("b1", {"Ann": 5.0, "Bob": 9.0}), ("b2", {"Ann": 6.0}))
    }
    event = replace(observed_event("e1", winner, home="", away=""), title="Masters Winner")
    book.see(observe([event]))
    async with serving(book) as server:
        listed = await ran("events", "--server", server.address)
        shown = await ran("get", "--best", "--server", server.address)
    assert "Masters Winner" in listed.stdout
    assert "Masters Winner" in shown.stdout
    table = shown.stdout[shown.stdout.index("oldest leg") :]
    assert [line.split("\t")[:4] for line in table.splitlines()[1:]] == [
        ["outrights", "Ann", "6.00", "b2"],
        ["", "Bob", "9.00", "b1"],
    ]


@pytest.mark.parametrize("columns", [80, 100, 160])
async def test_many_markets_and_bookmakers_stay_readable(columns: int) -> None:
    """No line is wider than the terminal, and every price stands under its bookmaker."""
    book = Bookkeeping()
    offer: dict[str, dict[MarketKey, Prices]] = {
        f"bookmaker{n:02}": {
            MarketKey("totals", str(line)): {"over": n + 1 + line / 100, "under": None}
            for line in range(30)
        }
        for n in range(12)
    }
    book.see(observe([observed_event("e", offer)]))
    async with serving(book) as server:
        shown = await seen("get", "--server", server.address, width=columns)
    assert max(map(len, shown.lines)) <= columns
    over = [line for line in shown.lines if "over" in line]
    assert len(over) == 30 * {80: 3, 100: 3, 160: 2}[columns]
    for n in range(12):
        assert f"{n + 1:.2f}" in shown.text
        assert f"{n + 1 + 29 / 100:.2f}" in shown.text


async def test_names_stay_whole_where_there_is_room() -> None:
    """A long bookmaker name takes no room from others and is not broken."""
    book = Bookkeeping()
    names = ["a_long_bookmaker_name", *(f"b{n}" for n in range(7))]
    odds: Prices = {"home": 2.0, "away": 1.9}
    book.see(observe([observed_event("e", {name: {MarketKey("h2h"): odds} for name in names})]))
    async with serving(book) as server:
        shown = await seen("get", "--server", server.address, width=160)
    assert any(all(name in line for name in names) for line in shown.lines)


async def test_the_best_price_is_marked_and_close_prices_get_more_decimals() -> None:
    book = Bookkeeping()
    offer: dict[str, dict[MarketKey, Prices]] = {
        "b1": {MarketKey("h2h"): {"home": 1.951, "away": 2.0}},
        "b2": {MarketKey("h2h"): {"home": 1.954, "away": 1.9}},
    }
    book.see(observe([observed_event("e1", offer, home="Reds", away="Blues")]))
    async with serving(book) as server:
        shown = await seen("get", "e1", "--server", server.address)
        american = await ran("get", "e1", "--odds-format", "american", ODDS_SERVER=server.address)
        fractional = await ran("get", "--odds-format", "fractional", ODDS_SERVER=server.address)
    assert "1.951" in shown.text
    assert "2.000" in shown.text  # as many decimals in the whole table
    assert (shown.style("1.954").fg, shown.style("1.954").bold) == ("green", True)
    assert (shown.style("1.951").fg, shown.style("1.951").bold) == ("default", False)
    assert "h2h\tReds\t-105\t-105" in american.stdout
    assert "h2h\tBlues\t1/1\t9/10" in fractional.stdout


async def test_moves_since_a_time_are_marked() -> None:
    book = Bookkeeping(keeps_past=True)
    see(book, 1.5)
    see(book, 1.9, 1)
    then = NOON + timedelta(seconds=30)
    async with serving(book) as server:
        shown = await ran("get", "e1", "--moves", then.isoformat(), ODDS_SERVER=server.address)
    assert "h2h\tReds\t▲1.90\t1.60" in shown.stdout


async def test_csv_has_a_line_for_each_price_and_is_safe_in_a_spreadsheet() -> None:
    book = Bookkeeping()
    offer: dict[str, dict[MarketKey, Prices]] = {
        "b1": {MarketKey("spreads", "-1.5"): {"home": 1.95, "away": None}},
    }
    book.see(observe([observed_event("e1", offer, home="=cmd|' /C calc'!A0", away="@Blues")]))
    async with serving(book) as server:
        shown = await ran("get", "--csv", ODDS_SERVER=server.address)
    rows = list(csv.DictReader(shown.stdout.splitlines()))
    assert [row["price"] for row in rows] == ["1.95", ""]
    assert rows[0]["line"] == "-1.5"
    assert rows[0]["event"].startswith("'=cmd")
    assert not [cell for row in rows for key, cell in row.items()
                if key != "line" and cell.startswith(("=", "+", "-", "@"))]  # fmt: skip


async def test_unknown_names_and_a_future_are_refused() -> None:
    async with serving(book_of()) as server:
        for arguments, code, says in (
            (["nowhere"], 3, "no such event: nowhere"),
            (["--bookmaker", "b9"], 3, "no bookmaker 'b9' (near: "),
            (["--as-of", "+1h"], 2, "in the future"),
            (["--tz", "Nowhere/At_All"], 2, "is no time zone"),
        ):
            refused = await ran("get", *arguments, ODDS_SERVER=server.address)
            assert (refused.returncode, refused.stdout) == (code, "")
            assert says in " ".join(refused.stderr.replace("│", " ").split())
