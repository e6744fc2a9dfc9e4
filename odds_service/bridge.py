"""The bridge between Trio and asyncio; the only importer of trio_asyncio, to keep it replaceable.

Database code is asyncio-flavoured and runs on a loop inside the Trio thread: `open_bridge` opens
it, `aio` runs one whole unit of work there. gRPC handlers run on a loop of their own in another
thread: `TrioGate` lets them await a Trio function.
"""

import asyncio
import contextvars
import warnings
from _asyncio import _get_running_loop, _set_running_loop, get_running_loop
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

import structlog
import trio

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger(__name__)


@contextmanager
def _names_of_python_3_13() -> Iterator[None]:
    """Restore two names removed from asyncio in Python 3.14, while trio_asyncio is imported.

    At import, trio_asyncio 0.16 derives classes from them, which its loops inside Trio do not use.
    It also sets an event loop policy, which is deprecated.
    """
    lent: list[tuple[ModuleType, str]] = []
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        renamed = getattr(asyncio.events, "_BaseDefaultEventLoopPolicy", object)
        for module, name, value in (
            (asyncio.events, "BaseDefaultEventLoopPolicy", renamed),
            (asyncio, "AbstractChildWatcher", object),
        ):
            if not hasattr(module, name):
                setattr(module, name, value)
                lent.append((module, name))
        try:
            yield
        finally:
            for module, name in lent:
                delattr(module, name)


with _names_of_python_3_13():
    import trio_asyncio

# trio_asyncio's replacement asks Trio first. In the gRPC thread, where Trio does not run, that
# raises and catches an error each of the several times that grpc asks in a call: 16 µs of its 190.
# open_bridge() tells asyncio itself about the bridge's loop, so asyncio's own function suffices.
asyncio.get_running_loop = asyncio.events.get_running_loop = get_running_loop


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
    """Open an asyncio loop in this Trio thread; it must enclose all contexts that use it.

    While open, it is the thread's running loop, where tasks look for it from Python 3.14 on.

    Raises:
        RuntimeError: The thread already runs a loop, such as that of another bridge.
    """
    if _get_running_loop() is not None:
        raise RuntimeError("this thread has a running asyncio loop already")
    faults = BridgeFaults()
    try:
        async with trio_asyncio.open_loop() as loop:
            loop.set_exception_handler(faults)
            _set_running_loop(loop)
            yield faults
    finally:  # after the loop has ended its tasks, which still look for it
        _set_running_loop(None)


async def aio(work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a whole asyncio-flavoured unit of work from Trio.

    Cancelling cancels the asyncio task once and waits for it to end.
    """
    run: Callable[P, Awaitable[T]] = trio_asyncio.aio_as_trio(work)
    return await run(*args, **kwargs)


class TrioGate:
    """A gate through which coroutines on another thread's asyncio loop await Trio functions.

    The Trio side runs in a nursery of the service, so a caller that goes away cancels only its
    own call, and the service's stop cancels them all.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._token = trio.lowlevel.current_trio_token()
        # Callbacks of the token lack our context, by which the bridge's loop is found.
        self._context = contextvars.copy_context()

    async def call(self, work: Callable[..., Awaitable[T]], *args: object) -> T:
        """Await `work(*args)` in the Trio thread, from asyncio.

        Raises:
            ConnectionAbortedError: The service stopped before the call ended.
            Exception: Any error raised by `work`.

        Cancellation: Cancels the Trio call and does not wait for its end.
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
