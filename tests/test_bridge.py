"""The bridge: both ways, with errors, cancellation and the end of either side."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest
import trio

from odds_service.bridge import TrioGate, aio, open_bridge


async def test_a_unit_of_work_runs_on_the_loop_and_gives_back_its_value_or_error() -> None:
    async def work(value: int, *, fail: bool) -> int:
        await asyncio.sleep(0)
        if fail:
            raise LookupError(value)
        return value + 1

    async with open_bridge():
        assert await aio(work, 1, fail=False) == 2
        with pytest.raises(LookupError):
            await aio(work, 1, fail=True)


async def test_cancelling_trio_cancels_the_asyncio_task_and_waits_for_it() -> None:
    ended = []

    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(True)

    async with open_bridge():
        with trio.move_on_after(0.01) as scope:
            await aio(work)
        assert scope.cancelled_caught
        assert ended == [True]


@pytest.mark.logs_errors
async def test_a_fault_nobody_awaits_is_counted_and_ends_nothing() -> None:
    async def call_handler() -> None:  # noqa: ASYNC124  # the bridge takes coroutines
        asyncio.get_running_loop().call_exception_handler({"message": "nobody awaited this"})

    async with open_bridge() as faults:
        await aio(call_handler)
        assert faults.count == 1
        await aio(call_handler)
        assert faults.count == 2


class OtherLoop:
    """A plain asyncio loop in a thread, as the gRPC server has one."""

    def __init__(self) -> None:
        self.loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    async def run(self, work: Callable[[], Awaitable[object]], timeout_s: float = 10) -> object:
        async def bounded() -> object:
            return await asyncio.wait_for(work(), timeout_s)

        future = asyncio.run_coroutine_threadsafe(bounded(), self.loop)
        return await trio.to_thread.run_sync(future.result)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


async def test_the_gate_gives_back_values_and_errors_of_trio_functions() -> None:
    async def double(value: int) -> int:
        await trio.lowlevel.checkpoint()
        if value < 0:
            raise LookupError(value)
        return 2 * value

    other = OtherLoop()
    try:
        async with trio.open_nursery() as nursery:
            gate = TrioGate(nursery)
            assert await other.run(lambda: gate.call(double, 4)) == 8
            with pytest.raises(LookupError):
                await other.run(lambda: gate.call(double, -1))
    finally:
        other.close()


async def test_a_call_through_the_gate_reaches_the_bridges_loop() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 3

    other = OtherLoop()
    try:
        async with open_bridge(), trio.open_nursery() as nursery:
            gate = TrioGate(nursery)
            assert await other.run(lambda: gate.call(aio, work)) == 3
    finally:
        other.close()


async def test_a_caller_that_goes_away_cancels_its_own_call_only() -> None:
    cancelled = trio.Event()
    started = trio.Event()

    async def wait() -> None:
        started.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    other = OtherLoop()
    try:
        async with trio.open_nursery() as nursery:
            gate = TrioGate(nursery)
            with pytest.raises(TimeoutError):
                await other.run(lambda: gate.call(wait), timeout_s=0.05)
            with trio.fail_after(10):
                await started.wait()
                await cancelled.wait()
    finally:
        other.close()


async def test_the_services_stop_aborts_the_calls_under_way() -> None:
    other = OtherLoop()
    started = trio.Event()
    outcome: list[BaseException] = []

    async def wait() -> None:
        started.set()
        await trio.sleep_forever()

    async def call(gate: TrioGate) -> None:
        try:
            await other.run(lambda: gate.call(wait))
        except ConnectionAbortedError as error:
            outcome.append(error)

    try:
        async with trio.open_nursery() as callers:
            async with trio.open_nursery() as nursery:
                gate = TrioGate(nursery)
                callers.start_soon(call, gate)
                await started.wait()
                nursery.cancel_scope.cancel()
        assert len(outcome) == 1
        with pytest.raises(ConnectionAbortedError):
            await other.run(lambda: gate.call(wait))
    finally:
        other.close()


async def test_each_thread_finds_its_own_loop_and_a_plain_one_without_asking_trio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """grpc asks for it several times a call: what trio_asyncio does there would raise each time."""
    asked: list[object] = []
    original = trio.lowlevel.current_task

    def counting() -> trio.lowlevel.Task:
        asked.append(None)
        return original()

    async def running() -> tuple[asyncio.AbstractEventLoop, int]:  # noqa: ASYNC124  # for its loop
        before = len(asked)
        return asyncio.get_running_loop(), len(asked) - before

    def on_a_plain_loop() -> tuple[bool, int]:
        loop = asyncio.SelectorEventLoop()
        try:
            found, questions = loop.run_until_complete(running())
            return found is loop, questions
        finally:
            loop.close()

    monkeypatch.setattr(trio.lowlevel, "current_task", counting)
    async with open_bridge():
        bridges, questions = await aio(running)
        assert type(bridges).__module__.startswith("trio_asyncio")
        assert questions > 0
        assert await trio.to_thread.run_sync(on_a_plain_loop) == (True, 0)
        assert (await aio(running))[0] is bridges

    def without_a_loop() -> None:
        asyncio.get_running_loop()

    with pytest.raises(RuntimeError, match="no running event loop"):
        await trio.to_thread.run_sync(without_a_loop)
