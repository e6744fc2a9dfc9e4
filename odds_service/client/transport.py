"""What the async face needs of a loop: calls, streams, and waiting."""

from collections.abc import Callable
from typing import Protocol, TypeAlias, TypeVar

import grpc

from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc

Q = TypeVar("Q")
M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)

# grpc's classes are generic only in their stubs, hence the texts.
Unary: TypeAlias = "Callable[[pb_grpc.OddsServiceStub], grpc.UnaryUnaryMultiCallable[Q, M]]"
Streaming: TypeAlias = "Callable[[pb_grpc.OddsServiceStub], grpc.UnaryStreamMultiCallable[Q, M]]"


class Flag(Protocol):
    """trio.Event and asyncio.Event alike."""

    def is_set(self) -> bool: ...
    def set(self) -> object: ...


class Stream(Protocol[M_co]):
    """A reply of many messages."""

    async def read(self) -> M_co | None:
        """The next message; None at the end, also when it was closed meanwhile.

        A read that is cancelled loses nothing: the next one gives the message.
        Raises ServiceError.
        """
        ...

    def end(self) -> None:
        """End it, without waiting until its resources are free."""
        ...

    async def aclose(self) -> None:
        """End it and wait until its resources are free; any number of times."""
        ...


class Transport(Protocol):
    """A channel on one loop."""

    async def call(self, chosen: "Unary[Q, M]", request: Q, timeout_s: float) -> M:
        """One call. Raises ServiceError; cancelling it cancels the call."""
        ...

    def open(self, chosen: "Streaming[Q, M]", request: Q) -> Stream[M]:
        """Begin a streamed reply; failures show when it is read."""
        ...

    def flag(self) -> Flag:
        """An event of this loop."""
        ...

    async def wait(self, flag: Flag, timeout_s: float) -> None:
        """Wait until it is set, at most so long."""
        ...

    async def aclose(self) -> None:
        """Give the channel back."""
        ...
