"""A synchronous client: one channel, one stub, errors as one exception."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import grpc
from msgspec import Struct

from odds_service.rpc.pb.odds.v1 import odds_pb2_grpc as pb_grpc

MAX_MESSAGE_BYTES: Final = 16 * 2**20  # 16 MiB; the server's own limit is lower
KEEPALIVE_MS: Final = 30_000  # a dead server is noticed on a silent stream


class Address(Struct, frozen=True):
    """Where a server is and how to reach it.

    server: `host:port`. ca: a file of certificates to trust; without it the connection is plain.
    token: sent as a bearer token with every call; it needs a `ca`, never to travel in the clear.
    """

    server: str
    ca: Path | None = None
    token: str | None = None


class ServiceError(Exception):
    """A call failed; `code` is gRPC's name of the status, the text the server's own."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@contextmanager
def connect(address: Address) -> Iterator[pb_grpc.OddsServiceStub]:
    """A stub for the calls of odds.v1; its channel is closed at the end.

    Raises ServiceError in place of grpc.RpcError for what happens inside.
    """
    options = [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ]
    if address.ca is None:
        channel = grpc.insecure_channel(address.server, options)
    else:
        trusted = grpc.ssl_channel_credentials(address.ca.read_bytes())
        if address.token is not None:
            bearer = grpc.access_token_call_credentials(address.token)
            trusted = grpc.composite_channel_credentials(trusted, bearer)
        channel = grpc.secure_channel(address.server, trusted, options)
    with channel:
        try:
            yield pb_grpc.OddsServiceStub(channel)
        except grpc.RpcError as error:
            raise service_error(error, address.server) from None


def service_error(error: grpc.RpcError, server: str) -> ServiceError:
    """What the server, or the way to it, says."""
    call: object = error  # grpc raises a class that is both, which grpc-stubs hold for impossible
    if not isinstance(call, grpc.Call):
        return ServiceError("UNKNOWN", str(error))
    code = call.code().name
    details = call.details() or "no reason given"
    if code == "UNAVAILABLE" and "failed to connect" in details:
        return ServiceError(code, f"no server answers at {server}")
    return ServiceError(code, details)
