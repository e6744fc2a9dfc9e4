"""A map watched with freshness has confirmation times, and its best prices follow them."""

from datetime import UTC, timedelta
from typing import Any

import trio
from google.protobuf.timestamp_pb2 import Timestamp

from odds_service.client import AsyncClient, Freshness, MarketKey, OddsMap, open_sync_client
from odds_service.client.requests import timestamp
from odds_service.model.observation import Observation
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.client.faces import WITHIN_S, Face, faces
from tests.client.test_odds_map import opened_with_image, simple_log
from tests.support.observations import NOON, observe, offered
from tests.support.odds_builders import Bookkeeping, serving

TOTALS = MarketKey("totals", "2.5")


def one_event(price: float, minute: float = 0) -> Observation:
    """Return a look at one event with a single market of two outcomes."""
    return observe(offered({"e": {"b": {TOTALS: {"over": price, "under": 1.9}}}}), minute)


def legs(odds: OddsMap) -> int:
    """Count the best prices of the event's one market."""
    (best,) = odds.best("e")
    assert best.key == TOTALS
    return len(best.prices)


def grow_stale(book: Bookkeeping) -> None:
    book.now = NOON + timedelta(minutes=30)


@faces
async def test_best_prices_leave_out_what_nothing_confirms_any_more(face: Face) -> None:
    book = Bookkeeping()
    book.see(one_event(1.9))
    async with serving(book) as server:

        async def work(client: AsyncClient) -> None:
            watch = client.watch(start=await client.get_odds(), freshness=True)
            steps = watch.steps()
            await until_fresh(steps)
            assert legs(watch.odds) == 2
            grow_stale(book)
            await until_fresh(steps)
            assert legs(watch.odds) == 0
            book.see(one_event(1.9, minute=30))
            seen = await until_fresh(steps)
            assert [each.confirmed_at for each in seen.odds] == [NOON + timedelta(minutes=30)]
            assert legs(watch.odds) == 2
            (shown,) = watch.odds.events["e"].bookmakers.values()
            assert shown.confirmed_at == NOON + timedelta(minutes=30)
            assert watch.cursor == watch.odds.cursor

        await face(server.address, work)


async def until_fresh(steps: Any) -> Freshness:
    async for step in steps:
        if isinstance(step, Freshness):
            return step
    raise AssertionError("the watch ended")


async def test_the_synchronous_watch_is_told_too() -> None:
    book = Bookkeeping()
    book.see(one_event(1.9))

    def work(address: str) -> None:
        with open_sync_client(address) as client:
            watch = client.watch(freshness=True)
            for step in watch.steps():
                if isinstance(step, Freshness):
                    assert legs(watch.odds) == 0
                    return
                if watch.odds.whole:
                    assert legs(watch.odds) == 2
                    grow_stale(book)

    async with serving(book) as server:
        with trio.fail_after(WITHIN_S):
            await trio.to_thread.run_sync(work, server.address)


def test_it_says_nothing_of_what_the_map_does_not_hold_and_leaves_cuts_alone() -> None:
    log = simple_log()
    odds = OddsMap()
    for message in opened_with_image(log):
        odds.take(message)
    before = odds.cut()
    at = NOON.astimezone(UTC)
    (event_id, entry) = next(iter(before.events.items()))
    (source, bookmaker) = next(iter(entry.bookmakers))
    fresh = pb.WatchChangesResponse(
        freshness=pb.Freshness(
            prev_revision=log.head,
            cursor=log.cursor(log.head),
            durable_revision=log.head,
            odds=[
                told(event_id, source, bookmaker, timestamp(at)),
                told("unknown", source, bookmaker, timestamp(at)),
                told(event_id, source, "unknown", timestamp(at)),
            ],
        )
    )
    step = odds.take(fresh)
    assert isinstance(step, Freshness)
    assert len(step.odds) == 3
    shown = odds.events[event_id].bookmakers[source, bookmaker]
    assert (shown.confirmed_at, shown.stale) == (at, True)
    assert odds.events.keys() == before.events.keys()
    assert odds.events[event_id].bookmakers.keys() == entry.bookmakers.keys()
    assert before.events[event_id] is entry
    assert odds.durable_revision == log.head


def told(event_id: str, source: str, bookmaker: str, at: Timestamp) -> pb.OddsFreshness:
    return pb.OddsFreshness(
        event_id=event_id, source=source, bookmaker=bookmaker, confirmed_at=at, stale=True
    )
