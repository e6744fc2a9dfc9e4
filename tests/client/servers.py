"""Several servers of one log, each behind a gate."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import trio

from odds_service.client import Address
from odds_service.serving.server import Server
from tests.support.gate import Gate, gates
from tests.support.odds_builders import Bookkeeping, serving

NOBODY = "127.0.0.1:1"  # nothing listens there


@asynccontextmanager
async def pair(book: Bookkeeping) -> AsyncIterator[tuple[list[Gate], list[Server]]]:
    async with (
        serving(book) as first,
        serving(book) as second,
        gates(first.address, second.address) as doors,
    ):
        yield doors, [first, second]


def several(doors: Iterable[Gate]) -> Address:
    return Address(",".join(door.address for door in doors))


def at_home(work: Callable[[], object]) -> None:
    """Run a function on the test's own loop, from whichever face."""
    if trio.lowlevel.in_trio_run():
        work()
    else:
        trio.from_thread.run_sync(work)
