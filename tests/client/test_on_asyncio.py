"""The asyncio transport releases every stream."""

import asyncio

import pytest

from odds_service.client import (
    AsyncClient,
    open_client,
)
from tests.client.books import let_go, move, three_watches
from tests.client.faces import under_asyncio
from tests.support.odds_builders import Bookkeeping, serving


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
