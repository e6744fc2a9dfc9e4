"""Clients end cleanly: cancelled, closed under a call, closed under a stream that nobody reads."""

import asyncio
import threading
from typing import Any

import pytest
import trio

from odds_service.client import (
    AsyncClient,
    AsyncHistory,
    Cursor,
    HistoricalChange,
    ServiceError,
    StreamGap,
    open_client,
    open_sync_client,
)
from odds_service.client.odds_map import OddsMap
from odds_service.model.market import MarketKey
from odds_service.rpc.server import RpcServer
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.client.faces import WITHIN_S, Face, faces, under_asyncio
from tests.support.observations import observe, observed_event
from tests.support.odds_builders import Bookkeeping, serving


def move(book: Bookkeeping, minute: int) -> None:
    offer = {"b1": {MarketKey("h2h"): {"home": 1.5 + minute / 100, "away": 2.0}}}
    book.see(observe([observed_event("e", offer)], minute))


async def let_go(server: RpcServer) -> None:
    """Wait until the server has no subscriber, and this process no thread that reads."""
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


async def test_a_cancelled_client_lets_all_its_streams_go_under_trio() -> None:
    """Also those whose threads wait because nobody reads."""
    book = Bookkeeping()
    move(book, 0)
    async with serving(book) as server:
        with trio.CancelScope() as scope:
            async with open_client(server.address) as client:
                await three_watches(client)
                for minute in range(1, 60):  # more messages than a thread may be ahead
                    move(book, minute)
                    await trio.sleep(0.002)
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught
        await let_go(server)


async def test_a_cancelled_client_lets_all_its_streams_go_under_asyncio() -> None:
    book = Bookkeeping()
    move(book, 0)

    async def work(client: AsyncClient) -> None:
        del client
        begun = asyncio.Event()

        async def watching() -> None:
            async with open_client(server.address) as own:
                watches = await three_watches(own)
                begun.set()
                await asyncio.gather(*(anext(watch) for _ in range(9) for watch in watches[:1]))

        task = asyncio.create_task(watching())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async with serving(book) as server:
        await under_asyncio(server.address, work)
        await let_go(server)


@faces
async def test_a_call_under_which_the_client_is_closed_says_so(face: Face) -> None:
    book = Bookkeeping()
    move(book, 0)

    async def work(client: AsyncClient) -> None:
        async def ask() -> None:
            with pytest.raises(ServiceError, match="closed") as ended:
                await client.get_odds(at_least=Cursor("e1", 1_000))
            assert ended.value.code == "CANCELLED"

        if trio.lowlevel.in_trio_run():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                await trio.testing.wait_all_tasks_blocked(0.05)
                await client.aclose()
        else:
            task = asyncio.create_task(ask())
            await asyncio.sleep(0.1)
            await client.aclose()
            await task

    async with serving(book) as server:
        await face(server.address, work)


class Broken:
    """A stream that gives one page and breaks; its end takes until it is cancelled."""

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
    """A transport of such streams; it counts them."""

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
    history = AsyncClient(transport).history()  # type: ignore[arg-type]  # as much as it needs
    seen: list[int] = []
    while len(seen) < 4:
        with trio.move_on_after(0.05):
            seen.append((await anext(history)).revision)
    assert seen == [1, 2, 3, 4]
    assert transport.opened == 4


async def test_a_synchronous_history_ends_with_an_error_when_its_client_is_closed() -> None:
    book = Bookkeeping()
    move(book, 0)

    def run(address: str) -> None:
        with open_sync_client(address) as client:
            reading = client.history()
            next(reading)
            client.close()
            with pytest.raises(ServiceError):
                list(client.history())

    async with serving(book) as server:
        await trio.to_thread.run_sync(run, server.address)


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


def test_a_map_is_not_to_be_used_after_a_gap() -> None:
    odds = OddsMap()
    with pytest.raises(StreamGap):
        odds.take(pb.WatchChangesResponse(heartbeat=pb.Heartbeat()))
    assert not odds.whole
