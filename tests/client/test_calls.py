"""Clients that are closed during their calls."""

import asyncio

import pytest
import trio

from odds_service.client import (
    AsyncClient,
    Cursor,
    ServiceError,
)
from tests.client.books import move
from tests.client.faces import Face, faces
from tests.support.odds_builders import Bookkeeping, serving


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
