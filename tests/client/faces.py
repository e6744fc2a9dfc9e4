"""The async client under Trio and under asyncio."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from odds_service.client import Address, AsyncClient, open_client

WITHIN_S = 30.0

Work = Callable[[AsyncClient], Awaitable[Any]]
Face = Callable[[Address | str, Work], Awaitable[Any]]


async def under_trio(address: Address | str, work: Work) -> Any:
    with trio.fail_after(WITHIN_S):
        async with open_client(address) as client:
            return await work(client)


async def under_asyncio(address: Address | str, work: Work) -> Any:
    """Run work in a thread with an asyncio loop, since the test's own loop is Trio's."""

    async def main() -> Any:
        async with asyncio.timeout(WITHIN_S), open_client(address) as client:
            return await work(client)

    def run() -> Any:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            return runner.run(main())

    return await trio.to_thread.run_sync(run)


faces = pytest.mark.parametrize("face", [under_trio, under_asyncio])


async def soon(waiting: Awaitable[Any], within_s: float) -> Any:
    """Await with a time-out, under Trio or asyncio."""
    if trio.lowlevel.in_trio_run():
        try:
            with trio.fail_after(within_s):
                return await waiting
        except trio.TooSlowError:
            raise TimeoutError from None
    async with asyncio.timeout(within_s):
        return await waiting
