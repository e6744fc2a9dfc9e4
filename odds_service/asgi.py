"""A server of ASGI applications in Trio, for the demo's bookmakers and for metrics.

hypercorn speaks HTTP with each client; this module accepts the clients and bounds what they can
take. It does without hypercorn's own Trio worker, which shields each send without a deadline (one
stalled reader would hold up a stop for ever) and has no limit of connections.
"""

import logging
import ssl
import sys
from collections.abc import Callable
from typing import Final

import msgspec
import structlog
import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SEND_BYTES: Final = 2**18  # 256 KiB, the most per send
GZIP_LEVEL: Final = 1  # the fastest level already shrinks odds tenfold
GZIP_LEAST_BYTES: Final = 1_000  # a smaller body fits into one packet anyway

log = structlog.get_logger(__name__)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a server and of each connection; sizes in bytes, times in seconds."""

    head_bytes: int = 2**14  # 16 KiB for request line and headers together
    body_bytes: int = 2**16  # 64 KiB; a bookmaker's clients send none
    idle_s: float = 75.0  # until the head of the next request is there
    request_s: float = 10.0  # for a TLS handshake, and for a request's body
    send_s: float = 30.0  # for each send of at most 256 KiB; a stalled reader is cut
    connections: int = 1_000  # at once; further ones are closed immediately
    drain_s: float = 1.0  # for responses under way at a shutdown


class ClientGone(OSError):
    """Raised by `send` in an application once the client cannot get the whole response."""


async def serve_app(
    app: ASGIApp,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    gzip: bool = False,
    tls: Callable[[], ssl.SSLContext] | None = None,
    limits: Limits | None = None,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` until cancelled; started() passes the bound port.

    The application gets HTTP requests only, each with its whole body. When the `send` of a
    response's last message returns, the system has accepted every byte; otherwise it raises
    ClientGone. So the background task of Starlette's Response runs only after a whole response,
    and before the next request of its connection. An exception in `app` is logged, and the client
    gets a 500.

    Args:
        app: The application. It gets no lifespan events.
        host: The address to listen on.
        port: The port; 0 for any free one.
        gzip: Compress bodies for clients that accept it.
        tls: Returns the TLS context of the next connection; called in a worker thread, since it may
            read files. None for plain HTTP.
        limits: Limits of sizes and times; None for the defaults.
        task_status: For nursery.start().

    Raises:
        OSError: The address cannot be bound.

    Cancellation:
        Listeners and idle connections close at once. Responses under way get `limits.drain_s`
        seconds to finish and are then cut off.
    """
    if gzip:
        app = GZipMiddleware(app, minimum_size=GZIP_LEAST_BYTES, compresslevel=GZIP_LEVEL)
    server = _Server(app, tls, limits or Limits())
    listeners = await trio.open_tcp_listeners(port, host=host)
    async with trio.open_nursery() as supervisor:
        connections = await supervisor.start(server.hold_connections)
        task_status.started(listeners[0].socket.getsockname()[1])
        try:
            await trio.serve_listeners(
                server.serve_connection, listeners, handler_nursery=connections
            )
        finally:
            server.stopping.set()


