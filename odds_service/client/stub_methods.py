"""Types of the stub's methods, and of an event that every kind of loop has."""

from collections.abc import Callable
from typing import Protocol, TypeAlias, TypeVar

import grpc

from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc

Q = TypeVar("Q")
M = TypeVar("M")

# Functions that choose a method of a stub: each transport has a stub of its own. grpc's classes are
# generic only in their stubs, hence the quotes.
Unary: TypeAlias = "Callable[[pb_grpc.OddsServiceStub], grpc.UnaryUnaryMultiCallable[Q, M]]"
Streaming: TypeAlias = "Callable[[pb_grpc.OddsServiceStub], grpc.UnaryStreamMultiCallable[Q, M]]"


class Flag(Protocol):
    """The part that trio.Event, asyncio.Event and threading.Event share."""

    def is_set(self) -> bool: ...
    def set(self) -> object: ...
