"""The gRPC door: a grpc.aio server on the serving thread's loop."""

import asyncio
from typing import Final

import structlog
from grpc import aio
from grpc_health.v1 import health, health_pb2

from odds_service.config import ServerSettings
from odds_service.errors import SettingsError
from odds_service.ports import offer_free
from odds_service.rpc.credentials import credentials
from odds_service.rpc.handlers import service_handler
from odds_service.rpc.standard import PLACES, add_standard
from odds_service.serving.admission import SERVICE
from odds_service.serving.auth import is_closed
from odds_service.serving.server import Room

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


class GrpcDoor:
    """The gRPC server as a door."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._settings = settings = room.context.parts.settings
        self._server = aio.server(
            options=channel_options(settings),
            maximum_concurrent_rpcs=settings.max_streams + UNARY_AT_ONCE + PLACES,
        )
        closed = is_closed(settings, settings.listen)
        handler = service_handler(room.entrances.values(), closed=closed)
        self._server.add_generic_rpc_handlers([handler])
        self._health = add_standard(self._server, SERVICE.full_name)

    async def start(self) -> str:
        """See serving.server.Door."""
        settings, certificates = self._settings, self._room.guard.certificates
        host = settings.listen.rpartition(":")[0]
        try:
            if certificates is None:
                port = self._server.add_insecure_port(settings.listen)
            else:
                secure = credentials(certificates)
                port = self._server.add_secure_port(settings.listen, secure)
        except RuntimeError:
            text = f"server.listen: cannot listen on {settings.listen}: in use, or not ours"
            text += offer_free(host, int(settings.listen.rpartition(":")[2]))
            raise SettingsError(text) from None
        await self.show_ready()
        await self._server.start()
        return f"{host}:{port}"

    async def show_ready(self) -> None:
        """See serving.server.Door."""
        status = health_pb2.HealthCheckResponse.ServingStatus
        now = status.SERVING if self._room.ready else status.NOT_SERVING
        for name in (health.OVERALL_HEALTH, SERVICE.full_name):
            try:
                async with asyncio.timeout(HEALTH_S):
                    await self._health.set(name, now)
            except TimeoutError:
                log.warning("health_watcher_stalled", service=name)

    async def stop(self, grace_s: float) -> None:
        """See serving.server.Door."""
        await self._server.stop(grace_s)


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
