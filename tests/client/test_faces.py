"""The three faces against a real server: the same odds, the same changes, and a clean end."""

import asyncio
import random
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import trio
import trio.lowlevel

from odds_service.client import (
    AsyncClient,
    Changes,
    Cursor,
    Disconnected,
    Filter,
    ImageLoaded,
    MarketKey,
    MarketStatus,
    Odds,
    Opened,
    Outcome,
    ServiceError,
    StreamClosing,
    UnknownChange,
    open_client,
    open_sync_client,
)
from odds_service.client.decode import historical_change
from odds_service.config import ServerSettings
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.client.faces import WITHIN_S, Face, faces, soon, under_asyncio, under_trio
from tests.support.observations import NOON, Prices, observe, observed_event
from tests.support.odds_builders import Bookkeeping, random_observations, serving

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


class Followed:
    """What one watching client saw until it reached a revision."""

    def __init__(self, odds: Odds, seen: list[int], stored: list[int]) -> None:
        self.odds = odds
        self.seen = seen
        self.stored = stored


async def follow(client: AsyncClient, target: int, begun: Callable[[], object]) -> Followed:
    watch = client.watch(start=await client.get_odds(), heartbeat_s=0.5)
    begun()
    seen = []
    async for change in watch:
        seen.append(change.revision)
        if watch.cursor is not None and watch.cursor.revision >= target:
            break
    stored = [change.revision async for change in client.history()]
    return Followed(watch.odds.cut(), seen, stored)


def follow_sync(address: str, target: int, begun: Callable[[], object]) -> Followed:
    with open_sync_client(address) as client:
        watch = client.watch(start=client.get_odds(), heartbeat_s=0.5)
        begun()
        seen = []
        for change in watch:
            seen.append(change.revision)
            if watch.cursor is not None and watch.cursor.revision >= target:
                break
        return Followed(watch.odds.cut(), seen, [change.revision for change in client.history()])


async def test_reading_then_watching_gives_every_change_once_under_each_face() -> None:
    observations = list(random_observations(random.Random(7), 60))
    book, whole = Bookkeeping(), Bookkeeping()
    for observation in observations:
        whole.see(observation)
    for observation in observations[:20]:
        book.see(observation)
    read, target = book.feed.head_revision, whole.feed.head_revision
    ends: list[Followed] = []
    begun = threading.Semaphore(0)
    async with serving(book) as server, trio.open_nursery() as nursery:

        async def run(face: Face) -> None:
            ends.append(await face(server.address, lambda c: follow(c, target, begun.release)))

        async def run_sync() -> None:
            ends.append(
                await trio.to_thread.run_sync(follow_sync, server.address, target, begun.release)
            )

        nursery.start_soon(run, under_trio)
        nursery.start_soon(run, under_asyncio)
        nursery.start_soon(run_sync)
        for _ in range(3):
            await trio.to_thread.run_sync(begun.acquire)
        for observation in observations[20:]:
            book.see(observation)
            await trio.lowlevel.checkpoint()
    assert len(ends) == 3
    for end in ends:
        assert flat(end.odds) == flat_book(book)
        assert end.seen == list(range(read + 1, target + 1))
        assert end.stored == list(range(1, target + 1))


def one_event(price: float, minute: float = 0) -> Any:
    offer = {"b1": {MarketKey("h2h"): {"home": price, "away": 2.0}}}
    return observe([observed_event("e", offer)], minute)


