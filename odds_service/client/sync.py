"""The synchronous face: plain calls, and streams as iterators."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Final, Self

import grpc

from odds_service.client import decode, requests
from odds_service.client.address import Address, address_of, channel_options
from odds_service.client.errors import ServiceError, StreamGap, service_error
from odds_service.client.following import Ended, HistoryFollower, WatchFollower
from odds_service.client.odds_map import OddsMap
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
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc

CALL_S: Final = 60.0  # the deadline of a call, where the caller gives none


@contextmanager
def connect(address: Address | str) -> Iterator[pb_grpc.OddsServiceStub]:
    """A bare stub for the calls of odds.v1, for those who want messages instead of values.

    Its channel is closed at the end. Raises AddressError, and ServiceError in place of
    grpc.RpcError for what happens inside.
    """
    address = address_of(address)
    credentials = address.credentials()
    if credentials is None:
        channel = grpc.insecure_channel(address.server, channel_options())
    else:
        channel = grpc.secure_channel(address.server, credentials, channel_options())
    with channel:
        try:
            yield pb_grpc.OddsServiceStub(channel)
        except grpc.RpcError as error:
            raise service_error(error, address.server) from None


@contextmanager
def open_sync_client(address: Address | str) -> Iterator["SyncClient"]:
    """A client of the server at an address; at the end it is closed, and its watches with it.

    Raises AddressError. Whether a server is there shows at the first call.
    """
    with connect(address) as stub:
        client = SyncClient(stub, address_of(address).server)
        try:
            yield client
        finally:
            client.close()


class SyncClient:
    """The calls, with values in and out; from any thread.

    All raise ServiceError; `timeout_s` bounds a call.
    """

    def __init__(self, stub: pb_grpc.OddsServiceStub, server: str) -> None:
        self._stub = stub
        self._server = server
        self._watches: set[SyncWatch] = set()
        self._closed = threading.Event()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise service_error(error, self._server) from None

    def get_odds(
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
        with self._errors():
            return decode.odds(self._stub.GetOdds(request, timeout=timeout_s))

    def list_events(
        self, where: Filter = EVERYTHING, *, timeout_s: float = CALL_S
    ) -> Iterator[ListedEvent]:
        """Events in order of their start, page by page; timeout_s is for each page."""
        request = pb.ListEventsRequest(filter=requests.filter_message(where))
        while True:
            with self._errors():
                page = self._stub.ListEvents(request, timeout=timeout_s)
            yield from map(decode.listed_event, page.events)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def closing_odds(self, where: Filter = EVERYTHING) -> Iterator[ClosedEvent]:
        """The closing odds of events that have started, in order of their start."""
        call = self._stub.GetClosingOdds(requests.closing_request(where))
        try:
            with self._errors():
                yield from decode.closed_events(call)
        finally:
            call.cancel()  # type: ignore[no-untyped-call]  # grpc-stubs leave it bare

    def refresh(
        self, event_id: str, *, deadline_s: float | None = None, timeout_s: float = CALL_S
    ) -> Refreshed:
        """Have an event fetched now; returns when the result is stored.

        deadline_s: how long the server may take; None: as it sees fit. A caller that leaves does
        not end the fetch.
        """
        request = requests.refresh_request(event_id, deadline_s)
        with self._errors():
            return decode.refreshed(self._stub.RefreshEvent(request, timeout=timeout_s))

    def status(self, *, timeout_s: float = CALL_S) -> pb.GetStatusResponse:
        """How the service is; the message itself, since operators want all of it."""
        with self._errors():
            return self._stub.GetStatus(pb.GetStatusRequest(), timeout=timeout_s)

    def history(
        self,
        where: Filter = EVERYTHING,
        *,
        start: Cursor | datetime | None = None,
        end: Cursor | datetime | None = None,
    ) -> Iterator[HistoricalChange]:
        """Stored changes in order, from `start` (after a cursor, or at a time; None: the oldest
        kept) up to and with a cursor or before a time; goes on by itself after a disconnect."""
        for page in self.history_pages(where, start=start, end=end):
            yield from decode.history_page(page)

    def history_pages(
        self,
        where: Filter = EVERYTHING,
        *,
        start: Cursor | datetime | None = None,
        end: Cursor | datetime | None = None,
    ) -> Iterator[pb.HistoryPage]:
        """As history, in the messages of the contract."""
        follower = HistoryFollower(requests.history_request(where, start, end))
        while not self._closed.is_set():
            call = self._stub.GetHistory(follower.request())
            error = None
            try:
                for page in call:
                    follower.take(page)
                    yield page
            except grpc.RpcError as raised:
                error = service_error(raised, self._server)
            finally:
                call.cancel()  # type: ignore[no-untyped-call]  # grpc-stubs leave it bare
            try:
                disconnected = follower.ended(error)
            except Ended:
                return
            self._closed.wait(disconnected.retry_in_s)
        raise ServiceError("CANCELLED", "the client was closed")

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
    ) -> "SyncWatch":
        """Every change from now on, or from `start`; see SyncWatch.

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
        watch = SyncWatch(self._stub, self._server, follower, self._watches.discard)
        self._watches.add(watch)
        return watch

    def close(self) -> None:
        """End all watches, and readings of history with an error."""
        self._closed.set()
        for watch in tuple(self._watches):
            watch.close()


