"""The bridge in both directions: results, errors, cancellation, and the end of either side."""

import asyncio
import gc
import subprocess
import sys
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
    async def call_handler() -> None:
        asyncio.get_running_loop().call_exception_handler({"message": "nobody awaited this"})

    async with open_bridge() as faults:
        await aio(call_handler)
        assert faults.count == 1
        await aio(call_handler)
        assert faults.count == 2


@pytest.mark.logs_errors
async def test_a_connection_lost_in_a_future_that_was_given_up_is_no_fault() -> None:
    async def give_up(error: Exception) -> None:
        asyncio.get_running_loop().create_future().set_exception(error)

    async with open_bridge() as faults:
        await aio(give_up, ConnectionError("unexpected connection_lost() call"))
        gc.collect()
        assert faults.count == 0
        await aio(give_up, ValueError("a bug"))
        gc.collect()
        assert faults.count == 1


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


async def test_each_thread_finds_its_own_loop_and_none_asks_trio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """trio_asyncio's own lookup asks Trio, which costs time, and grpc asks several times a call."""

    def asked() -> trio.lowlevel.Task:
        pytest.fail("asked Trio for its task")

    async def running() -> asyncio.AbstractEventLoop:
        with monkeypatch.context() as patch:
            patch.setattr(trio.lowlevel, "current_task", asked)
            return asyncio.get_running_loop()

    def on_a_plain_loop() -> bool:
        loop = asyncio.SelectorEventLoop()
        try:
            return loop.run_until_complete(running()) is loop
        finally:
            loop.close()

    def without_a_loop() -> None:
        asyncio.get_running_loop()

    async with open_bridge():
        bridges = await aio(running)
        assert type(bridges).__module__.startswith("trio_asyncio")
        assert await trio.to_thread.run_sync(on_a_plain_loop)
        assert await aio(running) is bridges
        with pytest.raises(RuntimeError, match="no running event loop"):
            await trio.to_thread.run_sync(without_a_loop)
    with pytest.raises(RuntimeError, match="no running event loop"):
        without_a_loop()


async def test_tasks_of_every_kind_run_until_the_bridge_has_closed() -> None:
    """From Python 3.14 on, asyncio's tasks look for the loop in the thread, not through Trio."""
    cleaned = []

    async def lingers() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            cleaned.append(asyncio.current_task())

    async def work() -> int:
        lingering = asyncio.create_task(lingers())
        await asyncio.sleep(0)
        assert not lingering.done()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            first = group.create_task(asyncio.sleep(0, 1))
            second = group.create_task(asyncio.to_thread(int, "2"))
        return first.result() + second.result()

    async with open_bridge():
        assert await aio(work) == 3
    assert len(cleaned) == 1
    assert cleaned[0] is not None


async def test_a_thread_has_one_bridge_at_a_time() -> None:
    async with open_bridge():
        with pytest.raises(RuntimeError, match="running asyncio loop already"):
            async with open_bridge():
                pytest.fail("a second bridge opened")
    async with open_bridge():
        assert await aio(asyncio.sleep, 0, result=1) == 1


def test_what_its_import_lends_asyncio_is_taken_back() -> None:
    """This needs a fresh process: here, other modules have been imported before."""
    program = (
        "import asyncio, sys, odds_service.bridge\n"
        "names = {'BaseDefaultEventLoopPolicy'} & set(vars(asyncio.events))\n"
        "names |= {'AbstractChildWatcher'} & set(vars(asyncio))\n"
        "assert not names or sys.version_info < (3, 14), names\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)
