"""gRPC in the calling thread: the transport of the synchronous client."""

import threading
from typing import Generic, cast

import grpc

from odds_service.client.address import Address, channel_to
from odds_service.client.errors import service_error
from odds_service.client.stub_methods import Flag, M, Q, Streaming, Unary
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc


class ThreadTransport:
    """A thread-safe transport; see transport.AsyncTransport for its methods."""

    def __init__(self, address: Address, server: str) -> None:
        self._channel = channel_to(address, server)
        self._server = server
        self._stub = pb_grpc.OddsServiceStub(self._channel)

    def call(self, chosen: "Unary[Q, M]", request: Q, timeout_s: float) -> M:
        try:
            return chosen(self._stub)(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise service_error(error, self._server) from None

    def open(self, chosen: "Streaming[Q, M]", request: Q) -> "ThreadStream[M]":
        return ThreadStream(chosen(self._stub)(request), self._server)

    def flag(self) -> Flag:
        return threading.Event()

    def wait(self, flag: Flag, timeout_s: float) -> None:
        cast("threading.Event", flag).wait(timeout_s)

    def close(self) -> None:
        self._channel.close()


class ThreadStream(Generic[M]):
    """A streamed reply that one thread reads and any thread may end; see AsyncStream."""

    def __init__(self, call: "grpc.CallIterator[M]", server: str) -> None:
        self._call = call
        self._messages = iter(call)
        self._server = server
        self._closed = False

    def read(self) -> M | None:
        try:
            return next(self._messages, None)
        except grpc.RpcError as error:
            if self._closed:
                return None
            raise service_error(error, self._server) from None

    def end(self) -> None:
        self._closed = True
        self._call.cancel()  # type: ignore[no-untyped-call]  # grpc-stubs leave it bare

    def close(self) -> None:
        self.end()
