"""A small HTTP/1.1 server: h11 parses the protocol, and Trio does the I/O.

It serves plain async callables, ``Request -> Response``. A response's ``on_sent`` is called only
after the whole response was sent, which a replay needs in order to advance. All sizes and times are
bounded.
"""

import ssl
import zlib
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Final

import h11
import msgspec
import structlog
import trio

from odds_service.http_server.message import App, Request, Response

RECEIVE_BYTES: Final = 2**16  # 64 KiB, the most per read
SEND_BYTES: Final = 2**18  # 256 KiB, the most per send; small pieces are joined
GZIP_LEVEL: Final = 1  # the fastest level already shrinks odds tenfold
GZIP_LEAST_BYTES: Final = 1_000  # a smaller body fits into one packet anyway
LINGER_S: Final = 1.0  # time to read on after an error, or a reset would overtake the response

log = structlog.get_logger(__name__)


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a server and of each connection; sizes in bytes, times in seconds."""

    head_bytes: int = 2**14  # 16 KiB for request line and headers together
    body_bytes: int = 2**16  # 64 KiB; a bookmaker's clients send none
    idle_s: float = 75.0  # between two requests on a kept-open connection
    request_s: float = 10.0  # from a request's first byte to its last
    send_s: float = 30.0  # for each send of at most 256 KiB; a stalled reader is cut
    connections: int = 1_000  # at once; further ones are closed immediately
    drain_s: float = 1.0  # for responses under way at a shutdown


async def serve_http(
    app: App,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    gzip: bool = False,
    tls: Callable[[], ssl.SSLContext] | None = None,
    limits: HttpLimits | None = None,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve ``app`` until cancelled; ``started()`` passes the bound port.

    A client's disconnect ends only its own connection. An exception in ``app`` is logged, and the
    client gets a 500.

    Args:
        app: the application.
        host: the address to listen on.
        port: the port; 0 for any free one.
        gzip: compress bodies for clients that accept it.
        tls: returns the TLS context of the next connection; called in a worker thread, since it may
            read files. None for plain HTTP.
        limits: limits of sizes and times; None for the defaults.
        task_status: for nursery.start().

    Raises:
        OSError: The address cannot be bound.

    Cancellation:
        Listeners and idle connections close at once. Responses under way get ``limits.drain_s``
        seconds to finish and are then cut off.
    """
    server = _Server(app, gzip, tls, limits or HttpLimits())
    listeners = await trio.open_tcp_listeners(port, host=host)
    async with trio.open_nursery() as supervisor:
        connections = await supervisor.start(server.hold_connections)
        task_status.started(listeners[0].socket.getsockname()[1])
        try:
            await trio.serve_listeners(
                server.serve_connection, listeners, handler_nursery=connections
            )
        finally:
            server.stop()


