"""A small HTTP proxy: forwards requests with absolute targets, and tunnels after CONNECT."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import trio


class Proxy:
    """A running proxy.

    Attributes:
        url: Its address, without name and password.
        seen: The request lines that it was sent.
    """

    def __init__(self, login: str | None) -> None:
        self.url = ""
        self.seen: list[str] = []
        self._expected = None if login is None else base64.b64encode(login.encode()).decode()

    async def serve(self, client: trio.SocketStream) -> None:
        """Serve one connection."""
        async with client:
            head = b""
            while b"\r\n\r\n" not in head:
                received = await client.receive_some(2**16)
                if not received:
                    return
                head += received
            line, *headers = head.partition(b"\r\n\r\n")[0].decode().split("\r\n")
            self.seen.append(line)
            login = [h for h in headers if h.lower().startswith("proxy-authorization:")]
            if self._expected is not None and f"Basic {self._expected}" not in "".join(login):
                await client.send_all(
                    b"HTTP/1.1 407 Login Wanted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
                return
            method, target, version = line.split(" ")
            if method == "CONNECT":
                host, _, port = target.rpartition(":")
                begin = b""
            else:
                parts = urlsplit(target)
                host, port = parts.hostname or "", str(parts.port or 80)
                own = [h for h in headers if h not in login]
                path = f"{parts.path}?{parts.query}" if parts.query else parts.path
                begin = "\r\n".join([f"{method} {path} {version}", *own, "", ""]).encode()
            async with await trio.open_tcp_stream(host, int(port)) as server:
                if method == "CONNECT":
                    await client.send_all(b"HTTP/1.1 200 Connected\r\n\r\n")
                else:
                    await server.send_all(begin)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_pump, client, server, nursery.cancel_scope)
                    nursery.start_soon(_pump, server, client, nursery.cancel_scope)


async def _pump(
    source: trio.SocketStream, target: trio.SocketStream, scope: trio.CancelScope
) -> None:
    try:
        async for chunk in source:
            await target.send_all(chunk)
    except trio.BrokenResourceError:
        pass
    scope.cancel()


@asynccontextmanager
async def proxying(login: str | None = None) -> AsyncIterator[Proxy]:
    """Serve a proxy on a free port, for callers with a `name:password` if one is given."""
    proxy = Proxy(login)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, proxy.serve, 0)
        proxy.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        yield proxy
        nursery.cancel_scope.cancel()
