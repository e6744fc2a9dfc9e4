"""Short work on the bus, from Trio: a command's, not a node's."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from odds_service.loop_thread import LoopThread

T = TypeVar("T")


async def on_bus_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run an asyncio function on a loop of its own thread, and return its result.

    Raises:
        OddsServiceError: What the work raises; so do all other errors.

    Cancellation: Cancels the work, and waits for its end.
    """
    done: list[T] = []

    async def main(stop: asyncio.Event) -> None:
        working, stopped = asyncio.ensure_future(work()), asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                done.append(working.result())
        finally:
            for task in (working, stopped):
                task.cancel()
            await asyncio.gather(working, stopped, return_exceptions=True)  # noqa: ASYNC102  # they are cancelled

    await LoopThread("bus").run(main)
    return done[0]
