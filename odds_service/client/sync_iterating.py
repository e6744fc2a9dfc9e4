# Made from iterating.py by tools/sync_client.py: edit that, then run `make proto`.
"""Iterators over the client's streams: a watch, history, and paged replies."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from datetime import datetime
from time import monotonic
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from odds_service.client import decode
from odds_service.client.errors import ServiceError, StreamGap, client_closed
from odds_service.client.following import Ended, Follower, MapFollower, Split
from odds_service.client.frames import (
    ArrowTable,
    PandasFrame,
    PolarsFrame,
    pandas_frame,
    polars_frame,
)
from odds_service.client.odds_map import OddsMap
from odds_service.client.stub_methods import M, Q, Streaming
from odds_service.client.sync_route import SyncRoute
from odds_service.client.sync_transport import SyncStream
from odds_service.client.values import (
    Change,
    Disconnected,
    HistoricalChange,
    ListedEvent,
    Step,
)
from odds_service.model.cursor import Cursor
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

S = TypeVar("S")

STEADY_S: Final = 5.0  # a stream that served for this long begins a new round of the servers


class SyncReading(Generic[Q, M, S]):
    """A stream that is reopened for as long as its follower decides to retry."""

    def __init__(
        self, route: SyncRoute, chosen: "Streaming[Q, M]", follower: Follower[Q, M, S]
    ) -> None:
        self._route = route
        self._attempts = route.attempts()
        self._chosen = chosen
        self._follower = follower
        self._stream: SyncStream[M] | None = None
        self._closed = route.flag()
        self._wait_s = 0.0
        self._opened_s = 0.0  # monotonic
        self._served = False  # whether the stream has sent anything

    @property
    def closed(self) -> bool:
        """Return whether the reading is over, for whatever reason."""
        return self._closed.is_set()

    def advance(self) -> tuple[M, S] | Disconnected:
        """Return the next message with the follower's result, or the disconnect in its place.

        Each of the exceptions below closes the reading.

        Raises:
            StopIteration: The reading is over.
            ServiceError: The stream failed, and a retry would not help.
            StreamGap: The stream has a gap.
        """
        if self._stream is None and self._wait_s:
            self._route.wait(self._closed, self._wait_s)
            self._wait_s = 0.0
        if self.closed:
            raise StopIteration
        if self._stream is None:
            server = self._attempts.next()
            self._served, self._opened_s = False, monotonic()
            self._stream = self._route.open(self._chosen, self._follower.request(), server)
            # Check only after storing the stream: a close from another thread is then either
            # noticed here, or finds the stream and ends it.
            if self._closed.is_set():
                self.close()
                raise StopIteration
        error = None
        try:
            message = self._stream.read()
        except ServiceError as raised:
            error = raised
        else:
            if message is not None:
                self._served = True
                return message, self._take(message)
        if self.closed:
            raise StopIteration
        if self._served and monotonic() - self._opened_s >= STEADY_S:
            self._attempts.restart()
        # Let the follower decide before the first point at which this can be cancelled.
        ended, self._stream = self._stream, None
        try:
            disconnected = self._follower.ended(error, self._attempts)
            self._wait_s = disconnected.retry_in_s
        except Ended:
            self._closed.set()
            raise StopIteration from None
        except ServiceError:
            self._closed.set()
            raise
        finally:
            ended.close()
        return disconnected

    def pause(self, wait_s: float) -> None:
        """Wait; raise StopIteration if the reading is closed meanwhile."""
        self._route.wait(self._closed, wait_s)
        if self.closed:
            raise StopIteration

    def _take(self, message: M) -> S:
        try:
            return self._follower.take(message)
        except StreamGap:
            self.close()
            raise

    def end(self) -> None:
        """End the reading without waiting for the stream to release its resources."""
        self._closed.set()
        stream = self._stream
        if stream is not None:
            stream.end()

    def close(self) -> None:
        """End the reading and wait for the stream to release its resources."""
        self.end()
        stream = self._stream
        if stream is not None:
            stream.close()


class _Each(Generic[S]):
    """An iterator over the results of a function that raises StopIteration at the end.

    A generator would have to be closed by a caller that stops early.
    """

    def __init__(self, following: Callable[[], S]) -> None:
        self._following = following

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> S:
        return self._following()


class _ClosedOnExit(ABC):
    """A mixin that gives a class with `close` its `with`."""

    @abstractmethod
    def close(self) -> None:
        """Release the resources and wait until they are free."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Mapped(_ClosedOnExit, Generic[Q, M]):
    """Changes of one stream after another, together with the map that they make."""

    _step_split = Split.NOT  # the parts that steps() hands out

    def __init__(
        self, follower: MapFollower[Q, M], reading: SyncReading[Q, M, Step | None]
    ) -> None:
        self._follower = follower
        self._reading = reading

    @property
    def odds(self) -> OddsMap:
        """The map of the odds, up to the last change or step."""
        return self._follower.odds

    @property
    def now(self) -> datetime | None:
        """The time of the log, by which a strategy decides alike live and on the past.

        It is the `detected_at` of the newest change that was returned, or the newest `changed_at`
        of an image that is later. It is None before both, and never the time of a clock.
        """
        return self._follower.now

    @property
    def cursor(self) -> Cursor | None:
        """The cursor up to which changes were returned; save it after processing them."""
        return self._follower.cursor

    @property
    def closed(self) -> bool:
        """Return whether it is over."""
        return self._reading.closed

    def __iter__(self) -> Iterator[Change]:
        return self

    def __next__(self) -> Change:
        follower = self._follower
        follower.split = Split.CHANGES
        while True:
            self._wait_until_due()
            change = self._folded(follower.next_change)
            if change is not None:
                return change
            _, step = self._advance()
            follower.hand_out(step)

    def steps(self) -> Iterator[Step]:
        """Iterate over images, losses, disconnects, heartbeats, and changes that came together."""
        return _Each(self._next_step)

    def messages(self) -> Iterator[M | Disconnected]:
        """Iterate over the raw messages of the contract and the disconnects between them."""
        return _Each(self._next_message)

    def _next_step(self) -> Step:
        follower = self._follower
        follower.split = self._step_split
        while True:
            self._wait_until_due()
            changes = self._folded(follower.next_time)
            if changes is not None:
                return changes
            _, step = self._advance()
            if follower.hand_out(step) and step is not None:
                return step

    def _next_message(self) -> M | Disconnected:
        advanced = self._reading.advance()
        if isinstance(advanced, Disconnected):
            return advanced
        message, step = advanced
        self._follower.hand_out(step)
        return message

    def _advance(self) -> tuple[M | None, Step | None]:
        advanced = self._reading.advance()
        return (None, advanced) if isinstance(advanced, Disconnected) else advanced

    def _wait_until_due(self) -> None:
        due_s = self._follower.due_s()
        if due_s > 0:
            self._reading.pause(due_s)

    def _folded(self, following: Callable[[], S]) -> S:
        try:
            return following()
        except StreamGap:
            self._reading.close()
            raise

    def end(self) -> None:
        """End it without waiting for its stream to release its resources."""
        self._reading.end()

    def close(self) -> None:
        """End it; an iteration in another thread stops too."""
        self._reading.close()


