"""The Trio transport has a thread for each stream, and all of them end."""

from typing import Any

import trio
import trio.lowlevel

from odds_service.client import (
    open_client,
)
from tests.client.books import let_go, move, one_event, three_watches
from tests.client.faces import WITHIN_S
from tests.support.odds_builders import Bookkeeping, serving


async def test_a_deadline_is_kept_with_many_watches_open() -> None:
    """Watches use threads of their own, so Trio's limit of threads does not apply."""
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


async def test_a_cancelled_client_lets_all_its_streams_go_under_trio() -> None:
    """Threads that wait for a reader end too."""
    book = Bookkeeping()
    move(book, 0)
    async with serving(book) as server:
        with trio.CancelScope() as scope:
            async with open_client(server.address) as client:
                await three_watches(client)
                for minute in range(1, 60):  # more messages than a thread may read ahead
                    move(book, minute)
                    await trio.sleep(0.002)
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught
        await let_go(server)
