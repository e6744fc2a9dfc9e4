"""The async client, which runs under Trio and under asyncio."""

import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from odds_service.client import decode
from odds_service.client.address import Address, address_of
from odds_service.client.calls import CALL_S, AsyncCalls
from odds_service.client.frames import ClosedList
from odds_service.client.iterating import AsyncHistory
from odds_service.client.route import AsyncRoute
from odds_service.client.transport import AsyncTransport
from odds_service.client.values import EVERYTHING, Filter, ListedEvent
from odds_service.model.cursor import Cursor


@asynccontextmanager
async def open_client(address: Address | str | Sequence[str]) -> AsyncIterator["AsyncClient"]:
    """Open a client on the running loop, Trio's or asyncio's.

    Leaving the context closes the client and its watches. The first call makes the connection.

    Args:
        address: The server, as an Address or as `host:port`; or several servers, of which another
            takes over when the one in use fails.

    Raises:
        AddressError: The address is invalid.
    """
    client = AsyncClient(AsyncRoute(address_of(address), _connect()))
    try:
        yield client
    finally:
        await client.aclose()


def _connect() -> Callable[[Address, str], AsyncTransport]:
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        from odds_service.client.on_trio import TrioTransport

        return TrioTransport
    from odds_service.client.on_asyncio import AsyncioTransport

    return AsyncioTransport


class AsyncClient(AsyncCalls):
    """The asynchronous client; see open_client().

    Raises:
        ServiceError: From every call that fails.

    Cancellation:
        Cancelling a call cancels it on the server too, except for a refresh, which completes.
    """

    async def list_events(
        self, where: Filter = EVERYTHING, *, timeout_s: float = CALL_S
    ) -> list[ListedEvent]:
        """Return all events in the order of their start; `timeout_s` applies to each page."""
        return [event async for event in self._events(where, timeout_s)]

    async def closing_odds(self, where: Filter = EVERYTHING) -> ClosedList:
        """Return the closing odds of events that have started, in the order of their start.

        The whole list is held in memory, so choose the filter accordingly.
        """
        async with self._closing_pages(where) as pages:
            return ClosedList(decode.closed_events([page async for page in pages]))

    def history(
        self,
        where: Filter = EVERYTHING,
        *,
        start: Cursor | datetime | None = None,
        end: Cursor | datetime | None = None,
    ) -> AsyncHistory:
        """Read stored changes in their order.

        Args:
            where: The changes to select.
            start: Begin after this cursor or at this time; None begins with the oldest change.
            end: Stop after this cursor or before this time; None stops at the newest stored change.

        Raises:
            ServiceError: The client is closed.
        """
        return self._history(where, start, end)
