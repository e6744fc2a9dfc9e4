"""A TCP relay that can be cut: the network between a node and a server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


class Relay:
    """A relay to a port of loopback.

    Attributes:
        port: The relay's own port.
    """

    def __init__(self, to: int) -> None:
        self.port = 0
        self._to = to
        self._cut = False
        self._open: set[trio.CancelScope] = set()

    def cut(self) -> None:
        """Break all connections, and accept none."""
        self._cut = True
        for scope in self._open:
            scope.cancel()

    def mend(self) -> None:
        """Accept connections again."""
        self._cut = False

    async def serve(self, near: trio.SocketStream) -> None:
        """Relay one connection."""
        with trio.CancelScope() as scope:
            self._open.add(scope)
            try:
                async with near:
                    if self._cut:
                        return
                    try:
                        far = await trio.open_tcp_stream("127.0.0.1", self._to)
                    except OSError:
                        return
                    async with far, trio.open_nursery() as nursery:
                        nursery.start_soon(_pump, near, far, nursery.cancel_scope)
                        nursery.start_soon(_pump, far, near, nursery.cancel_scope)
            finally:
                self._open.discard(scope)


async def _pump(
    source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope
) -> None:
    try:
        while piece := await source.receive_some(65_536):
            await sink.send_all(piece)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    scope.cancel()


@asynccontextmanager
async def relaying(to: int) -> AsyncIterator[Relay]:
    """Run a relay to a port of loopback."""
    relay = Relay(to)
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        relay.port = listeners[0].socket.getsockname()[1]
        await nursery.start(trio.serve_listeners, relay.serve, listeners)
        yield relay
        nursery.cancel_scope.cancel()
