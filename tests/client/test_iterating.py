"""Watches and histories against a real server: every change once, and a clean end."""

import asyncio
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.lowlevel

from odds_service.client import (
    Address,
    AsyncClient,
    AsyncHistory,
    Changes,
    Disconnected,
    HistoricalChange,
    ImageLoaded,
    MarketKey,
    Odds,
    Opened,
    ServiceError,
    StreamClosing,
    open_sync_client,
)
from odds_service.client.route import AsyncRoute
from odds_service.config import ServerSettings
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.client.books import flat, flat_book, move, one_event, restarted, steps_until
from tests.client.faces import WITHIN_S, Face, faces, soon, under_asyncio, under_trio
from tests.support.odds_builders import Bookkeeping, random_observations, serving


class Followed:
    """The observations of one watching client, up to a revision."""

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


@faces
async def test_a_time_out_round_the_next_change_loses_nothing(face: Face) -> None:
    book = Bookkeeping()
    book.see(one_event(1.5))
    prices = [1.6, 1.7, 1.8, 1.9]

    async def work(client: AsyncClient) -> list[float | None]:
        watch = client.watch(start=await client.get_odds())
        seen: list[float | None] = []
        for minute, price in enumerate(prices, 1):
            for _ in range(3):  # no change comes, and the wait is cancelled
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


@faces
async def test_a_watch_survives_the_server(face: Face) -> None:
    """The watch sees a stop, a time without a server, and a start with a longer log."""
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


class Broken:
    """A stream that breaks after one page; its end blocks until it is cancelled."""

    def __init__(self, page: pb.HistoryPage) -> None:
        self._pages = [page]
        self._closed = False

    async def read(self) -> pb.HistoryPage | None:
        await trio.lowlevel.checkpoint()
        if self._closed:
            return None
        if not self._pages:
            raise ServiceError("UNAVAILABLE", "broken off")
        return self._pages.pop()

    def end(self) -> None: ...

    async def aclose(self) -> None:
        self._closed = True
        await trio.sleep_forever()


class Breaking:
    """A transport of `Broken` streams, which counts them."""

    def __init__(self) -> None:
        self.opened = 0

    def open(self, chosen: object, request: pb.GetHistoryRequest) -> Broken:
        self.opened += 1
        assert request.from_cursor.revision == self.opened - 1
        page = pb.HistoryPage(cursor=pb.Cursor(epoch="e1", revision=self.opened))
        page.changes.add(revision=self.opened)
        return Broken(page)

    def flag(self) -> trio.Event:
        return trio.Event()

    async def wait(self, flag: object, timeout_s: float) -> None:
        await trio.lowlevel.checkpoint()


async def test_a_history_that_broke_off_is_not_taken_for_whole_when_its_end_is_cancelled() -> None:
    transport = Breaking()
    route = AsyncRoute(Address("s:1"), lambda *_: transport)  # type: ignore[arg-type]  # as much as it needs
    history = AsyncClient(route).history()
    seen: list[int] = []
    while len(seen) < 4:
        with trio.move_on_after(0.05):
            seen.append((await anext(history)).revision)
    assert seen == [1, 2, 3, 4]
    assert transport.opened == 4


async def all_of(history: AsyncHistory) -> list[HistoricalChange]:
    return [change async for change in history]


@faces
async def test_an_asynchronous_history_ends_with_an_error_when_its_client_is_closed(
    face: Face,
) -> None:
    book = Bookkeeping()
    move(book, 0)

    async def work(client: AsyncClient) -> None:
        begun, own, whole = client.history(), client.history(), client.history()
        await anext(begun)
        await anext(own)
        await own.aclose()
        count = len(await all_of(whole))
        await client.aclose()
        with pytest.raises(ServiceError, match="the client was closed"):
            await all_of(begun)  # after the page that had been read
        assert len(await all_of(own)) < count  # ended by its reader: no error
        assert await all_of(whole) == []
        for stream in (client.history, client.watch):
            with pytest.raises(ServiceError, match="the client was closed"):
                stream()

    async with serving(book) as server:
        await face(server.address, work)
