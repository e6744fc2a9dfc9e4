"""The gRPC server: grpc.aio in a thread of its own, supervised by a Trio task."""

import asyncio
from datetime import datetime
from typing import Final

import structlog
import trio
from grpc import aio
from grpc_health.v1 import health, health_pb2

from odds_service.certificates import Guard
from odds_service.config import ServerSettings
from odds_service.errors import SettingsError
from odds_service.ports import offer_free
from odds_service.rpc.auth import credentials
from odds_service.rpc.guard import Revocations
from odds_service.rpc.handlers import SERVICE, service_handler
from odds_service.rpc.parts import RpcParts
from odds_service.rpc.server_context import ServerContext
from odds_service.rpc.standard import PLACES, add_standard
from odds_service.rpc.thread import LoopThread
from odds_service.status import RpcReport

# gRPC's own default. Requests between handlers.MAX_REQUEST_BYTES and this get a detailed refusal.
MAX_RECEIVED_BYTES: Final = 4 * 2**20
MAX_MESSAGE_BYTES: Final = 8 * 2**20  # above all our own limits, whose refusals give a reason
KEEPALIVE_S: Final = 30  # a peer silent for this long gets a ping
# A live reader may keep its TCP window full for minutes, and answers no ping meanwhile.
KEEPALIVE_TIMEOUT_S: Final = 600
PING_EVERY_S: Final = 10  # the shortest interval at which clients may send pings
HANDSHAKE_S: Final = 20
UNARY_AT_ONCE: Final = 1_000  # concurrent unary calls on a connection, beside the streams
HEALTH_S: Final = 2.0  # a watcher of health that does not read must not hold up the stop

log = structlog.get_logger(__name__)

__all__ = ["RpcParts", "RpcServer", "serve_grpc"]


class RpcServer:
    """A running server, for use from Trio."""

    def __init__(self, address: str, thread: LoopThread, running: "_Running") -> None:
        self.address = address
        self._thread = thread
        self._running = running

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The server's loop; None once it has ended."""
        return self._thread.loop

    @property
    def subscribers(self) -> int:
        """The number of open streams of changes."""
        return len(self._running.context.hub.subscribers)

    @property
    def pieces_made(self) -> int:
        """The number of encoded pieces of the log; shared pieces count once."""
        return self._running.context.reader.pieces_made

    def report(self, now: datetime) -> RpcReport:
        """Return counts of calls and streams, for metrics. May be called from any thread."""
        return self._running.context.report(now)

    async def set_serving(self, serving: bool) -> None:
        """Set the status that the health service reports."""
        await self._thread.call(self._running.set_serving, serving)

    def set_stalled(self, stalled: bool) -> None:
        """Report NOT_SERVING while the Trio thread stands. May be called from any thread."""
        loop = self._thread.loop
        if loop is None:
            return
        work = self._running.set_stalled(stalled)
        try:
            asyncio.run_coroutine_threadsafe(work, loop)
        except RuntimeError:
            work.close()
            log.debug("stalled_after_loop_closed")

    async def stop(self, grace_s: float) -> None:
        """End streams with a closing message, let calls finish, then close the server.

        Calls still running after `grace_s` are cancelled. Afterwards serve_grpc returns.
        """
        try:
            await self._thread.call(self._running.stop, grace_s)
        except ConnectionAbortedError:
            log.debug("server_stopped_already")
        self._thread.request_stop()


class _Running:
    """The part of the server that lives on its loop."""

    def __init__(self, parts: RpcParts, guard: Guard) -> None:
        self.context = ServerContext(parts, asyncio.get_running_loop())
        self._certificates = guard.certificates
        self._server = aio.server(
            options=channel_options(parts.settings),
            maximum_concurrent_rpcs=parts.settings.max_streams + UNARY_AT_ONCE + PLACES,
        )
        self.revocations = Revocations(self.context, guard.tokens)
        handler = service_handler(self.context, guard.tokens, revocations=self.revocations)
        self._server.add_generic_rpc_handlers([handler])
        self._health = add_standard(self._server, SERVICE)
        self._serving = self._stalled = False

    async def start(self, settings: ServerSettings) -> str:
        """Start to listen, and return the address with its real port. Raises SettingsError."""
        host = settings.listen.rpartition(":")[0]
        try:
            if self._certificates is None:
                port = self._server.add_insecure_port(settings.listen)
            else:
                secure = credentials(self._certificates)
                port = self._server.add_secure_port(settings.listen, secure)
        except RuntimeError:
            text = f"server.listen: cannot listen on {settings.listen}: in use, or not ours"
            text += offer_free(host, int(settings.listen.rpartition(":")[2]))
            raise SettingsError(text) from None
        await self.set_serving(False)
        await self._server.start()
        return f"{host}:{port}"

    async def set_serving(self, serving: bool) -> None:
        self._serving = serving
        await self._set_health()

    async def set_stalled(self, stalled: bool) -> None:
        self._stalled = stalled
        await self._set_health()

    async def _set_health(self) -> None:
        status = health_pb2.HealthCheckResponse.ServingStatus
        now = status.SERVING if self._serving and not self._stalled else status.NOT_SERVING
        for name in (health.OVERALL_HEALTH, SERVICE):
            try:
                async with asyncio.timeout(HEALTH_S):
                    await self._health.set(name, now)
            except TimeoutError:
                log.warning("health_watcher_stalled", service=name)

    async def stop(self, grace_s: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + grace_s
        hub = self.context.hub
        hub.end()
        await hub.emptied(until)
        await self._server.stop(max(0.0, until - loop.time()))


def channel_options(settings: ServerSettings) -> list[tuple[str, int]]:
    """Return the gRPC options that differ from its defaults or must keep their values."""
    return [
        # A second server on the port must fail, not share it.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", MAX_RECEIVED_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_concurrent_streams", settings.max_streams_per_client + UNARY_AT_ONCE),
        ("grpc.keepalive_time_ms", KEEPALIVE_S * 1_000),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_S * 1_000),
        # Pings of other kinds have their own time-out, and delay those of keepalive.
        ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_S * 1_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", PING_EVERY_S * 1_000),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", PING_EVERY_S * 1_000),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_S * 1_000),
    ]


async def serve_grpc(
    parts: RpcParts, *, task_status: trio.TaskStatus[RpcServer] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until `RpcServer.stop`; started() hands over a server that takes calls.

    The thread, its loop and the port are released when this returns.

    Raises:
        SettingsError: A setting is wrong; raised before anything is served.
        Exception: The error that crashed the server's thread.

    Cancellation: Takes up to thread.STOP_DEADLINE_S; streams end without a closing message.
    """
    guard = parts.guard or Guard(parts.settings)
    thread = LoopThread("grpc")
    token = trio.lowlevel.current_trio_token()
    servers: list[RpcServer] = []
    ready = trio.Event()

    async def main(stop: asyncio.Event) -> None:
        running = _Running(parts, guard)
        servers.append(RpcServer(await running.start(parts.settings), thread, running))
        with running.context.hub.listening():
            watchers = [
                asyncio.create_task(running.context.hub.watch_stalled()),
                asyncio.create_task(running.context.deliveries.count_regularly()),
                asyncio.create_task(running.revocations.watch()),
            ]
            token.run_sync_soon(ready.set)
            try:
                await stop.wait()
            finally:
                for watcher in watchers:
                    watcher.cancel()
                await running.stop(0.0)  # noqa: ASYNC102  # asyncio's; it bounds itself

    async with trio.open_nursery() as nursery:
        nursery.start_soon(thread.run, main)
        await ready.wait()
        task_status.started(servers[0])
