"""Trio <-> asyncio, both ways; the only importer of trio_asyncio, so that it can be replaced.

Database code is asyncio-flavoured and runs on a loop inside the Trio thread: `open_bridge` opens
it, `aio` runs one whole unit of work there. gRPC handlers run on a loop of their own in another
thread: `TrioGate` lets them await a Trio function.
"""

import asyncio
import contextvars
from _asyncio import _get_running_loop
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar

import structlog
import trio
import trio_asyncio

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger(__name__)


_trio_running_loop = asyncio.get_running_loop  # as trio_asyncio has put it there


def _running_loop() -> asyncio.AbstractEventLoop:
    """What asyncio.get_running_loop gives: this thread's plain loop, else the bridge's.

    trio_asyncio's own asks Trio first. In the gRPC thread, where Trio does not run, that raises and
    catches an error on each of the several times that grpc asks in a call: 16 µs of its 190.
    """
    plain: asyncio.AbstractEventLoop | None = _get_running_loop()
    return _trio_running_loop() if plain is None else plain


asyncio.get_running_loop = asyncio.events.get_running_loop = _running_loop


class BridgeFaults:
    """Errors that reached asyncio's exception handler: each is a bug of ours or of a library."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log and count; trio_asyncio's own handler would end the loop and the service with it."""
        self.count += 1
        log.error(
            "asyncio_fault", message=context.get("message"), exc_info=context.get("exception")
        )


@asynccontextmanager
async def open_bridge() -> AsyncIterator[BridgeFaults]:
    """Open asyncio's loop in this Trio thread; outermost of all contexts that use it."""
    faults = BridgeFaults()
    async with trio_asyncio.open_loop() as loop:
        loop.set_exception_handler(faults)
        yield faults


async def aio(work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a whole asyncio-flavoured unit of work from Trio.

    Cancelling cancels the asyncio task once and waits for it to end.
    """
    run: Callable[P, Awaitable[T]] = trio_asyncio.aio_as_trio(work)
    return await run(*args, **kwargs)


class TrioGate:
    """Lets coroutines of another thread's asyncio loop await Trio functions.

    The Trio side runs in a nursery of the service, so a caller that goes away cancels only its
    own call, and the service's stop cancels them all.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._token = trio.lowlevel.current_trio_token()
        # What the token runs has no context of ours; the bridge's loop is found by the context.
        self._context = contextvars.copy_context()

    async def call(self, work: Callable[..., Awaitable[T]], *args: object) -> T:
        """Await `work(*args)` in the Trio thread, from asyncio.

        Raises what it raised; ConnectionAbortedError when the service stops meanwhile. Cancelling
        the caller cancels the Trio call and does not wait for its end.
        """
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[T] = loop.create_future()
        scope = trio.CancelScope()

        def settle(result: T | None, error: BaseException | None) -> None:
            if reply.done():
                return
            if error is not None:
                reply.set_exception(error)
            else:
                reply.set_result(result)  # type: ignore[arg-type]  # None only when T admits it

        def hand_over(result: T | None, error: BaseException | None) -> None:
            try:
                loop.call_soon_threadsafe(settle, result, error)
            except RuntimeError:
                log.debug("gate_reply_after_loop_closed")

        async def run() -> None:
            with scope:
                try:
                    result = await work(*args)
                except trio.Cancelled:
                    hand_over(None, ConnectionAbortedError("the service is stopping"))
                    raise
                except Exception as error:  # handed to the caller, who reports it
                    hand_over(None, error)
                else:
                    hand_over(result, None)

        def start() -> None:
            try:
                self._context.run(self._nursery.start_soon, run)
            except RuntimeError:
                hand_over(None, ConnectionAbortedError("the service is stopping"))

        try:
            self._token.run_sync_soon(start)
        except trio.RunFinishedError:
            raise ConnectionAbortedError("the service has stopped") from None
        try:
            return await reply
        except asyncio.CancelledError:
            try:
                self._token.run_sync_soon(scope.cancel)
            except trio.RunFinishedError:
                log.debug("gate_cancel_after_stop")
            raise
