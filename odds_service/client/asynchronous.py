"""The async face: one client for Trio and asyncio alike."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from types import TracebackType
from typing import Final, Generic, Protocol, Self, TypeVar

from odds_service.client import decode, requests
from odds_service.client.address import Address, address_of
from odds_service.client.errors import ServiceError, StreamGap
from odds_service.client.following import Ended, HistoryFollower, WatchFollower
from odds_service.client.odds_map import OddsMap
from odds_service.client.transport import Stream, Streaming, Transport
from odds_service.client.values import (
    EVERYTHING,
    Change,
    ClosedEvent,
    Disconnected,
    Filter,
    HistoricalChange,
    ListedEvent,
    Odds,
    Refreshed,
    Step,
)
from odds_service.model.cursor import Cursor
from odds_service.rpc.pb.odds.v1 import odds_pb2 as pb

Q = TypeVar("Q")
M = TypeVar("M")
S = TypeVar("S")
Q_co = TypeVar("Q_co", covariant=True)
M_contra = TypeVar("M_contra", contravariant=True)
S_co = TypeVar("S_co", covariant=True)

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
    ) -> "AsyncHistory":
        """Stored changes in order: after a cursor or from a time (None: the oldest kept), up to
        and with a cursor or before a time (None: the newest stored)."""
        follower = HistoryFollower(requests.history_request(where, start, end))
        reading = _Reading(self._transport, lambda stub: stub.GetHistory, follower)
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
    ) -> "AsyncWatch":
        """Every change from now on, or from `start`; see AsyncWatch.

        start: what get_odds gave (with the same filter), or a cursor that was kept. conflate_s: at
        most one change per market in so long; 0: each. heartbeat_s: the longest silence; None: the
        server's choice. latest: when this reader is too slow, an image instead of old changes.
        image_only: end after the image. wait_for_server: at the first attempt too.
        """
        request = requests.watch_request(where, conflate_s, heartbeat_s, latest, image_only)
        follower = WatchFollower(request, start, wait_for_server=wait_for_server)
        reading = _Reading(self._transport, lambda stub: stub.WatchChanges, follower)
        watch = AsyncWatch(follower, reading)
        self._remember(watch)
        return watch

    def _remember(self, stream: "AsyncWatch | AsyncHistory") -> None:
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


class _Follower(Protocol[Q_co, M_contra, S_co]):
    def request(self) -> Q_co: ...
    def take(self, message: M_contra, /) -> S_co: ...
    def ended(self, error: ServiceError | None) -> Disconnected: ...


class _Reading(Generic[Q, M, S]):
    """One stream after another, as a follower decides."""

    def __init__(
        self, transport: Transport, chosen: "Streaming[Q, M]", follower: _Follower[Q, M, S]
    ) -> None:
        self._transport = transport
        self._chosen = chosen
        self._follower = follower
        self._stream: Stream[M] | None = None
        self._closed = transport.flag()
        self._wait_s = 0.0

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    async def advance(self) -> tuple[M, S] | Disconnected:
        """The next message and what it says, or where the connection broke.

        Raises StopAsyncIteration when it is over; then, or after any error, it is closed.
        Cancelling it loses nothing: the next one goes on.
        """
        if self._stream is None and self._wait_s:
            await self._transport.wait(self._closed, self._wait_s)
            self._wait_s = 0.0
        if self.closed:
            raise StopAsyncIteration
        if self._stream is None:
            self._stream = self._transport.open(self._chosen, self._follower.request())
        error = None
        try:
            message = await self._stream.read()
        except ServiceError as raised:
            error = raised
        else:
            if message is not None:
                return message, await self._take(message)
        if self.closed:
            raise StopAsyncIteration
        # What comes next is settled before anything can be cancelled here.
        ended, self._stream = self._stream, None
        try:
            disconnected = self._follower.ended(error)
            self._wait_s = disconnected.retry_in_s
        except Ended:
            self._closed.set()
            raise StopAsyncIteration from None
        except ServiceError:
            self._closed.set()
            raise
        finally:
            await ended.aclose()
        return disconnected

    async def _take(self, message: M) -> S:
        try:
            return self._follower.take(message)
        except StreamGap:
            await self.aclose()
            raise

    def end(self) -> None:
        self._closed.set()
        if self._stream is not None:
            self._stream.end()

    async def aclose(self) -> None:
        self.end()
        if self._stream is not None:
            await self._stream.aclose()


class _Each(Generic[S]):
    """What a function gives until it raises StopAsyncIteration.

    No async generator: one that is left in the middle would have to be closed.
    """

    def __init__(self, following: Callable[[], Awaitable[S]]) -> None:
        self._following = following

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> S:
        return await self._following()


class _Closing:
    """`async with`, for what has `aclose`."""

    async def aclose(self) -> None:
        raise AssertionError("overridden")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class AsyncWatch(_Closing):
    """Changes as they happen, with the map that they add up to.

    Iterate over it for changes, or over steps() to see also where images, losses and disconnects
    lie; not over both. It resumes by itself, with back-off, where it was. `odds` is up to date with
    the message that the change or step came in.

    Iteration raises ServiceError when trying again does not help, StreamGap when the server broke
    its promise; after either the watch is over. Cancelled (a time-out round `anext`, say), it
    loses nothing and can go on. The client closes it at its own end; `async with` closes it sooner.
    """

    def __init__(
        self,
        follower: WatchFollower,
        reading: _Reading[pb.WatchChangesRequest, pb.WatchChangesResponse, Step | None],
    ) -> None:
        self._follower = follower
        self._reading = reading

    @property
    def odds(self) -> OddsMap:
        """The odds as they are now."""
        return self._follower.odds

    @property
    def cursor(self) -> Cursor | None:
        """Up to where changes were handed out; save it after dealing with them."""
        return self._follower.cursor

    @property
    def closed(self) -> bool:
        return self._reading.closed

    def __aiter__(self) -> AsyncIterator[Change]:
        return self

    async def __anext__(self) -> Change:
        while True:
            change = self._follower.next_change()
            if change is not None:
                return change
            step = (await self._advance())[1]
            self._follower.hand_out(step, whole=False)

    def steps(self) -> AsyncIterator[Step]:
        """Images, losses, disconnects, heartbeats, and changes a message at a time."""
        return _Each(self._next_step)

    def messages(self) -> AsyncIterator[pb.WatchChangesResponse | Disconnected]:
        """The messages of the contract as they came, and where the connection broke."""
        return _Each(self._next_message)

    async def _next_step(self) -> Step:
        while True:
            _, step = await self._advance()
            self._follower.hand_out(step, whole=True)
            if step is not None:
                return step

    async def _next_message(self) -> pb.WatchChangesResponse | Disconnected:
        advanced = await self._reading.advance()
        if isinstance(advanced, Disconnected):
            return advanced
        message, step = advanced
        self._follower.hand_out(step, whole=True)
        return message

    async def _advance(self) -> tuple[pb.WatchChangesResponse | None, Step | None]:
        advanced = await self._reading.advance()
        return (None, advanced) if isinstance(advanced, Disconnected) else advanced

    def end(self) -> None:
        """End it, without waiting until its resources are free."""
        self._reading.end()

    async def aclose(self) -> None:
        """End it; an iteration in another task stops too."""
        await self._reading.aclose()


class AsyncHistory(_Closing):
    """Stored changes; goes on by itself after a disconnect, from the last page it got.

    Iterate over it for changes, or over pages(); not over both.
    """

    def __init__(self, reading: _Reading[pb.GetHistoryRequest, pb.HistoryPage, None]) -> None:
        self._reading = reading
        self._page: list[HistoricalChange] = []

    @property
    def closed(self) -> bool:
        return self._reading.closed

    def __aiter__(self) -> AsyncIterator[HistoricalChange]:
        return self

    async def __anext__(self) -> HistoricalChange:
        while not self._page:
            self._page = list(decode.history_page(await self._next_page()))
            self._page.reverse()
        return self._page.pop()

    def pages(self) -> AsyncIterator[pb.HistoryPage]:
        """The messages of the contract as they came."""
        return _Each(self._next_page)

    async def _next_page(self) -> pb.HistoryPage:
        while True:
            advanced = await self._reading.advance()
            if not isinstance(advanced, Disconnected):
                return advanced[0]

    def end(self) -> None:
        """End it, without waiting until its resources are free."""
        self._reading.end()

    async def aclose(self) -> None:
        await self._reading.aclose()
