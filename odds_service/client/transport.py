"""The transport protocols: the calls, streams and waits that the client needs from a loop."""

from typing import Protocol, TypeVar

from odds_service.client.stub_methods import Flag, M, Q, Streaming, Unary

M_co = TypeVar("M_co", covariant=True)


class AsyncStream(Protocol[M_co]):
    """A reply of many messages."""

    async def read(self) -> M_co | None:
        """Return the next message, or None at the end or once the stream is closed.

        Raises:
            ServiceError: The stream broke.

        Cancellation:
            Nothing is lost: the next read returns the message.
        """
        ...

    def end(self) -> None:
        """End the stream without waiting for it to release its resources."""
        ...

    async def aclose(self) -> None:
        """End the stream and wait for it to release its resources; idempotent."""
        ...


class AsyncTransport(Protocol):
    """A channel on one event loop."""

    async def call(self, chosen: "Unary[Q, M]", request: Q, timeout_s: float) -> M:
        """Make one call.

        Raises:
            ServiceError: The call failed.

        Cancellation:
            The call is cancelled on the server too.
        """
        ...

    def open(self, chosen: "Streaming[Q, M]", request: Q) -> AsyncStream[M]:
        """Begin a streamed reply; the first read raises if the call failed."""
        ...

    def flag(self) -> Flag:
        """Return a new event of this loop."""
        ...

    async def wait(self, flag: Flag, timeout_s: float) -> None:
        """Wait until the flag is set, for at most `timeout_s` seconds."""
        ...

    async def aclose(self) -> None:
        """Release the channel."""
        ...