@faces
async def test_values_are_typed(face: Face) -> None:
    book = Bookkeeping()
    offer: dict[str, dict[MarketKey, Prices]] = {
        "b1": {
            MarketKey("h2h"): {"home": 1.9, "away": None},
            MarketKey("spreads", "-3.5"): {"home": 1.8, "away": 2.0},
            MarketKey("totals", "0"): {"over": 1.8, "under": 2.0},
        },
        "b2": {MarketKey("spreads", "-3.5"): {"home": 2.1, "away": 1.7}},
    }
    book.see(observe([observed_event("e", offer)]))

    async def work(client: AsyncClient) -> None:
        odds = await client.get_odds(include_best=True)
        assert odds.cursor == Cursor("e1", book.feed.head_revision)
        entry = odds.events["e"]
        assert entry.event.start_time == NOON + timedelta(hours=6)
        shown = entry.bookmakers["toa", "b1"]
        assert shown.observed_at == NOON
        assert set(shown.markets) == {
            MarketKey("h2h"), MarketKey("spreads", "-3.5"), MarketKey("totals", "0")
        }  # fmt: skip
        home, away = shown.markets[MarketKey("h2h")].outcomes
        assert (home.price, home.active) == (1.9, True)
        assert (away.price, away.active) == (None, False)
        spread = next(best for best in entry.best if best.key.market == "spreads")
        assert [(leg.bookmaker, leg.price) for leg in spread.prices] == [("b2", 2.1), ("b1", 2.0)]
        assert spread.oldest_confirmed_at == NOON
        (listed,) = await client.list_events(Filter(bookmakers=["b1"]))
        assert [(b.bookmaker, b.markets) for b in listed.bookmakers] == [("b1", 3)]
        (match,) = listed.matches
        assert listed.event.source_ids == {match.source: match.source_event_id}
        assert (match.home, match.away) == (listed.event.home, listed.event.away)
        assert (match.start_time, match.score) == (listed.event.start_time, 0)
        assert (await client.status()).head_revision == book.feed.head_revision
        assert (await client.get_odds(Filter(sports=["chess"]))).events == {}

    async with serving(book) as server:
        await face(server.address, work)


@faces
async def test_a_time_out_round_the_next_change_loses_nothing(face: Face) -> None:
    book = Bookkeeping()
    book.see(one_event(1.5))
    prices = [1.6, 1.7, 1.8, 1.9]

    async def work(client: AsyncClient) -> list[float | None]:
        watch = client.watch(start=await client.get_odds())
        seen: list[float | None] = []
        for minute, price in enumerate(prices, 1):
            for _ in range(3):  # nothing comes, and the wait is given up
                with pytest.raises(TimeoutError):
                    await soon(anext(watch), 0.02)
            book.see(one_event(price, minute))
            change = await anext(watch)
            seen.append(change.after.outcomes[0].price)  # type: ignore[union-attr]  # a market's
        status = await client.status()
        assert status.subscriber_count == 1
        return seen

    async with serving(book) as server:
        assert await face(server.address, work) == prices


async def steps_until(steps: Any, kind: type) -> list[Any]:
    found: list[Any] = []
    async for step in steps:
        found.append(step)
        if isinstance(step, kind):
            return found
    raise AssertionError(f"the watch ended after {found}")


@faces
async def test_a_watch_survives_the_server(face: Face) -> None:
    """A stop, a time without a server, and a start elsewhere in the log: all of it is told."""
    book = Bookkeeping()
    book.see(one_event(1.5))
    stopped, again = trio.Event(), trio.Event()
    ports: list[str] = []
    token = trio.lowlevel.current_trio_token()

    async def work(client: AsyncClient) -> list[Any]:
        watch = client.watch()
        steps = watch.steps()
        found = await steps_until(steps, ImageLoaded)
        token.run_sync_soon(stopped.set)
        found += await steps_until(steps, Disconnected)
        token.run_sync_soon(again.set)
        found += await steps_until(steps, Changes)
        found.append(watch.odds.cut())
        await watch.aclose()
        assert [step async for step in steps] == []
        return found

    async with trio.open_nursery() as nursery:
        found: list[Any] = []

        async def run() -> None:
            await again_serving.wait()
            found.extend(await face(ports[0], work))
            done.set()

        again_serving, done = trio.Event(), trio.Event()
        nursery.start_soon(run)
        async with serving(book) as server:
            ports.append(server.address)
            again_serving.set()
            await stopped.wait()
        await again.wait()
        book = restarted(book)
        book.see(one_event(1.7, 1))
        async with serving(book, settings=ServerSettings(listen=ports[0])):
            await done.wait()
    kinds = [type(step) for step in found if not isinstance(step, Disconnected)]
    assert kinds == [Opened, ImageLoaded, StreamClosing, Opened, Changes, Odds]
    assert any(isinstance(step, Disconnected) for step in found)
    assert (
        found[-1].events["e"].bookmakers["toa", "b1"].markets[MarketKey("h2h")].outcomes[0].price
        == 1.7
    )


def restarted(book: Bookkeeping) -> Bookkeeping:
    """The same log and odds under a new feed, as after a restart of the process."""
    again = Bookkeeping()
    again.__dict__.update(book.__dict__)
    book.feed.__dict__["_closed"] = False
    return again


