"""A call in progress, as its door shows it to the call's function; gRPC's own context is one."""

from collections.abc import Awaitable
from typing import Protocol


class Context(Protocol):
    """The caller's side of one call."""

    def peer(self) -> str:
        """Return the address in gRPC's form: `ipv4:127.0.0.1:50123`, `ipv6:%5B::1%5D:50123`."""
        ...

    def time_remaining(self) -> float | None:
        """Return the seconds until the caller's deadline; None without one."""
        ...


class StreamingContext(Context, Protocol):
    """The caller's side of a call that answers with a stream."""

    def write(self, message: bytes, /) -> Awaitable[None]:
        """Hand over a message, waiting while the reader is slow."""
        ...
