"""`odds-service demo`: its live table shows the essentials in a terminal of any size."""

from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console

from odds_service.commands.live_table import changes_table
from odds_service.commands.prices import Prices
from odds_service.commands.times import Times
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

EVENT = "Port Vesper Mariners – Kestrel Point Mariners"


def market(*prices: float) -> pb.Market:
    keys = ("home", "draw", "away")
    outcomes = [
        pb.Outcome(key=key, price=price, active=True)
        for key, price in zip(keys, prices, strict=True)
    ]
    return pb.Market(
        key=pb.MarketKey(market="h2h"), status=pb.MARKET_STATUS_OPEN, outcomes=outcomes
    )


def change() -> pb.Change:
    moved = pb.Change(
        kind=pb.CHANGE_KIND_PRICES,
        event_id="e",
        bookmaker="tidewatersports",
        before=market(14.13, 13.52, 12.68),
        after=market(14.15, 13.55, 12.65),
    )
    moved.detected_at.FromDatetime(datetime(2026, 8, 4, 12, 34, 56, tzinfo=UTC))
    return moved


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (80, ["prices", "h2h", "14.15 13.55 12.65"]),
        (100, ["12:34:56", "prices", "h2h", "14.13 13.52 12.68", "14.15 13.55 12.65"]),
        (160, ["12:34:56", "prices", "tidewatersports", "home 14.13  draw 13.52", "home 14.15"]),
    ],
)
def test_kind_time_and_prices_are_whole_in_any_terminal(width: int, shown: list[str]) -> None:
    console = Console(width=width, file=StringIO(), color_system=None)
    with console.capture() as printed:
        console.print(changes_table([(change(), EVENT)] * 50, Times("UTC"), Prices(), width, 24))
    lines = printed.get().splitlines()
    rows = [line for line in lines if "prices" in line]
    assert all(text in rows[0] for text in shown), rows[0]
    assert len(rows) == 24 - 7
    assert len(lines) + 2 <= 24  # the title and the caption take two
    assert max(map(len, lines)) <= width
