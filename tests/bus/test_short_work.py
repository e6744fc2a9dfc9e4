"""Short work on the bus: its result, its errors, and its end when it is cancelled."""

import asyncio

import pytest
import trio

from odds_service.bus.log import Unavailable
from odds_service.bus.short_work import on_bus_loop


async def test_it_returns_what_the_work_returns() -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        return type(asyncio.get_running_loop()).__name__

    assert await on_bus_loop(work) == asyncio.SelectorEventLoop.__name__


async def test_it_raises_what_the_work_raises() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise Unavailable("away")

    with pytest.RaisesGroup(pytest.RaisesExc(Unavailable, match="away"), flatten_subgroups=True):
        await on_bus_loop(work)


async def test_cancelled_work_ends_in_order() -> None:
    began, ended = trio.Event(), list[str]()
    token = trio.lowlevel.current_trio_token()

    async def work() -> None:
        token.run_sync_soon(began.set)
        try:
            await asyncio.sleep(600)
        finally:
            ended.append("closed")

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(on_bus_loop, work)
            await began.wait()
            nursery.cancel_scope.cancel()
    assert ended == ["closed"]
