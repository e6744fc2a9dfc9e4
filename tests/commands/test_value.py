"""`odds-service value`: bets of a file against the closing odds of a running service."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from odds_service.model.market import MarketKey
from tests.serving.test_history import kept
from tests.support.command_line import ran
from tests.support.observations import NOON, observe, observed_event
from tests.support.odds_builders import Bookkeeping

HEADING = "time,event,market,line,participant,outcome,price"


def started() -> Bookkeeping:
    """Return a book with an event that started a minute after the last look."""
    book = Bookkeeping()
    offer = {"b1": {MarketKey("h2h"): {"home": 1.8, "draw": 3.6, "away": 4.5}}}
    event = replace(observed_event("e", offer), start_time=NOON)
    book.see(observe([event], -1))
    book.see(observe([event], 0))
    book.see(observe([event], 1))
    return book


def written(folder: Path, *rows: str) -> str:
    file = folder / "bets.csv"
    file.write_text("\n".join([HEADING, *rows]), "utf-8")
    return str(file)


async def test_each_bet_has_its_value_or_the_reason_why_not(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "2020-01-01T10:00Z,e,h2h,,,draw,4.0",
        "2020-01-01T10:00Z,e,totals,2.50,,over,1.9",
        "2020-01-01T10:00Z,nowhere,h2h,,,home,1.9",
    )
    async with kept(started(), f"sqlite:///{tmp_path / 'odds.db'}") as (_, address):
        told = await ran("value", file, "--margin", "shin", "--server", address)
        lines = await ran("value", file, "--json", "--server", address)
    assert told.returncode == 0, told.stderr
    heading, draw, total, unknown = told.stdout.splitlines()
    assert heading.split("\t") == [
        "event", "bet", "price", "bookmaker", "close", "fair", "value", "by",
    ]  # fmt: skip
    assert draw.split("\t")[1:5] == ["h2h draw", "4", "b1", "3.6"]
    assert total.split("\t")[1] == "totals 2.5 over"
    assert total.endswith("no_such_outcome")
    assert unknown.endswith("no_closing_odds")
    first, _, last = [json.loads(line) for line in lines.stdout.splitlines()]
    booksum = 1 / 1.8 + 1 / 3.6 + 1 / 4.5
    (close,) = first["closes"]
    assert close["probability"] == pytest.approx(1 / 3.6 / booksum)
    assert close["method"] == "exact"
    assert (last["reason"], last["closes"]) == ("no_closing_odds", [])


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("2020-01-01T10:00,e,h2h,,,home,1.9", "time zone"),
        ("soon,e,h2h,,,home,1.9", "line 2"),
        ("2020-01-01T10:00Z,e,h2h,,,home,1.0", "above 1"),
        ("2020-01-01T10:00Z,e,h2h,,,home,cheap", "cheap"),
        ("2020-01-01T10:00Z,e,h2h,,,,1.9", "outcome is empty"),
        ("2020-01-01T10:00Z,e,totals,much,,over,1.9", "line 2"),
    ],
)
async def test_a_wrong_row_is_named(tmp_path: Path, row: str, why: str) -> None:
    told = await ran("value", written(tmp_path, row), "--server", "127.0.0.1:1")
    assert told.returncode == 2
    assert "bets.csv" in told.stderr
    assert why in " ".join(told.stderr.replace("│", " ").split())


async def test_a_file_without_the_columns_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bets.csv"
    file.write_text("time,event\n")
    told = await ran("value", str(file), "--server", "127.0.0.1:1")
    assert told.returncode == 2
    assert "no column" in told.stderr
    assert (await ran("value", str(tmp_path / "none.csv"))).returncode == 2
