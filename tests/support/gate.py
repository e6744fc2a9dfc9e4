"""A TCP proxy in front of one server, which can be shut, cut and struck dumb."""

import enum
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import trio

_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s


class Passage(enum.Enum):
    """The treatment of new connections."""

    OPEN = "open"
    SHUT = "shut"  # reset at once, as if nothing listened
    DUMB = "dumb"  # accepted, and never answered


class Gate:
    """A proxy whose address stays, whatever becomes of the server behind it.

    Attributes:
        address: Its own address.
        target: The address of the server.
        taken: The connections that it has taken, those that it shut out included.
    """

    def __init__(self, target: str) -> None:
        self.address = ""
        self.target = target
        self.taken = 0
        self._passage = Passage.OPEN
        self._silent = False
        self._scopes: set[trio.CancelScope] = set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            serve = partial(trio.serve_tcp, self._serve, 0, host="127.0.0.1")
            (listener,) = await nursery.start(serve)
            self.address = f"127.0.0.1:{listener.socket.getsockname()[1]}"
            task_status.started()

    def kill(self) -> None:
        """Reset all connections, and shut new ones out, like a process that is killed."""
        self._passage = Passage.SHUT
        for scope in self._scopes:
            scope.cancel()

    def refuse_new(self) -> None:
        """Shut new connections out, and leave the others alone."""
        self._passage = Passage.SHUT

    def silence(self) -> None:
        """Swallow all that is sent from now on, like a machine that has lost its power."""
        self._passage = Passage.DUMB
        self._silent = True

    def open(self) -> None:
        """Let new connections through; those that were silent end."""
        for scope in self._scopes if self._silent else ():
            scope.cancel()
        self._passage, self._silent = Passage.OPEN, False

    async def _serve(self, client: trio.SocketStream) -> None:
        self.taken += 1
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                if self._passage is Passage.DUMB:
                    await trio.sleep_forever()
                if self._passage is Passage.OPEN:
                    await self._carry(client)
            except (OSError, trio.BrokenResourceError):
                pass
            finally:
                self._scopes.discard(scope)
                _reset(client)

    async def _carry(self, client: trio.SocketStream) -> None:
        host, _, port = self.target.rpartition(":")
        server = await trio.open_tcp_stream(host, int(port))
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pump, client, server, nursery.cancel_scope)
                nursery.start_soon(self._pump, server, client, nursery.cancel_scope)
        finally:
            _reset(server)

    async def _pump(
        self, source: trio.SocketStream, target: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        try:
            async for chunk in source:
                if not self._silent:
                    await target.send_all(chunk)
        except trio.BrokenResourceError:
            pass
        if not self._silent:
            scope.cancel()
        await trio.sleep_forever()


def _reset(stream: trio.SocketStream) -> None:
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    stream.socket.close()


@asynccontextmanager
async def gates(*targets: str) -> AsyncIterator[list[Gate]]:
    """Put a gate in front of each server."""
    async with trio.open_nursery() as nursery:
        made = [Gate(target) for target in targets]
        for gate in made:
            await nursery.start(gate.run)
        yield made
        nursery.cancel_scope.cancel()
