# Made from transport.py by tools/sync_client.py: edit that, then run `make proto`.
"""The operations that the client needs of an event loop: calls, streams, and waiting."""

from typing import Protocol, TypeVar

from odds_service.client.stub_methods import Flag, M, Q, Streaming, Unary

M_co = TypeVar("M_co", covariant=True)


class SyncStream(Protocol[M_co]):
    """A reply of many messages."""

    def read(self) -> M_co | None:
        """Return the next message, or None at the end or once the stream is closed.

        Raises:
            ServiceError: The stream broke.
        """
        ...

    def end(self) -> None:
        """End it, without waiting until its resources are free."""
        ...

    def close(self) -> None:
        """End it and wait until its resources are free; may be repeated."""
        ...


class SyncTransport(Protocol):
    """A channel used by threads."""

    def call(self, chosen: "Unary[Q, M]", request: Q, timeout_s: float) -> M:
        """Make one call.

        Raises:
            ServiceError: The call failed.
        """
        ...

    def open(self, chosen: "Streaming[Q, M]", request: Q) -> SyncStream[M]:
        """Begin a streamed reply; a failure shows at its first read."""
        ...

    def flag(self) -> Flag:
        """Return a new event for threads."""
        ...

    def wait(self, flag: Flag, timeout_s: float) -> None:
        """Wait until the flag is set, for `timeout_s` at most."""
        ...

    def close(self) -> None:
        """Release the channel."""
        ...
