"""The synchronous client: blocking calls, and streams as iterators."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime

import grpc

from odds_service.client import decode
from odds_service.client.address import Address, address_of, channel_to
from odds_service.client.errors import service_error
from odds_service.client.frames import ArrowBatch, ClosedEvents, Columns, StoredChanges
from odds_service.client.on_threads import ThreadTransport
from odds_service.client.stub_in_turn import StubInTurn
from odds_service.client.sync_calls import CALL_S, SyncCalls
from odds_service.client.sync_route import SyncRoute
from odds_service.client.values import (
    EVERYTHING,
    ClosedEvent,
    Filter,
    HistoricalChange,
    ListedEvent,
)
from odds_service.model.cursor import Cursor
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc


@contextmanager
def connect(address: Address | str | Sequence[str]) -> Iterator[pb_grpc.OddsServiceStub]:
    """Open a plain gRPC stub of odds.v1, which works with messages instead of values.

    Leaving the context closes the channel.

    Args:
        address: The server, as an Address or as `host:port`; or several servers. Then the stub
            takes blocking calls only, and tries another server when one is away.

    Raises:
        AddressError: The address is invalid.
        ServiceError: Replaces a grpc.RpcError that leaves the context.
    """
    address = address_of(address)
    with ExitStack() as stack:
        channels = {
            server: stack.enter_context(channel_to(address, server)) for server in address.servers
        }
        try:
            if len(channels) == 1:
                yield pb_grpc.OddsServiceStub(*channels.values())
            else:
                yield StubInTurn(address.rotation, channels)
        except grpc.RpcError as error:
            raise service_error(error, address.rotation.current) from None


@contextmanager
def open_sync_client(address: Address | str | Sequence[str]) -> Iterator["SyncClient"]:
    """Open a synchronous client.

    Leaving the context closes the client and its watches. The first call makes the connection.

    Args:
        address: The server, as an Address or as `host:port`; or several servers, of which another
            takes over when the one in use fails.

    Raises:
        AddressError: The address is invalid.
    """
    client = SyncClient(SyncRoute(address_of(address), ThreadTransport))
    try:
        yield client
    finally:
        client.close()


class SyncClient(SyncCalls):
    """The synchronous client, for use from any thread; see open_sync_client().

    Raises:
        ServiceError: From every call that fails.
    """

    def list_events(
        self, where: Filter = EVERYTHING, *, timeout_s: float = CALL_S
    ) -> Iterator[ListedEvent]:
        """Iterate over events in the order of their start; `timeout_s` applies to each page."""
        yield from self._events(where, timeout_s)

    def closing_odds(self, where: Filter = EVERYTHING) -> ClosedEvents:
        """Iterate over the closing odds of started events, in the order of their start."""
        return ClosedEvents(self._closed_events(where))

    def _closed_events(self, where: Filter) -> Iterator[ClosedEvent]:
        with self._closing_pages(where) as pages:
            yield from decode.closed_events(pages)

    def history(
        self,
        where: Filter = EVERYTHING,
        *,
        start: Cursor | datetime | None = None,
        end: Cursor | datetime | None = None,
    ) -> StoredChanges:
        """Iterate over stored changes in their order, resuming by itself after a disconnect.

        Args:
            where: The changes to select.
            start: Begin after this cursor or at this time; None begins with the oldest change.
            end: Stop after this cursor or before this time; None stops at the newest stored change.

        Raises:
            ServiceError: The call failed and a retry would not help, or the client was closed
                before the end.
        """
        return StoredChanges(
            self._stored(where, start, end), lambda: self._history_columns(where, start, end)
        )

    def _stored(
        self, where: Filter, start: Cursor | datetime | None, end: Cursor | datetime | None
    ) -> Iterator[HistoricalChange]:
        with self._history(where, start, end) as reading:
            yield from reading

    def history_pages(
        self,
        where: Filter = EVERYTHING,
        *,
        start: Cursor | datetime | None = None,
        end: Cursor | datetime | None = None,
    ) -> Iterator[pb.HistoryPage]:
        """Iterate like history(), but over the raw messages of the contract."""
        with self._history(where, start, end) as reading:
            yield from reading.pages()

    def history_batches(
        self,
        where: Filter = EVERYTHING,
        *,
        start: Cursor | datetime | None = None,
        end: Cursor | datetime | None = None,
    ) -> Iterator[ArrowBatch]:
        """Iterate like history(), but over the RecordBatches that to_arrow() joins.

        Raises:
            SettingsError: The extra `parquet` is not installed.
        """
        columns = Columns()
        with self._history(where, start, end, as_columns=True) as reading:
            for page in reading.pages():
                yield from columns.take(page)
