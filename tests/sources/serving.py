"""HTTP servers for the tests of sources: correct ones, and ones that answer any bytes at all."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from starlette.requests import Request
from starlette.responses import Response

from tests.support.sites import Site, serve_site

# (stream, request line and headers) -> True when the connection may carry another request
Answer = Callable[[trio.SocketStream, bytes], Awaitable[None]]


@asynccontextmanager
async def listening(app: Site, *, gzip: bool = False) -> AsyncIterator[str]:
    """Serve a well-behaved application, and yield its base URL."""
    async with trio.open_nursery() as nursery:
        port = await nursery.start(lambda **kw: serve_site(app, gzip=gzip, **kw))
        yield f"http://127.0.0.1:{port}"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[str]:
    """Serve raw bytes: after each request's head `answer` may use the stream at will.

    The connection is then closed; a request's body is not read.
    """

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            head = b""
            try:
                while b"\r\n\r\n" not in head:
                    received = await stream.receive_some(2**16)
                    if not received:
                        return
                    head += received
                await answer(stream, head)
            except trio.BrokenResourceError:
                return  # the client had enough of it

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


def head_of(status: int, *headers: str, length: int | None = None) -> bytes:
    """Return the head of an answer; `length` sets its Content-Length."""
    lines = [f"HTTP/1.1 {status} As It Is", *headers]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


def json_of(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a well-formed JSON answer."""
    return Response(json.dumps(value).encode(), status, headers)


class Scripted:
    """An application that gives its answers in order, repeats the last, and keeps the requests."""

    def __init__(self, *answers: Response) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        await request.body()  # kept for the test
        self.requests.append(request)
        return self.answers[min(len(self.requests), len(self.answers)) - 1]
