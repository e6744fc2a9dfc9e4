"""The HTTP door: hypercorn on the serving thread's loop."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final

import structlog
from hypercorn.asyncio import serve
from hypercorn.config import Config

from odds_service.certificates import Certificates
from odds_service.config import HttpSettings
from odds_service.errors import SettingsError
from odds_service.http.app import application
from odds_service.ports import offer_free
from odds_service.serving.auth import is_closed
from odds_service.serving.server import Room

BACKLOG: Final = 1_024
HEAD_BYTES: Final = 2**16  # 64 KiB: a filter of a thousand events in the query fits
IDLE_S: Final = 75.0  # between two requests on a kept-open connection

log = structlog.get_logger(__name__)


class HttpDoor:
    """The HTTP server as a door; see serving.server.Door."""

    def __init__(self, room: Room, settings: HttpSettings) -> None:
        self._room = room
        self._settings = settings
        closed = is_closed(room.context.parts.settings, settings.listen)
        self._app = application(room, closed=closed, middleware=[])
        self._ending = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._config = _HypercornConfig(room.guard.certificates)

    async def start(self) -> str:
        """Start to listen, and return the address with its real port. Raises SettingsError."""
        host, _, port = self._settings.listen.rpartition(":")
        try:
            listener = _listener(host.strip("[]"), int(port))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            text = f"http.listen: cannot listen on {self._settings.listen}: {reason}"
            raise SettingsError(text + offer_free(host, int(port))) from None
        bound = listener.getsockname()[1]
        self._config.bind = [f"fd://{listener.detach()}"]
        self._serving = asyncio.create_task(
            serve(self._app, self._config, shutdown_trigger=self._ending.wait, mode="asgi")  # type: ignore[arg-type]  # Starlette's own types of ASGI
        )
        return f"{host}:{bound}"

    async def show_ready(self) -> None:
        """Do nothing: /readyz reads the room at each request."""

    async def stop(self, grace_s: float) -> None:
        """Close; calls still running after `grace_s` are cancelled."""
        if self._serving is None:
            return
        self._config.graceful_timeout = grace_s
        self._ending.set()
        await self._serving


def open_http(settings: HttpSettings) -> Callable[[Room], HttpDoor]:
    """Return the maker of a door with these settings."""
    return lambda room: HttpDoor(room, settings)


class _HypercornConfig(Config):
    """Hypercorn's settings, with a TLS context that follows the files."""

    def __init__(self, certificates: Certificates | None) -> None:
        super().__init__()
        self._certificates = certificates
        self.accesslog = self.errorlog = None
        self.backlog = BACKLOG
        self.h11_max_incomplete_size = HEAD_BYTES
        self.keep_alive_timeout = IDLE_S
        self.include_server_header = False

    @property
    def ssl_enabled(self) -> bool:
        return self._certificates is not None

    def create_ssl_context(self) -> ssl.SSLContext | None:
        certificates = self._certificates
        if certificates is None:
            return None
        first = certificates.current().context

        def latest(connection: ssl.SSLObject, _name: str | None, _used: ssl.SSLContext) -> None:
            connection.context = certificates.current().context

        first.sni_callback = latest
        return first


def _listener(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
