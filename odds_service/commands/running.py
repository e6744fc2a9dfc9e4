"""The loop that a command runs in."""

from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

import trio

from odds_service.errors import OddsServiceError, first_in

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def run_in_trio(work: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
    """Run an async function and return its result.

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
