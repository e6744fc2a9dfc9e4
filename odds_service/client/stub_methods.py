"""Types of the stub's methods and of the loops' events."""

from collections.abc import Callable
from typing import Protocol, TypeAlias, TypeVar

import grpc

from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc

Q = TypeVar("Q")
M = TypeVar("M")

# Functions that pick a method from a stub, since each transport has its own stub. The quotes are
# needed because grpc's classes are generic only in its type stubs.
Unary: TypeAlias = "Callable[[pb_grpc.OddsServiceStub], grpc.UnaryUnaryMultiCallable[Q, M]]"
Streaming: TypeAlias = "Callable[[pb_grpc.OddsServiceStub], grpc.UnaryStreamMultiCallable[Q, M]]"


class Flag(Protocol):
    """The methods that trio.Event, asyncio.Event and threading.Event share."""

    def is_set(self) -> bool: ...
    def set(self) -> object: ...
