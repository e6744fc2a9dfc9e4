"""The synchronous client: plain calls, and streams as iterators."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import grpc

from odds_service.client import decode
from odds_service.client.address import Address, address_of, channel_options
from odds_service.client.errors import service_error
from odds_service.client.on_threads import ThreadTransport
from odds_service.client.sync_calls import CALL_S, SyncCalls
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
def connect(address: Address | str) -> Iterator[pb_grpc.OddsServiceStub]:
    """Open a bare stub of odds.v1, for those who want messages instead of values.

    Leaving the context closes the channel.

    Args:
        address: The server, as an Address or as bare `host:port`.

    Raises:
        AddressError: The address cannot be used.
        ServiceError: A call inside the context failed; it replaces grpc.RpcError.
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
    """Open a client of the server at an address.

    Leaving the context closes the client and its watches. No connection is made until the first
    call.

    Args:
        address: The server, as an Address or as bare `host:port`.

    Raises:
        AddressError: The address cannot be used.
    """
    address = address_of(address)
    with connect(address) as stub:
        client = SyncClient(ThreadTransport(stub, address.server))
        try:
            yield client
        finally:
            client.close()


class SyncClient(SyncCalls):
    """The calls of a server, with values in and out, from any thread; see open_sync_client.

    Raises:
        ServiceError: From every call that fails.
    """

    def list_events(
        self, where: Filter = EVERYTHING, *, timeout_s: float = CALL_S
    ) -> Iterator[ListedEvent]:
        """Iterate over events in the order of their start; `timeout_s` bounds each page."""
        yield from self._events(where, timeout_s)

    def closing_odds(self, where: Filter = EVERYTHING) -> Iterator[ClosedEvent]:
        """Iterate over the closing odds of started events, in the order of their start."""
        with self._closing_pages(where) as pages:
            yield from decode.closed_events(pages)

    def history(
        self,
        where: Filter = EVERYTHING,
        *,
        start: Cursor | datetime | None = None,
        end: Cursor | datetime | None = None,
    ) -> Iterator[HistoricalChange]:
        """Iterate over stored changes in their order; goes on by itself after a disconnect.

        Args:
            where: The changes to select.
            start: Begin after a cursor or at a time; None: with the oldest kept.
            end: Stop after a cursor or before a time; None: at the newest stored.

        Raises:
            ServiceError: The call failed and trying again does not help, or the client was closed,
                so that the rest is missing.
        """
        with self._history(where, start, end) as reading:
            yield from reading

    def history_pages(
        self,
        where: Filter = EVERYTHING,
        *,
        start: Cursor | datetime | None = None,
        end: Cursor | datetime | None = None,
    ) -> Iterator[pb.HistoryPage]:
        """Iterate like history(), over the messages of the contract."""
        with self._history(where, start, end) as reading:
            yield from reading.pages()
