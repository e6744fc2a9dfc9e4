"""What the async face iterates over: a watch, or history; a stream after another underneath."""

from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from odds_service.client import decode
from odds_service.client.errors import ServiceError, StreamGap
from odds_service.client.following import Ended, WatchFollower
from odds_service.client.odds_map import OddsMap
from odds_service.client.transport import Stream, Streaming, Transport
from odds_service.client.values import Change, Disconnected, HistoricalChange, Step
from odds_service.model.cursor import Cursor
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

Q = TypeVar("Q")
M = TypeVar("M")
S = TypeVar("S")
Q_co = TypeVar("Q_co", covariant=True)
M_contra = TypeVar("M_contra", contravariant=True)
S_co = TypeVar("S_co", covariant=True)


class _Follower(Protocol[Q_co, M_contra, S_co]):
    def request(self) -> Q_co: ...
    def take(self, message: M_contra, /) -> S_co: ...
    def ended(self, error: ServiceError | None) -> Disconnected: ...


class Reading(Generic[Q, M, S]):
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
        reading: Reading[pb.WatchChangesRequest, pb.WatchChangesResponse, Step | None],
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

    def __init__(self, reading: Reading[pb.GetHistoryRequest, pb.HistoryPage, None]) -> None:
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