class SyncWatch:
    """Changes as they happen, with the map that they add up to.

    Iterate over it for changes, or over steps() to see also where images, losses and disconnects
    lie; not over both. It resumes by itself, with back-off, where it was. `odds` is up to date with
    the message that the change or step came in.

    Iteration raises ServiceError when trying again does not help, StreamGap when the server broke
    its promise; after either the watch is over. close() ends it from any thread.
    """

    def __init__(
        self,
        stub: pb_grpc.OddsServiceStub,
        server: str,
        follower: WatchFollower,
        closed: Callable[["SyncWatch"], None],
    ) -> None:
        self._stub = stub
        self._server = server
        self._follower = follower
        self._on_close = closed
        self._closed = threading.Event()
        self._lock = threading.Lock()  # a call is not opened while the watch is being closed
        self._call: grpc.CallIterator[pb.WatchChangesResponse] | None = None
        self._messages: Iterator[pb.WatchChangesResponse] = iter(())
        self._wait_s = 0.0

    @property
    def odds(self) -> OddsMap:
        """The odds as they are now."""
        return self._follower.odds

    @property
    def cursor(self) -> Cursor | None:
        """Up to where changes were handed out; save it after dealing with them."""
        return self._follower.cursor

    def __iter__(self) -> Iterator[Change]:
        return self

    def __next__(self) -> Change:
        while True:
            change = self._follower.next_change()
            if change is not None:
                return change
            step = self._advance()[1]
            self._follower.hand_out(step, whole=False)

    def steps(self) -> Iterator[Step]:
        """Images, losses, disconnects, heartbeats, and changes a message at a time."""
        for _, step in self._all():
            if step is not None:
                yield step

    def messages(self) -> Iterator[pb.WatchChangesResponse | Disconnected]:
        """The messages of the contract as they came, and where the connection broke."""
        for message, step in self._all():
            if message is not None:
                yield message
            elif isinstance(step, Disconnected):
                yield step

    def _all(self) -> Iterator[tuple[pb.WatchChangesResponse | None, Step | None]]:
        while True:
            try:
                message, step = self._advance()
            except StopIteration:
                return
            self._follower.hand_out(step, whole=True)
            yield message, step

    def _advance(self) -> tuple[pb.WatchChangesResponse | None, Step | None]:
        """The next message and what it says, or where the connection broke.

        Raises StopIteration when the watch is over.
        """
        if self._call is None:
            self._closed.wait(self._wait_s)
            self._open()
        try:
            message = next(self._messages)
            return message, self._follower.take(message)
        except StreamGap:
            self.close()
            raise
        except StopIteration:
            error = None
        except grpc.RpcError as raised:
            error = service_error(raised, self._server)
        if self._closed.is_set():
            raise StopIteration
        self._call = None
        try:
            disconnected = self._follower.ended(error)
        except Ended:
            self.close()
            raise StopIteration from None
        except ServiceError:
            self.close()
            raise
        self._wait_s = disconnected.retry_in_s
        return None, disconnected

    def _open(self) -> None:
        with self._lock:
            if self._closed.is_set():
                raise StopIteration
            self._call = self._stub.WatchChanges(self._follower.request())
            self._messages = iter(self._call)

    def close(self) -> None:
        """End it; an iteration in another thread stops too."""
        self._on_close(self)
        with self._lock:
            self._closed.set()
            call = self._call
        if call is not None:
            call.cancel()  # type: ignore[no-untyped-call]  # grpc-stubs leave it bare

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
