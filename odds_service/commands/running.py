"""The loop that a command runs in."""

import signal
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

import trio

from odds_service.errors import OddsServiceError, first_in

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def run_in_trio(work: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
    """Run an async function that heeds signals itself, and return its result.

    Raises:
        OddsServiceError: The only cause of a failure. Other crashes stay in their exception
            groups, so that tracebacks are shown.
    """
    failed: BaseExceptionGroup[OddsServiceError] | None = None
    done: list[T] = []
    try:
        done.append(trio.run(work, *args))
    except* OddsServiceError as group:
        failed = group
    if failed is not None:  # an error raised inside `except*` may come out in a group again
        raise first_in(failed) from failed
    return done[0]


def run_interruptible(work: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
    """Run an async function, which the first SIGINT cancels, and return its result.

    Without a receiver Python raises KeyboardInterrupt between any two lines, also inside a
    database driver, which may lose it.

    Raises:
        OddsServiceError: See run_in_trio.
        KeyboardInterrupt: A SIGINT came.
    """
    if threading.current_thread() is not threading.main_thread():  # only that one gets signals
        return run_in_trio(work, *args)
    done: list[T] = []

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(_cancel_at_sigint, nursery.cancel_scope)
            done.append(await work(*args))
            nursery.cancel_scope.cancel()

    run_in_trio(run)
    if not done:
        raise KeyboardInterrupt
    return done[0]


async def _cancel_at_sigint(scope: trio.CancelScope, *, task_status: trio.TaskStatus[None]) -> None:
    """Cancel at the first SIGINT; a second has Python's usual effect."""
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            break
    scope.cancel()
