"""Odds for a server in tests of the client, and plain forms to compare them."""

import threading
from typing import Any

import trio
import trio.lowlevel

from odds_service.client import (
    AsyncClient,
    Cursor,
    MarketKey,
    MarketStatus,
    Odds,
    Outcome,
)
from odds_service.serving.server import Server
from tests.client.faces import WITHIN_S
from tests.support.observations import observe, observed_event
from tests.support.odds_builders import Bookkeeping

Shown = dict[tuple[str, tuple[str, str], MarketKey], tuple[MarketStatus, tuple[Outcome, ...]]]


def flat(odds: Odds) -> Shown:
    return {
        (event_id, place, key): (market.status, market.outcomes)
        for event_id, entry in odds.events.items()
        for place, shown in entry.bookmakers.items()
        for key, market in shown.markets.items()
    }


def flat_book(book: Bookkeeping) -> Shown:
    return {
        (event_id, place, key): (market.status, market.outcomes)
        for event_id, entry in book.cache.events.items()
        for place, shown in entry.bookmakers.items()
        for key, market in shown.markets.items()
    }


def one_event(price: float, minute: float = 0) -> Any:
    offer = {"b1": {MarketKey("h2h"): {"home": price, "away": 2.0}}}
    return observe([observed_event("e", offer)], minute)


async def steps_until(steps: Any, kind: type) -> list[Any]:
    found: list[Any] = []
    async for step in steps:
        found.append(step)
        if isinstance(step, kind):
            return found
    raise AssertionError(f"the watch ended after {found}")


def restarted(book: Bookkeeping) -> Bookkeeping:
    """Return the same log and odds under a new feed, as after a restart of the process."""
    again = Bookkeeping()
    again.__dict__.update(book.__dict__)
    book.feed.__dict__["_closed"] = False
    return again


def move(book: Bookkeeping, minute: int) -> None:
    offer = {"b1": {MarketKey("h2h"): {"home": 1.5 + minute / 100, "away": 2.0}}}
    book.see(observe([observed_event("e", offer)], minute))


async def let_go(server: Server) -> None:
    """Wait until the server has no subscriber and this process has no reading thread."""
    with trio.fail_after(WITHIN_S):
        while server.subscribers or readers():  # noqa: ASYNC110  # of other threads
            await trio.sleep(0.01)


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("watch ")]


async def three_watches(client: AsyncClient) -> list[Any]:
    watches = [client.watch(start=Cursor("e1", 0)) for _ in range(3)]
    for watch in watches:
        await anext(watch)
    return watches
