"""The async face: one client for Trio and asyncio alike."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

from odds_service.client import decode, requests
from odds_service.client.address import Address, address_of
from odds_service.client.following import HistoryFollower, WatchFollower
from odds_service.client.iterating import AsyncHistory, AsyncWatch, Reading
from odds_service.client.transport import Transport
from odds_service.client.values import (
    EVERYTHING,
    ClosedEvent,
    Filter,
    ListedEvent,
    Odds,
    Refreshed,
)
from odds_service.model.cursor import Cursor
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

CALL_S: Final = 60.0  # the deadline of a call, where the caller gives none


@asynccontextmanager
async def open_client(address: Address | str) -> AsyncIterator["AsyncClient"]:
    """A client of the server at an address, on the loop that runs: Trio's or asyncio's.

    At the end it is closed, and its watches with it. Raises AddressError. Whether a server is
    there shows at the first call.
    """
    client = AsyncClient(_transport(address_of(address)))
    try:
        yield client
    finally:
        await client.aclose()


def _transport(address: Address) -> Transport:
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        from odds_service.client.on_trio import TrioTransport

        return TrioTransport(address)
    from odds_service.client.on_asyncio import AsyncioTransport

    return AsyncioTransport(address)


class AsyncClient:
    """The calls, with values in and out. All raise ServiceError; `timeout_s` bounds a call.

    Cancelling a call cancels it on the server too, except a refresh's fetch, which goes on.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._open: set[AsyncWatch | AsyncHistory] = set()

    async def get_odds(
        self,
        where: Filter = EVERYTHING,
        *,
        at_least: Cursor | None = None,
        include_best: bool = False,
        as_of: Cursor | datetime | None = None,
        timeout_s: float = CALL_S,
    ) -> Odds:
        """One consistent cut of the odds.

        at_least: wait until the odds are that new. as_of: the odds of the past instead.
        """
        request = requests.odds_request(where, at_least, include_best, as_of)
        return decode.odds(
            await self._transport.call(lambda stub: stub.GetOdds, request, timeout_s)
        )

    async def list_events(
        self, where: Filter = EVERYTHING, *, timeout_s: float = CALL_S
    ) -> list[ListedEvent]:
        """All events in order of their start; timeout_s is for each page that is fetched."""
        request = pb.ListEventsRequest(filter=requests.filter_message(where))
        found: list[ListedEvent] = []
        while True:
            page = await self._transport.call(lambda stub: stub.ListEvents, request, timeout_s)
            found += map(decode.listed_event, page.events)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def closing_odds(self, where: Filter = EVERYTHING) -> list[ClosedEvent]:
        """The closing odds of events that have started, in order of their start.

        All of them at once: give a filter that selects what can be held.
        """
        request = requests.closing_request(where)
        stream = self._transport.open(lambda stub: stub.GetClosingOdds, request)
        pages: list[pb.ClosingOddsPage] = []
        try:
            while (page := await stream.read()) is not None:
                pages.append(page)
        finally:
            await stream.aclose()
        return list(decode.closed_events(pages))

    async def refresh(
        self, event_id: str, *, deadline_s: float | None = None, timeout_s: float = CALL_S
    ) -> Refreshed:
        """Have an event fetched now; returns when the result is stored.

        deadline_s: how long the server may take; None: as it sees fit.
        """
        request = requests.refresh_request(event_id, deadline_s)
        return decode.refreshed(
            await self._transport.call(lambda stub: stub.RefreshEvent, request, timeout_s)
        )

    async def status(self, *, timeout_s: float = CALL_S) -> pb.GetStatusResponse:
        """How the service is; the message itself, since operators want all of it."""
        request = pb.GetStatusRequest()
        return await self._transport.call(lambda stub: stub.GetStatus, request, timeout_s)

    def history(
        self,
        where: Filter = EVERYTHING,
        *,
        start: Cursor | datetime | None = None,
        end: Cursor | datetime | None = None,
    ) -> AsyncHistory:
        """Stored changes in order: after a cursor or from a time (None: the oldest kept), up to
        and with a cursor or before a time (None: the newest stored)."""
        follower = HistoryFollower(requests.history_request(where, start, end))
        reading = Reading(self._transport, lambda stub: stub.GetHistory, follower)
        history = AsyncHistory(reading)
        self._remember(history)
        return history

    def watch(
        self,
        where: Filter = EVERYTHING,
        *,
        start: Odds | Cursor | None = None,
        conflate_s: float = 0.0,
        heartbeat_s: float | None = None,
        latest: bool = False,
        image_only: bool = False,
        wait_for_server: bool = False,
        freshness: bool = False,
    ) -> AsyncWatch:
        """Every change from now on, or from `start`; see AsyncWatch.

        start: what get_odds gave (with the same filter), or a cursor that was kept. conflate_s: at
        most one change per market in so long; 0: each. heartbeat_s: the longest silence; None: the
        server's choice. latest: when this reader is too slow, an image instead of old changes.
        image_only: end after the image. wait_for_server: at the first attempt too. freshness: keep
        `confirmed_at` and `stale` of the map's odds up to date, to the second.
        """
        request = requests.watch_request(
            where, conflate_s, heartbeat_s, latest, image_only, freshness
        )
        follower = WatchFollower(request, start, wait_for_server=wait_for_server)
        reading = Reading(self._transport, lambda stub: stub.WatchChanges, follower)
        watch = AsyncWatch(follower, reading)
        self._remember(watch)
        return watch

    def _remember(self, stream: AsyncWatch | AsyncHistory) -> None:
        self._open = {held for held in self._open if not held.closed}
        self._open.add(stream)

    async def aclose(self) -> None:
        """End all watches and give the channel back; all of them also when it is cancelled."""
        streams = tuple(self._open)
        for stream in streams:
            stream.end()
        try:
            for stream in streams:
                await stream.aclose()
        finally:
            await self._transport.aclose()
