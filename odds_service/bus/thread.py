"""The bus on a loop of its own, for use from Trio.

Encoding for the bus, and all that its library does, happens in this thread: the Trio thread only
hands commits over.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import trio

from odds_service.bus.bus import Bus
from odds_service.loop_thread import LoopThread

NAME: Final = "bus"

T = TypeVar("T")


class BusThread:
    """An open bus; `bus` is for functions that `call` awaits."""

    def __init__(self, bus: Bus, thread: LoopThread) -> None:
        self.bus = bus
        self._thread = thread

    async def call(self, work: Callable[..., Awaitable[T]], *args: object) -> T:
        """Await an asyncio function on the loop of the bus; see LoopThread.call."""
        return await self._thread.call(work, *args)


@asynccontextmanager
async def open_bus_thread(opens: Callable[[], Bus]) -> AsyncIterator[BusThread]:
    """Open a bus on a thread of its own, and close it at the end.

    Args:
        opens: Returns the bus; called on its loop.

    Raises:
        SettingsError: The bus cannot be opened.
        Exception: The error that crashed the thread; the body is cancelled.
    """
    thread, ready, token = LoopThread(NAME), trio.Event(), trio.lowlevel.current_trio_token()
    opened: list[Bus] = []

    async def main(stop: asyncio.Event) -> None:
        bus = opens()
        try:
            opened.append(bus)
            token.run_sync_soon(ready.set)
            await stop.wait()
        finally:
            await bus.aclose()  # noqa: ASYNC102  # asyncio's; it closes sockets and ends at once

    async with trio.open_nursery() as nursery:
        nursery.start_soon(thread.run, main)
        await ready.wait()
        yield BusThread(opened[0], thread)
        thread.request_stop()
