"""A proxy in front of PostgreSQL that reads its protocol, to strike at a chosen moment.

It frames the messages of both directions (PostgreSQL's frontend/backend protocol, version 3), and
so knows when a transaction has rows in flight and when the server has committed it.
"""

import enum
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import trio

_ENCRYPTION_REQUESTS: Final = [struct.pack("!I", code) for code in (80877103, 80877104)]
_READ_BYTES: Final = 2**16


class Moment(enum.Enum):
    """The moment to strike: rows are in flight, or the commit's reply is."""

    ROWS_SENT = "rows sent"
    COMMITTED = "committed"


class Trap:
    """A trap that springs once, and holds the connection that sprang it until released."""

    def __init__(self, moment: Moment) -> None:
        self.moment = moment
        self.sprung = trio.Event()
        self.released = trio.Event()


class _Connection:
    def __init__(self, client: trio.SocketStream, server: trio.SocketStream) -> None:
        self.client = client
        self.server = server
        self.scope = trio.CancelScope()
        self.swallowed = False  # nothing of it arrives any more
        self.copied = False  # the open transaction has sent rows


_Direction = Callable[[_Connection], Awaitable[None]]


class Proxy:
    """A proxy with its own port, which can cut, refuse and hold connections."""

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self.lost_replies = 0  # commits whose reply never reached the client
        self.struck_open = 0  # connections cut while a transaction had rows in flight
        self._server_port = server_port
        self._refusing = False
        self._heard = trio.Event()  # set while what is sent arrives
        self._heard.set()
        self._connections: set[_Connection] = set()
        self._trap: Trap | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            serve = partial(trio.serve_tcp, self._serve, 0, host="127.0.0.1")
            (listener,) = await nursery.start(serve)
            self.port = listener.socket.getsockname()[1]
            task_status.started()

    def cut_all(self) -> None:
        """Cut every connection at once."""
        for connection in self._connections:
            self.struck_open += connection.copied
            connection.scope.cancel()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Cut all connections, and refuse new ones inside the block."""
        self._refusing = True
        self.cut_all()
        try:
            yield
        finally:
            self._refusing = False

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Swallow what the present connections send, for ever, and new ones' inside the block.

        So does a firewall that has lost its table of connections: it closes none of them.
        """
        lost, self._heard = self._heard, trio.Event()
        for connection in self._connections:
            connection.swallowed = True
        try:
            yield
        finally:
            heard, self._heard = self._heard, lost
            heard.set()

    @contextmanager
    def trap(self, moment: Moment) -> Iterator[Trap]:
        """Set a trap for a moment; release what it holds at the end of the block."""
        trap = self._trap = Trap(moment)
        try:
            yield trap
        finally:
            self._trap = None
            trap.released.set()

    async def _serve(self, client: trio.SocketStream) -> None:
        if self._refusing:
            await trio.aclose_forcefully(client)
            return
        if not self._heard.is_set():
            await self._heard.wait()
            await trio.aclose_forcefully(client)
            return
        try:
            server = await trio.open_tcp_stream("127.0.0.1", self._server_port)
        except OSError:
            await trio.aclose_forcefully(client)
            return
        connection = _Connection(client, server)
        self._connections.add(connection)
        try:
            with connection.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._carry, connection, self._frontend)
                    nursery.start_soon(self._carry, connection, self._backend)
        finally:
            self._connections.discard(connection)
            with trio.CancelScope(shield=True):  # it closes sockets without an error message
                await trio.aclose_forcefully(client)
                await trio.aclose_forcefully(server)

    async def _carry(
        self, connection: _Connection, direction: Callable[["_Connection"], Awaitable[None]]
    ) -> None:
        try:
            await direction(connection)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.struck_open += connection.copied
        connection.scope.cancel()

    async def _frontend(self, connection: _Connection) -> None:
        messages = _Messages(connection.client)
        while (start := await messages.untyped()) is not None:
            if len(start) == 8 and start[4:] in _ENCRYPTION_REQUESTS:
                await connection.client.send_all(b"N")
                continue
            await connection.server.send_all(start)
            break
        while (message := await messages.typed()) is not None:
            if message[:1] == b"d":
                connection.copied = True
                await self._spring(Moment.ROWS_SENT)
            if not connection.swallowed:
                await connection.server.send_all(message)

    async def _backend(self, connection: _Connection) -> None:
        messages = _Messages(connection.server)
        while (message := await messages.typed()) is not None:
            if message[:1] == b"C" and message[5:].startswith((b"COMMIT", b"ROLLBACK")):
                wrote, connection.copied = connection.copied, False
                trap = self._laid(Moment.COMMITTED)
                if wrote and message[5:].startswith(b"COMMIT") and trap is not None:
                    self.lost_replies += 1
                    trap.sprung.set()
                    return
            if not connection.swallowed:
                await connection.client.send_all(message)

    async def _spring(self, moment: Moment) -> None:
        trap = self._laid(moment)
        if trap is not None:
            trap.sprung.set()
            await trap.released.wait()

    def _laid(self, moment: Moment) -> Trap | None:
        """Return the trap set for this moment, unless it has sprung."""
        trap = self._trap
        laid = trap is not None and trap.moment is moment and not trap.sprung.is_set()
        return trap if laid else None


class _Messages:
    """The framed messages of a stream; None at its end."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._held = bytearray()

    async def untyped(self) -> bytes | None:
        """Return the next message of the start-up phase: a length and the rest."""
        return await self._message(0)

    async def typed(self) -> bytes | None:
        """Return the next message of a session: a type, a length and the rest."""
        return await self._message(1)

    async def _message(self, type_bytes: int) -> bytes | None:
        if not await self._hold(type_bytes + 4):
            return None
        (length,) = struct.unpack_from("!I", self._held, type_bytes)
        if not await self._hold(type_bytes + length):
            return None
        message = bytes(self._held[: type_bytes + length])
        del self._held[: type_bytes + length]
        return message

    async def _hold(self, size: int) -> bool:
        while len(self._held) < size:
            received = await self._stream.receive_some(_READ_BYTES)
            if not received:
                return False
            self._held += received
        return True