class _Server:
    """The state that a server's connections share."""

    def __init__(
        self, app: App, gzip: bool, tls: Callable[[], ssl.SSLContext] | None, limits: HttpLimits
    ) -> None:
        self._app = app
        self._gzip = gzip
        self._tls = tls
        self._open = 0
        self._limits = limits
        self._stopping = trio.Event()
        self._idle: set[trio.CancelScope] = set()

    def stop(self) -> None:
        """Close idle connections; busy ones get their grace period."""
        self._stopping.set()
        for scope in self._idle:
            scope.cancel()

    async def hold_connections(
        self, *, task_status: trio.TaskStatus[trio.Nursery] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run the nursery of the connections, which outlives a cancellation by ``drain_s``."""
        with trio.CancelScope(shield=True) as scope:
            async with trio.open_nursery() as connections:
                task_status.started(connections)
                await self._stopping.wait()
                scope.deadline = trio.current_time() + self._limits.drain_s

    async def serve_connection(self, stream: trio.SocketStream) -> None:
        """Serve one client until either side closes."""
        async with stream:
            if self._open >= self._limits.connections:
                return
            self._open += 1
            try:
                if self._tls is None:
                    await self._serve_requests(stream)
                else:
                    await self._serve_encrypted(stream, self._tls)
            except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
                return  # the client went away, or the TLS handshake failed
            finally:
                self._open -= 1

    async def _serve_encrypted(
        self, stream: trio.SocketStream, tls: Callable[[], ssl.SSLContext]
    ) -> None:
        context = await trio.to_thread.run_sync(tls)
        encrypted = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        with trio.fail_after(self._limits.request_s):
            await encrypted.do_handshake()
        await self._serve_requests(encrypted)
        with trio.move_on_after(LINGER_S):
            await encrypted.aclose()

    async def _serve_requests(self, stream: trio.abc.Stream) -> None:
        connection = _Connection(stream, self._limits)
        while not self._stopping.is_set():
            with trio.CancelScope() as scope:
                scope.deadline = trio.current_time() + self._limits.idle_s
                self._idle.add(scope)
                try:
                    alive = await connection.wait_for_request()
                finally:
                    self._idle.discard(scope)
            if scope.cancelled_caught or not alive:
                return
            if not await self._serve_request(connection):
                return

    async def _serve_request(self, connection: "_Connection") -> bool:
        """Serve one request; return whether the connection can be reused."""
        try:
            with trio.fail_after(self._limits.request_s):
                request = await connection.receive_request()
        except trio.TooSlowError:
            await connection.refuse(408, "the request took too long")
            return False
        except h11.RemoteProtocolError as error:
            await connection.refuse(error.error_status_hint, str(error))
            return False
        if request is None:
            return False
        try:
            response = await self._app(request)
        except Exception:
            # Leave out the query, which contains the API key.
            log.exception("http_app_failed", method=request.method, path=request.path)
            await connection.refuse(500, "the application failed; the log says how")
            return False
        sent = await connection.send_response(
            request, response, gzip=self._gzip, close=self._stopping.is_set()
        )
        if sent and request.method != "HEAD" and response.on_sent is not None:
            response.on_sent()
        return sent and connection.start_next()


class _Connection:
    """A client's stream with its h11 state."""

    def __init__(self, stream: trio.abc.Stream, limits: HttpLimits) -> None:
        self._stream = stream
        self._limits = limits
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_bytes)

    async def wait_for_request(self) -> bool:
        """Wait for the first byte of a request; return False at the end of the stream."""
        if self._http.trailing_data[0]:  # a pipelined request
            return True
        received = await self._stream.receive_some(RECEIVE_BYTES)
        self._http.receive_data(bytes(received))
        return bool(received)

    async def receive_request(self) -> Request | None:
        """Read a complete request; return None if the client closed the connection first.

        Raises:
            h11.RemoteProtocolError: The request is invalid or exceeds a limit; the error has the
                status to respond with.
        """
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    go_on = h11.InformationalResponse(status_code=100, headers=[])
                    await self._stream.send_all(self._http.send(go_on) or b"")
                self._http.receive_data(bytes(await self._stream.receive_some(RECEIVE_BYTES)))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > self._limits.body_bytes:
                    raise h11.RemoteProtocolError("the body is too large", error_status_hint=413)
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                break
            else:
                return None
        headers = [(name.decode("ascii"), value.decode("latin-1")) for name, value in head.headers]
        try:
            return Request.from_target(
                head.method.decode("ascii"), head.target.decode("ascii"), headers, bytes(body)
            )
        except ValueError as error:
            raise h11.RemoteProtocolError("the target is no URL", error_status_hint=400) from error

    async def send_response(
        self, request: Request, response: Response, *, gzip: bool, close: bool
    ) -> bool:
        """Send a response; return whether it was sent completely."""
        pieces: Iterable[bytes] = response.pieces
        length = sum(len(piece) for piece in response.pieces)
        headers = [("content-type", response.content_type), *response.headers]
        if gzip:
            headers.append(("vary", "accept-encoding"))
        if gzip and length >= GZIP_LEAST_BYTES and accepts_gzip(request.header("accept-encoding")):
            compressed = list(_compress(response.pieces))
            pieces, length = compressed, sum(len(piece) for piece in compressed)
            headers.append(("content-encoding", "gzip"))
        headers.append(("content-length", str(length)))
        if close:
            headers.append(("connection", "close"))
        head = h11.Response(
            status_code=response.status,
            headers=headers,
            reason=HTTPStatus(response.status).phrase.encode("ascii"),
        )
        out = bytearray(self._http.send(head) or b"")
        if request.method != "HEAD":
            for piece in pieces:
                out += self._http.send(h11.Data(data=piece)) or b""
                if len(out) >= SEND_BYTES:
                    await self._send(out)
                    out = bytearray()
        out += self._http.send(h11.EndOfMessage()) or b""
        await self._send(out)
        return True

    async def refuse(self, status: int, why: str) -> None:
        """Respond with an error to a request that cannot be read or served, and close."""
        with trio.move_on_after(LINGER_S + self._limits.send_s):
            if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                body = msgspec.json.encode({"message": why})
                head = h11.Response(
                    status_code=status,
                    headers=[
                        ("content-type", "application/json; charset=utf-8"),
                        ("content-length", str(len(body))),
                        ("connection", "close"),
                    ],
                    reason=HTTPStatus(status).phrase.encode("ascii"),
                )
                out = self._http.send(head) or b""
                out += self._http.send(h11.Data(data=body)) or b""
                await self._send(out + (self._http.send(h11.EndOfMessage()) or b""))
            if isinstance(self._stream, trio.abc.HalfCloseableStream):
                await self._stream.send_eof()
            with trio.move_on_after(LINGER_S):
                while await self._stream.receive_some(RECEIVE_BYTES):
                    pass

    def start_next(self) -> bool:
        """Prepare for the next request; return False if either side wants to close."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    async def _send(self, out: bytes | bytearray) -> None:
        """Send bytes in parts of SEND_BYTES, each within the time limit for a send.

        Raises:
            trio.BrokenResourceError: The client went away or stopped reading.
        """
        view = memoryview(out)
        try:
            for begin in range(0, len(view), SEND_BYTES):
                with trio.fail_after(self._limits.send_s):
                    await self._stream.send_all(view[begin : begin + SEND_BYTES])
        except trio.TooSlowError as error:
            raise trio.BrokenResourceError("the client stopped reading") from error


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether an Accept-Encoding header allows gzip; ``gzip;q=0`` does not."""
    for part in accept_encoding.lower().split(","):
        coding, _, parameters = part.partition(";")
        if coding.strip() in {"gzip", "*"}:
            return parameters.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


def _compress(pieces: Iterable[bytes]) -> Iterator[bytes]:
    gzip = zlib.compressobj(level=GZIP_LEVEL, wbits=16 + zlib.MAX_WBITS)
    for piece in pieces:
        if compressed := gzip.compress(piece):
            yield compressed
    yield gzip.flush()