class SyncWatch(_Mapped[pb.WatchChangesRequest, pb.WatchChangesResponse]):
    """Changes as they happen, together with a map of the current odds.

    Iterate over the watch itself for changes, or over steps() for images, losses and disconnects
    too, but not over both. The watch reconnects by itself, with back-off, and resumes where it
    stopped. `odds` shows the log up to the last change, or includes the message of the last step.

    Closing the client closes the watch; `with` closes it sooner.

    Raises:
        ServiceError: While iterating: the stream failed, and a retry would not help.
        StreamGap: While iterating: the stream has a gap. The watch is over.
    """


class SyncReplay(_Mapped[pb.ReplayRequest, pb.ReplayResponse]):
    """The changes of the past with the map of the odds as they were, read like a watch.

    It begins with an image as of its start and is over at its end. Iterating over it gives the same
    changes as the live watch did, each with the same `odds` and the same `now`; of the map, only
    times of confirmation and the marks of staleness that rest on them may differ. steps() gives the
    changes of one time together. It reconnects and resumes by itself, as a watch does.

    Closing the client closes the replay; `with` closes it sooner.

    Raises:
        ServiceError: While iterating: the stream failed, and a retry would not help.
        StreamGap: While iterating: the stream has a gap. The replay is over.
    """

    _step_split = Split.TIMES


