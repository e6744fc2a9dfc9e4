"""The serving thread: the doors of the service in one asyncio loop, supervised by a Trio task.

The doors share all that makes an answer: the hub, the log's encoded pieces, remembered replies,
limits, rights and counts.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Protocol

import structlog
import trio

from odds_service.certificates import Guard
from odds_service.loop_thread import LoopThread
from odds_service.serving.admission import Entrance, entrances
from odds_service.serving.guard import Revocations
from odds_service.serving.parts import ServingParts
from odds_service.serving.server_context import ServerContext
from odds_service.serving.table import SERVICER
from odds_service.status import RpcReport

log = structlog.get_logger(__name__)


class Room:
    """The state behind every door; for use on the server's loop only.

    Attributes:
        context: The state shared by calls.
        guard: The tokens and certificates.
        entrances: The way into each call, by its name.
        serving: Whether the service takes calls.
        stalled: Whether the Trio thread stands.
    """

    def __init__(self, parts: ServingParts, guard: Guard) -> None:
        self.context = ServerContext(parts, asyncio.get_running_loop())
        self.guard = guard
        self.revocations = Revocations(self.context, guard.tokens)
        self.entrances: Mapping[str, Entrance] = entrances(
            self.context, guard.tokens, self.revocations, SERVICER
        )
        self.serving = self.stalled = False

    @property
    def ready(self) -> bool:
        """Return whether callers should come."""
        return self.serving and not self.stalled


class Door(Protocol):
    """One way into the service: a listener with its protocol, on the server's loop."""

    async def start(self) -> str:
        """Start to listen, and return the address with its real port. Raises SettingsError."""
        ...

    async def show_ready(self) -> None:
        """Tell those who ask for health that `room.ready` has changed."""
        ...

    async def stop(self, grace_s: float) -> None:
        """Close. The streams have been ended; other calls are cancelled after `grace_s`."""
        ...


Opens = Callable[[Room], Door]


class Server:
    """A running server, for use from Trio.

    Attributes:
        addresses: The address of each door, in order.
    """

    def __init__(self, addresses: Sequence[str], thread: LoopThread, running: "_Running") -> None:
        self.addresses = addresses
        self._thread = thread
        self._running = running

    @property
    def address(self) -> str:
        """The address of the first door."""
        return self.addresses[0]

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The server's loop; None once it has ended."""
        return self._thread.loop

    @property
    def ready(self) -> bool:
        """Return whether callers should come. May be read from any thread."""
        return self._running.room.ready

    @property
    def subscribers(self) -> int:
        """The number of open streams of changes."""
        return len(self._running.room.context.hub.subscribers)

    @property
    def pieces_made(self) -> int:
        """The number of encoded pieces of the log; shared pieces count once."""
        return self._running.room.context.reader.pieces_made

    def report(self, now: datetime) -> RpcReport:
        """Return counts of calls and streams, for metrics. May be called from any thread."""
        return self._running.room.context.report(now)

    async def set_serving(self, serving: bool) -> None:
        """Set the status that health checks report."""
        await self._thread.call(self._running.set_serving, serving)

    async def end_streams(self, grace_s: float) -> None:
        """End all streams with a closing message, and refuse new ones until `reopen_streams`.

        Those that are left after `grace_s` are cancelled. Other calls go on.
        """
        await self._thread.call(self._running.end_streams, grace_s)

    async def reopen_streams(self) -> None:
        """Accept streams again; what was remembered of the log is forgotten."""
        await self._thread.call(self._running.reopen_streams)

    def set_stalled(self, stalled: bool) -> None:
        """Report NOT_SERVING while the Trio thread stands. May be called from any thread."""
        with suppress(ConnectionAbortedError):
            self._thread.schedule(partial(self._running.set_stalled, stalled))

    async def stop(self, grace_s: float) -> None:
        """End streams with a closing message, let calls finish, then close the doors.

        Calls still running after `grace_s` are cancelled. Afterwards `serve` returns.
        """
        try:
            await self._thread.call(self._running.stop, grace_s)
        except ConnectionAbortedError:
            log.debug("server_stopped_already")
        self._thread.request_stop()


class _Running:
    """The part of the server that lives on its loop."""

    def __init__(self, parts: ServingParts, guard: Guard, opens: Sequence[Opens]) -> None:
        self.room = Room(parts, guard)
        self._doors = [each(self.room) for each in opens]
        self._open: list[Door] = []

    async def start(self) -> list[str]:
        """Open the doors in order. Raises SettingsError, with those before it open."""
        addresses = []
        for door in self._doors:
            addresses.append(await door.start())
            self._open.append(door)
        return addresses

    async def set_serving(self, serving: bool) -> None:
        self.room.serving = serving
        await self._show_ready()

    async def set_stalled(self, stalled: bool) -> None:
        self.room.stalled = stalled
        await self._show_ready()

    async def _show_ready(self) -> None:
        for door in self._open:
            await door.show_ready()

    async def end_streams(self, grace_s: float) -> None:
        loop, hub = asyncio.get_running_loop(), self.room.context.hub
        hub.end()
        await hub.emptied(loop.time() + grace_s)
        while hub.subscribers:
            hub.give_up()
            await hub.emptied(loop.time() + grace_s)

    async def reopen_streams(self) -> None:
        self.room.context.forget_log()

    async def stop(self, grace_s: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + grace_s
        hub = self.room.context.hub
        hub.end()
        await hub.emptied(until)
        left_s = max(0.0, until - loop.time())
        closing, self._open = self._open, []
        await asyncio.gather(*(door.stop(left_s) for door in closing))


async def serve(
    parts: ServingParts,
    opens: Sequence[Opens],
    *,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `Server.stop`; started() hands over a server that takes calls.

    The thread, its loop and the ports are released when this returns.

    Args:
        parts: The parts of the service that calls use.
        opens: Makes each door.
        task_status: Receives the server.

    Raises:
        SettingsError: A setting is wrong; raised before anything is served.
        Exception: The error that crashed the server's thread.

    Cancellation: Takes up to loop_thread.STOP_DEADLINE_S; streams end without a closing message.
    """
    guard = parts.guard or Guard(parts.settings)
    thread = LoopThread("serving")
    token = trio.lowlevel.current_trio_token()
    servers: list[Server] = []
    ready = trio.Event()

    async def main(stop: asyncio.Event) -> None:
        running = _Running(parts, guard, opens)
        watchers: list[asyncio.Task[None]] = []
        context = running.room.context
        try:
            servers.append(Server(await running.start(), thread, running))
            with context.hub.listening():
                watchers += [
                    asyncio.create_task(context.hub.watch_stalled()),
                    asyncio.create_task(context.deliveries.count_regularly()),
                    asyncio.create_task(running.room.revocations.watch()),
                ]
                token.run_sync_soon(ready.set)
                await stop.wait()
        finally:
            for watcher in watchers:
                watcher.cancel()
            await running.stop(0.0)  # noqa: ASYNC102  # asyncio's; it bounds itself

    async with trio.open_nursery() as nursery:
        nursery.start_soon(thread.run, main)
        await ready.wait()
        task_status.started(servers[0])
