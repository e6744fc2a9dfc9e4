"""Connections of the HTTP door: hypercorn speaks the protocol, this module opens and closes.

hypercorn's own worker cancels what is open at a stop, which asyncio logs as a crash for each
connection, and accepts any number of them. Its TCPServer serves one connection.
"""

import asyncio
import logging
import socket
import ssl
import sys
from contextlib import suppress
from typing import Final

import structlog
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import RawData
from hypercorn.typing import LifespanState
from starlette.types import ASGIApp, Receive, Scope, Send

from odds_service.certificates import Certificates

BACKLOG: Final = 1_024
HEAD_BYTES: Final = 2**16  # 64 KiB: a filter of a thousand events in the query fits
IDLE_S: Final = 75.0  # until the head of a connection's next request is there
HANDSHAKE_S: Final = 20.0
LINGER_S: Final = 1.0  # for the last bytes to reach a client whose connection closes
CONNECTIONS: Final = 5_000  # at once, those of streams included; further ones are closed
# A page of this door runs its own files alone, and no other page may show it in a frame.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'"
    " data:; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS: Final = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
# The extension in the scope of a request that sends a piece of its body past ASGI.
PIECES: Final = "odds.pieces"

log = structlog.get_logger(__name__)


class Connections:
    """The listener and the open connections of one door; for use on the server's loop only."""

    def __init__(self, app: ASGIApp, certificates: Certificates | None) -> None:
        self._app = app
        self._certificates = certificates
        self._config = _config()
        self._context = WorkerContext(None)
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way = 0
        self._quiet = asyncio.Event()  # no request is under way
        self._quiet.set()
        self._listener: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """Start to accept connections, and return the port. Raises OSError."""
        listener = _bound(host, port)
        bound: int = listener.getsockname()[1]
        secure = None if self._certificates is None else _context(self._certificates)
        self._listener = await asyncio.start_server(
            self._accept,
            sock=listener,
            backlog=BACKLOG,
            ssl=secure,
            ssl_handshake_timeout=None if secure is None else HANDSHAKE_S,
        )
        return bound

    async def close(self, grace_s: float) -> None:
        """Close idle connections at once, and the others after `grace_s` at the latest."""
        if self._listener is None:
            return
        self._listener.close()
        await self._context.terminated.set()  # no connection takes another request
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._quiet.wait()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Begin a connection. asyncio would log the cancellation of a task that it had made."""
        if len(self._tasks) >= CONNECTIONS:
            log.warning("http_connection_refused", open=len(self._tasks))
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        state = LifespanState({})

        async def count(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["http_version"] == "1.1":
                scope.setdefault("extensions", {})[PIECES] = connection.send_piece
            await self._count(scope, receive, send)

        app = ASGIWrapper(count)  # type: ignore[arg-type]  # hypercorn's own types of ASGI
        connection = _Connection(app, loop, self._config, self._context, state, reader, writer)
        try:
            await connection
        except OSError:
            log.debug("http_connection_ended")
        except Exception:  # as a client can cause them, no error of ours
            log.warning("http_connection_failed", exc_info=True)
        finally:
            writer.close()

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close"})  # hypercorn refuses the upgrade with a 403
            return
        self._under_way += 1
        self._quiet.clear()
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._quiet.set()


class _Connection(TCPServer):
    """A connection that ends with its client, and waits for it no longer than LINGER_S.

    hypercorn's waits for the end of its idle time, and at its close for a client that reads
    nothing, without end.
    """

    async def run(self) -> None:
        self._socket = self.writer.get_extra_info("socket")
        await super().run()

    async def send_piece(self, piece: bytes) -> None:
        """Send a piece of a body without a length, once its response has begun, as a chunk.

        This leaves out the layers of ASGI, hypercorn and h11, whose states do not depend on the
        pieces: `python -m tools.bench sse` has a message beside one that takes that way.
        """
        if piece:  # an empty chunk would end the body
            await self.protocol_send(RawData(b"%x\r\n%b\r\n" % (len(piece), piece)))

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()

    async def _close(self) -> None:
        cut = self.loop.call_later(LINGER_S, self._cut)
        try:
            await super()._close()
        finally:
            cut.cancel()

    def _cut(self) -> None:
        # Under TLS, a transport that was closed twice ignores abort(), and hypercorn does that.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


class _Config(Config):
    """hypercorn's settings, with headers in every answer, those that hypercorn makes too."""

    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        return [*super().response_headers(protocol), *PAGE_HEADERS]


def _config() -> Config:
    config = _Config()
    config.errorlog = logging.getLogger("hypercorn.error")
    config.accesslog = None
    config.include_server_header = False
    config.h11_max_incomplete_size = HEAD_BYTES
    config.keep_alive_timeout = IDLE_S
    config.keep_alive_max_requests = sys.maxsize
    return config


def _context(certificates: Certificates) -> ssl.SSLContext:
    """Return a TLS context whose handshakes use the files of their time."""
    first = _offering(certificates.current().context)

    def latest(connection: ssl.SSLObject, _name: str | None, _used: ssl.SSLContext) -> None:
        connection.context = _offering(certificates.current().context)

    first.sni_callback = latest
    return first


def _offering(context: ssl.SSLContext) -> ssl.SSLContext:
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def _bound(host: str, port: int) -> socket.socket:
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