@faces
async def test_closing_ends_an_iteration_in_another_task_and_frees_the_server(face: Face) -> None:
    book = Bookkeeping()
    book.see(one_event(1.5))

    async def ended(watch: Any) -> list[Any]:
        return [change async for change in watch]

    async def work(client: AsyncClient) -> None:
        watch = client.watch(start=await client.get_odds())
        if trio.lowlevel.in_trio_run():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ended, watch)
                await trio.testing.wait_all_tasks_blocked(0.05)
                await watch.aclose()
        else:
            task = asyncio.create_task(ended(watch))
            await asyncio.sleep(0.05)
            await watch.aclose()
            assert await task == []
        assert watch.closed
        with pytest.raises(StopAsyncIteration):
            await anext(watch)

    async with serving(book) as server:
        await face(server.address, work)
        with trio.fail_after(WITHIN_S):
            while server.subscribers:  # noqa: ASYNC110  # the server's own loop lets them go
                await trio.sleep(0.01)


async def test_a_synchronous_watch_is_closed_from_another_thread() -> None:
    book = Bookkeeping()
    book.see(one_event(1.5))

    def run(address: str) -> list[Any]:
        with open_sync_client(address) as client, client.watch() as watch:
            timer = threading.Timer(0.1, watch.close)
            timer.start()
            steps = list(watch.steps())
            timer.join()
            return [type(step) for step in steps]

    async with serving(book) as server:
        assert await trio.to_thread.run_sync(run, server.address) == [Opened, ImageLoaded]


@faces
async def test_an_image_alone_ends_the_watch(face: Face) -> None:
    book = Bookkeeping()
    book.see(one_event(1.5))

    async def work(client: AsyncClient) -> list[Any]:
        watch = client.watch(image_only=True)
        kinds = [type(step) async for step in watch.steps()]
        assert flat(watch.odds.cut()) == flat_book(book)
        return kinds

    async with serving(book) as server:
        assert await face(server.address, work) == [Opened, ImageLoaded]


@faces
async def test_errors_say_what_is_wrong(face: Face) -> None:
    async def wrong(client: AsyncClient) -> None:
        with pytest.raises(ServiceError) as refused:
            await client.get_odds(Filter(sports=[""]))
        assert refused.value.code == "INVALID_ARGUMENT"
        assert refused.value.fields == {"filter.sports": "holds an empty value"}
        with pytest.raises(ServiceError, match="empty value"):
            await anext(client.watch(Filter(sports=[""]), wait_for_server=True))
        with pytest.raises(ServiceError) as refused:
            await client.get_odds(at_least=Cursor("e1", 1_000), timeout_s=0.2)
        assert refused.value.code == "DEADLINE_EXCEEDED"
        with pytest.raises(ServiceError) as refused:
            await client.refresh("e")
        assert refused.value.code == "UNIMPLEMENTED"

    async with serving(Bookkeeping()) as server:
        await face(server.address, wrong)

    async def nobody(client: AsyncClient) -> None:
        for attempt in (client.get_odds(), anext(client.watch()), anext(client.history())):
            with pytest.raises(ServiceError, match="no server answers at") as refused:
                await attempt
            assert refused.value.code == "UNAVAILABLE"

    await face(server.address, nobody)


def test_a_refused_row_of_history_is_told_as_unknown() -> None:
    change = pb.Change(revision=7, kind=pb.CHANGE_KIND_UNSTORED, event_id="e")
    found = historical_change(change)
    assert isinstance(found, UnknownChange)
    assert (found.revision, found.event_id) == (7, "e")


def test_a_bare_text_is_no_list_of_values() -> None:
    with pytest.raises(TypeError, match="sports takes a list"):
        Filter(sports="soccer")


async def test_a_deadline_is_kept_with_many_watches_open() -> None:
    """Under Trio each watch has a thread of its own: none is taken from those for short work."""
    book = Bookkeeping()
    book.see(one_event(1.5))
    count = 60  # more than Trio's limit of threads
    async with serving(book) as server, open_client(server.address) as client:
        with trio.fail_after(WITHIN_S):
            watches = [client.watch(start=await client.get_odds()) for _ in range(count)]
            loaded: list[float | None] = []

            async def read(watch: Any) -> None:
                change = await anext(watch)
                loaded.append(change.after.outcomes[0].price)

            async with trio.open_nursery() as nursery:
                for watch in watches:
                    nursery.start_soon(read, watch)
                while server.subscribers < count:  # noqa: ASYNC110  # of another loop
                    await trio.sleep(0.01)
                assert await trio.to_thread.run_sync(lambda: 42) == 42
                book.see(one_event(1.6, 1))
            assert loaded == [1.6] * count
