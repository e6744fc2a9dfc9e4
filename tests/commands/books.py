"""Odds for a server in tests of the commands."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from google.protobuf.json_format import Parse
from google.protobuf.message import Message
from msgspec.structs import replace

from odds_service.client import (
    HistoricalChange,
    open_client,
)
from odds_service.commands.price_series import Collector, PriceHistory
from odds_service.model.market import MarketKey
from tests.support.observations import NOON, Prices, observe, observed_event
from tests.support.odds_builders import Bookkeeping, serving

H2H: Final = MarketKey("h2h")
TOTALS: Final = MarketKey("totals", "2.5")


def book_of(price: float = 1.5) -> Bookkeeping:
    book = Bookkeeping()
    see(book, price)
    return book


def see(book: Bookkeeping, price: float, minute: float = 0) -> None:
    offer: dict[str, dict[MarketKey, Prices]] = {
        "b1": {
            MarketKey("h2h"): {"home": price, "away": 2.5},
            MarketKey("totals", "2.5"): {"over": 1.9, "under": None},
        },
        "b2": {MarketKey("h2h"): {"home": 1.6, "away": 2.4}},
    }
    events = [observed_event("e1", offer, home="Reds", away="Blues"), observed_event("e2", offer)]
    book.see(observe([replace(event, sport="tennis") for event in events], minute))


def messages(text: str, kind: type[Message]) -> list[Message]:
    """Parse a message of the contract from each line; an unknown field raises."""
    return [Parse(line, kind()) for line in text.splitlines()]


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def moving() -> Bookkeeping:
    """Return one event: a bookmaker that moves and is suspended for a while, and a steady one."""
    book = Bookkeeping(keeps_past=True)
    for minute, home in enumerate([2.0, 2.2, None, 2.4]):
        offer: dict[str, dict[MarketKey, Prices]] = {
            "b1": {H2H: {"home": home, "away": home and 1.8}, TOTALS: {"over": 1.9, "under": None}},
            "b2": {H2H: {"home": 2.1, "away": 1.7}},
        }
        book.see(observe([observed_event("e", offer, home="Reds", away="Blues")], 10 * minute))
    return book


async def changes_of(book: Bookkeeping) -> list[HistoricalChange]:
    async with serving(book) as server, open_client(server.address) as client:
        return [change async for change in client.history()]


def shown_by(
    changes: list[HistoricalChange], market: str, end: datetime | None, line: str | None = None
) -> PriceHistory:
    collector = Collector(market, line, None)
    collector.take(changes)
    return collector.history(end)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())
