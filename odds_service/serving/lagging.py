"""Patience with a database that lags behind the feed, as a hot standby does."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final, TypeVar

from odds_service.serving.errors import Refused, StatusCode, error_info, retry_info
from odds_service.serving.parts import Bounded
from odds_service.serving.server_context import ServerContext

PATIENCE_S: Final = 10.0  # wait for the next stored change
PACE_S: Final = 0.2  # between two looks

T = TypeVar("T")


class Behind(Refused):
    """The database does not hold the change after a revision yet, although it is durable."""

    def __init__(self, revision: int) -> None:
        text = f"the database of this server is behind: it has changes up to {revision} only"
        info = error_info("NOT_DURABLE_YET", durable_revision=str(revision))
        super().__init__(StatusCode.UNAVAILABLE, text, info, retry_info(PATIENCE_S))


def check_moved(after: int, reached: int) -> None:
    """Check that a page that begins after a revision has moved on. Raises Behind."""
    if reached <= after:
        raise Behind(after)


async def patiently(server: ServerContext, read: Callable[[], Awaitable[T]]) -> T:
    """Return the result of a read of the database, once it is no longer behind.

    The number of concurrent reads is limited, so each attempt may wait for its turn; no turn is
    held between two attempts.

    Args:
        server: The state of the server.
        read: The read; it may be repeated.

    Raises:
        Behind: It still is after PATIENCE_S.
    """

    async def take_turn() -> T:
        async with server.replays:
            return await read()

    return await _repeat(take_turn)


async def wait_for_revision(server: ServerContext, revision: int) -> None:
    """Wait until the database holds a revision, before a read that could not tell.

    Raises:
        Behind: It still does not after PATIENCE_S.
    """
    store: object = server.parts.store
    if not isinstance(store, Bounded):
        return
    bounded = store

    async def look() -> None:
        durable = (await server.ask(bounded.extent)).durable
        if durable < revision:
            raise Behind(durable)

    await _repeat(look)


async def _repeat(read: Callable[[], Awaitable[T]]) -> T:
    """Repeat a read while it raises Behind, for PATIENCE_S."""
    deadline: float | None = None
    while True:
        try:
            return await read()
        except Behind:
            now = monotonic()
            deadline = now + PATIENCE_S if deadline is None else deadline
            if now >= deadline:
                raise
        await asyncio.sleep(PACE_S)
