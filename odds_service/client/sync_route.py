# Made from route.py by tools/sync_client.py: edit that, then run `make proto`.
"""The way from the client to whichever of its servers is in use."""

from collections.abc import Callable
from contextlib import ExitStack
from time import monotonic

from odds_service.client.address import Address
from odds_service.client.errors import ServiceError
from odds_service.client.rotation import Round
from odds_service.client.stub_methods import Flag, M, Q, Streaming, Unary
from odds_service.client.sync_transport import SyncStream, SyncTransport


class SyncRoute:
    """Transports to all servers of an address, of which one is used at a time.

    A transport connects with its first call, so a server that is not needed is left alone.

    Args:
        address: The servers.
        connect: Returns the transport to one of them.

    Raises:
        AddressError: The address is invalid.
    """

    def __init__(self, address: Address, connect: Callable[[Address, str], SyncTransport]) -> None:
        self._rotation = address.rotation
        self._transports = {server: connect(address, server) for server in address.servers}
        self._any = self._transports[self._rotation.current]

    def call(self, chosen: "Unary[Q, M]", request: Q, timeout_s: float, *, once: bool = False) -> M:
        """Make one call; if its server does not serve, try each of the others.

        Args:
            chosen: Picks the method.
            request: The request.
            timeout_s: The deadline of all attempts together, in seconds.
            once: Never send the request twice: try another server only without a connection.

        Raises:
            ServiceError: The call failed; the text names all servers that were tried.
        """
        attempts = self.attempts()
        end_s = monotonic() + timeout_s
        left_s = timeout_s
        while True:
            try:
                return self._transports[attempts.next()].call(chosen, request, left_s)
            except ServiceError as error:
                other = attempts.failed(error)
                if other is None or (once and error.sent):
                    raise attempts.told(error) from None
            left_s = max(end_s - monotonic(), 0.0)

    def attempts(self) -> Round:
        """Return the attempts of a stream, which open() needs."""
        return Round(self._rotation)

    def open(self, chosen: "Streaming[Q, M]", request: Q, server: str) -> SyncStream[M]:
        """Begin a streamed reply of one server; the first read raises if the call failed."""
        return self._transports[server].open(chosen, request)

    def flag(self) -> Flag:
        """Return a new event for threads."""
        return self._any.flag()

    def wait(self, flag: Flag, timeout_s: float) -> None:
        """Wait until the flag is set, for at most `timeout_s` seconds."""
        self._any.wait(flag, timeout_s)

    def close(self) -> None:
        """Release all transports."""
        with ExitStack() as stack:
            for transport in self._transports.values():
                stack.callback(transport.close)
