"""An asyncio loop in a thread: calls that come while it ends are answered or refused."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any

import pytest
import trio

from odds_service.loop_thread import LoopThread

Work = Callable[[], Awaitable[None]]


async def until_stopped(stop: asyncio.Event) -> None:
    await stop.wait()


async def started(thread: LoopThread) -> None:
    while thread.loop is None:  # noqa: ASYNC110  # no event tells
        await trio.sleep(0.001)


async def call_until_refused(thread: LoopThread, work: Work, refused: list[str]) -> None:
    while True:
        try:
            await thread.call(work)
        except ConnectionAbortedError as error:
            refused.append(str(error))
            return


async def briefly() -> None:
    """Return at the first step, as most calls do."""


async def for_ever() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("work", [briefly, for_ever])
async def test_a_call_that_the_end_overtakes_is_refused(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = asyncio.run_coroutine_threadsafe
    thread, refused = LoopThread("test"), list[str]()

    def late(work: Any, loop: asyncio.AbstractEventLoop) -> Future[Any]:
        threading.Thread(target=thread.request_stop).start()
        until = time.monotonic() + 0.3
        while not loop.is_closed() and time.monotonic() < until:
            time.sleep(0.001)
        return schedule(work, loop)

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", late)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(thread.run, until_stopped)
            await started(thread)
            await call_until_refused(thread, work, refused)
    assert refused == ["test has ended"]


async def test_calls_beside_the_end_are_answered_or_refused() -> None:
    with trio.fail_after(120):
        for number in range(10):
            thread, refused = LoopThread("test"), list[str]()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(thread.run, until_stopped)
                await started(thread)
                for work in [briefly] * 7 + [for_ever]:
                    nursery.start_soon(call_until_refused, thread, work, refused)
                await trio.lowlevel.checkpoint()
                # From another thread the end comes between any two lines of a call.
                threading.Timer(number / 1_000, thread.request_stop).start()
            assert refused == ["test has ended"] * 8