class _Server:
    """The state that a server's connections share."""

    def __init__(
        self, app: ASGIApp, tls: Callable[[], ssl.SSLContext] | None, limits: Limits
    ) -> None:
        self.stopping = trio.Event()
        self._app = app
        self._tls = tls
        self._limits = limits
        self._config = _config(limits)
        self._context = WorkerContext(max_requests=None)
        self._clients: set[_Client] = set()

    async def hold_connections(
        self, *, task_status: trio.TaskStatus[trio.Nursery] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run the nursery of the connections, which outlives a cancellation by `drain_s`."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as cutting:
                cutting.start_soon(self._cut_late)
                async with trio.open_nursery() as connections:
                    task_status.started(connections)
                    await self.stopping.wait()
                    await self._context.terminated.set()  # closes idle connections
                cutting.cancel_scope.cancel()

    async def _cut_late(self) -> None:
        await self.stopping.wait()
        await trio.sleep(self._limits.drain_s)
        for client in self._clients:
            client.cut()

    async def serve_connection(self, stream: trio.SocketStream) -> None:
        """Serve one client until either side closes."""
        if len(self._clients) >= self._limits.connections:
            await trio.aclose_forcefully(stream)
            return
        client = _Client(stream, self._limits.send_s)
        self._clients.add(client)
        try:
            with client.scope:
                await self._speak(client)
        except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            log.debug("http_client_gone")
        except* Exception:
            log.exception("http_connection_failed")
        finally:
            self._clients.discard(client)
            client.cut()

    async def _speak(self, client: "_Client") -> None:
        stream: trio.abc.Stream = client
        if self._tls is not None:
            context = await trio.to_thread.run_sync(self._tls)
            stream = trio.SSLStream(client, context, server_side=True, https_compatible=True)
        requests = _Requests(self._app, client, self._limits)
        state = ConnectionState({})
        await TCPServer(requests, self._config, self._context, state, stream).run()  # type: ignore[arg-type]  # its own types of ASGI, and a narrower stream than it needs


def _config(limits: Limits) -> Config:
    config = Config()
    config.errorlog = logging.getLogger("hypercorn.error")
    config.include_server_header = False
    config.h11_max_incomplete_size = limits.head_bytes
    config.keep_alive_timeout = limits.idle_s
    config.keep_alive_max_requests = sys.maxsize
    config.ssl_handshake_timeout = limits.request_s
    return config


class _Client(trio.abc.HalfCloseableStream):
    """A client's stream, which is cut when a send takes too long."""

    def __init__(self, stream: trio.SocketStream, send_s: float) -> None:
        self.broken = False  # the client cannot get all that was sent
        self.scope = trio.CancelScope()
        self._stream = stream
        self._send_s = send_s
        self._holds = False
        self._held = b""

    @property
    def socket(self) -> trio.socket.SocketType:
        """The socket, which hypercorn asks for its addresses."""
        return self._stream.socket

    def hold(self) -> None:
        """Send the next bytes, a response's head, in one packet with those that follow."""
        self._holds = True

    def cut(self) -> None:
        """Close at once, also during a send, which hypercorn shields from a cancellation."""
        self.broken = True
        self._stream.socket.close()
        self.scope.cancel()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self._holds:
            self._holds, self._held = False, self._held + data
            return
        view = memoryview(data)
        first = view[:SEND_BYTES]
        if self._held:
            first, self._held = memoryview(self._held + first), b""
        try:
            with trio.fail_after(self._send_s):
                await self._stream.send_all(first)
            for begin in range(SEND_BYTES, len(view), SEND_BYTES):
                with trio.fail_after(self._send_s):
                    await self._stream.send_all(view[begin : begin + SEND_BYTES])
        except trio.TooSlowError as error:
            self.cut()
            raise trio.BrokenResourceError("the client stopped reading") from error
        except BaseException:
            self.broken = True
            raise

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(max_bytes)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Requests:
    """The application of one connection, as hypercorn calls it."""

    def __init__(self, app: ASGIApp, client: _Client, limits: Limits) -> None:
        self._app = app
        self._client = client
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send, *_: object) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close"})  # hypercorn refuses the upgrade with a 403
            return
        body: bytes | None = b""
        with trio.move_on_after(self._limits.request_s) as reading:
            body = await self._body(receive)
        if reading.cancelled_caught:
            await self._refuse(scope, receive, send, 408, "the request took too long")
        elif body is None:
            await self._refuse(scope, receive, send, 413, "the body is too large")
        else:
            await self._respond(scope, after_body(body, receive), send)

    async def _body(self, receive: Receive) -> bytes | None:
        """Return the whole body, or None after reading one that is too large to its end.

        An unread body would fill hypercorn's queue of messages, and block its connection.
        """
        body, large = b"", False
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > self._limits.body_bytes:
                body, large = b"", True
            if not message.get("more_body", False):
                return None if large else body

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = sized = ended = False

        async def tell(message: Message) -> None:
            nonlocal started, sized, ended
            if message["type"] == "http.response.start":
                started = True
                sized = any(name == b"content-length" for name, _ in message["headers"])
                if sized:
                    self._client.hold()
            elif sized and not message.get("more_body", False):
                message, ended = {**message, "more_body": True}, True
            await send(message)
            if self._client.broken:  # hypercorn drops messages to a client that has gone
                raise ClientGone

        try:
            await self._app(scope, receive, tell)
        except ClientGone:
            log.debug("http_response_cut")
            return
        except Exception:
            # Leave out the query, which contains the API key.
            log.exception("http_app_failed", method=scope["method"], path=scope["path"])
            if not started:
                await self._refuse(
                    scope, receive, send, 500, "the application failed; the log says how"
                )
        if ended:  # only now, or the next request would overtake a background task
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _refuse(
        self, scope: Scope, receive: Receive, send: Send, status: int, why: str
    ) -> None:
        body = msgspec.json.encode({"message": why})
        headers = {"connection": "close"} if scope["http_version"] < "2" else None
        response = Response(body, status, headers, "application/json")
        with trio.move_on_after(self._limits.send_s) as sending:
            await response(scope, receive, send)
        if sending.cancelled_caught:  # unread parts of the request fill hypercorn's queue
            self._client.cut()


def after_body(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body already read, and then waits as the other one does."""
    given = False

    async def whole() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return whole