class SyncHistory(_ClosedOnExit):
    """Stored changes; after a disconnect, reading resumes behind the last page received.

    Iterate over the history itself for changes, or over pages(), but not over both.

    Raises:
        ServiceError: While iterating: the stream failed and a retry would not help, or the client
            was closed before the end.
    """

    def __init__(
        self,
        reading: SyncReading[pb.GetHistoryRequest, pb.HistoryPage, None],
        columns: Callable[[], ArrowTable],
    ) -> None:
        self._reading = reading
        self._columns = columns
        self._page: list[HistoricalChange] = []
        self._cut_off = False

    @property
    def closed(self) -> bool:
        """Return whether the reading is over."""
        return self._reading.closed

    def __iter__(self) -> Iterator[HistoricalChange]:
        return self

    def __next__(self) -> HistoricalChange:
        while not self._page:
            self._page = list(decode.history_page(self._next_page()))
            self._page.reverse()
        return self._page.pop()

    def pages(self) -> Iterator[pb.HistoryPage]:
        """Iterate over the raw messages of the contract."""
        return _Each(self._next_page)

    def to_arrow(self) -> ArrowTable:
        """Return a pyarrow.Table with one row for each outcome of a change, from the first on.

        docs/history-schema.md describes its columns.

        Raises:
            ServiceError: The call failed.
            SettingsError: The extra `parquet` is not installed.
        """
        return self._columns()

    def to_pandas(self) -> PandasFrame:
        """Return a pandas.DataFrame with the columns of to_arrow(); needs the extra `pandas`."""
        return pandas_frame(self.to_arrow())

    def to_polars(self) -> PolarsFrame:
        """Return a polars.DataFrame with the columns of to_arrow(); needs the extra `polars`."""
        return polars_frame(self.to_arrow())

    def _next_page(self) -> pb.HistoryPage:
        while True:
            try:
                advanced = self._reading.advance()
            except StopIteration:
                if self._cut_off:
                    raise client_closed() from None
                raise
            if not isinstance(advanced, Disconnected):
                return advanced[0]

    def end(self) -> None:
        """End the reading without waiting for the stream to release its resources."""
        self._reading.end()

    def cut_off(self) -> None:
        """End the reading because its client is closed; the next iteration raises ServiceError."""
        self._cut_off = self._cut_off or not self.closed
        self.end()

    def close(self) -> None:
        """End the reading; an iteration in another thread stops too."""
        self._reading.close()


class SyncPages(_ClosedOnExit, Generic[Q, M]):
    """The messages of a streamed reply, which can be read once.

    Until the first message, another server is tried if one does not serve.
    """

    def __init__(self, route: SyncRoute, chosen: "Streaming[Q, M]", request: Q) -> None:
        self._route = route
        self._chosen = chosen
        self._request = request
        self._attempts = route.attempts()
        self._stream = self._opened()
        self._begun = False

    def _opened(self) -> SyncStream[M]:
        return self._route.open(self._chosen, self._request, self._attempts.next())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> M:
        while True:
            try:
                message = self._stream.read()
            except ServiceError as error:
                other = self._attempts.failed(error)
                if other is None or self._begun:
                    raise self._attempts.told(error) from None
            else:
                self._begun = True
                if message is None:
                    raise StopIteration
                return message
            # In this order, so that a cancelled end is not taken for the end of the reply.
            ended, self._stream = self._stream, self._opened()
            ended.close()

    def close(self) -> None:
        """End the stream and wait for it to release its resources."""
        self._stream.close()


class SyncEvents:
    """Listed events in the order of their start, fetched page by page."""

    def __init__(self, route: SyncRoute, request: pb.ListEventsRequest, timeout_s: float) -> None:
        self._route = route
        self._request = request
        self._timeout_s = timeout_s
        self._page: list[ListedEvent] = []
        self._at_end = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ListedEvent:
        while not self._page:
            if self._at_end:
                raise StopIteration
            page = self._route.call(lambda stub: stub.ListEvents, self._request, self._timeout_s)
            self._page = [decode.listed_event(each) for each in page.events]
            self._page.reverse()
            self._request.page_token = page.next_page_token
            self._at_end = not page.next_page_token
        return self._page.pop()
