"""The server of the benchmark `sse`: both doors of ours, or a bare Starlette server of events.

`python -m tools.benchmarks.sse_server ours|bare` prints `{"grpc": …, "http": …}` (empty for a door
that it lacks), then takes the commands of watch_wire.
"""

import asyncio
import contextlib
import os
import socket
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

import trio
from hypercorn.asyncio import serve as serve_hypercorn
from hypercorn.config import Config
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from odds_service.config import HttpSettings
from odds_service.http.door import open_http
from odds_service.http.streaming import Events
from odds_service.logs import configure_logs
from odds_service.rpc.server import GrpcDoor
from odds_service.service import SWITCH_INTERVAL_S
from odds_service.wire.encode import change_wire
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tools.benchmarks.processes import tell
from tools.benchmarks.watch_server import Odds, Ours, obey
from tools.benchmarks.watch_wire import EPOCH

PATH: Final = "/v1/changes"
_KEPT: Final = 20_000  # events for readers that are behind


class Bare:
    """The ceiling: ready events of the same size, sent by Starlette on hypercorn.

    It publishes as ours does and wakes each stream once a batch, but encodes nothing.
    """

    def __init__(self) -> None:
        self.odds = Odds()
        self.address = ""
        self._head = 1
        self._made = 0
        self._events: deque[bytes] = deque(maxlen=_KEPT)
        self._text = b""
        self._subscribers = 0
        self._ready = threading.Event()
        self._waiting: set[asyncio.Future[None]] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        thread = threading.Thread(target=self._serve, daemon=True)
        thread.start()
        await trio.to_thread.run_sync(self._ready.wait)
        yield

    def _serve(self) -> None:
        self._loop = loop = asyncio.SelectorEventLoop()
        asyncio.set_event_loop(loop)
        loop.run_until_complete(self._main())

    async def _main(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=1_024)
        self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        config = Config()
        config.errorlog = None
        config.bind = [f"fd://{listener.detach()}"]
        app = Starlette(routes=[Route(PATH, self._answer)])
        self._ready.set()  # the backlog holds those who come before hypercorn listens
        endless = asyncio.Event().wait
        await serve_hypercorn(app, config, shutdown_trigger=endless)  # type: ignore[arg-type]  # its own types of ASGI

    async def _answer(self, _request: Request) -> StreamingResponse:
        return StreamingResponse(self._stream(), media_type="text/event-stream")

    async def _stream(self) -> AsyncIterator[bytes]:
        self._subscribers += 1
        try:
            yield _event(self._head, b"opened", b"{}")
            at = self._made
            while True:
                while at < self._made:
                    event = self._events[len(self._events) - (self._made - at)]
                    at += 1
                    yield event
                future = self._loop.create_future()
                self._waiting.add(future)
                await future
        finally:
            self._subscribers -= 1

    def publish(self, count: int) -> None:
        first = self._head + 1
        _entries, changes = self.odds.move(count, first)
        self._head += count
        if not self._text:
            tail = pb.Changes(
                prev_revision=first, cursor=pb.Cursor(epoch=EPOCH, revision=first),
                durable_revision=first,
            ).SerializeToString()  # fmt: skip
            body = pb.Changes.FromString(b"".join([*map(change_wire, changes), tail]))
            message = pb.WatchChangesResponse(changes=body).SerializeToString()
            event = asyncio.run(Events().event(message))
            self._text = event.partition(b"data: ")[2].removesuffix(b"\n\n")
        event = _event(self._head, b"changes", self._text)
        self._loop.call_soon_threadsafe(self._wake, event)

    def _wake(self, event: bytes) -> None:
        self._events.append(event)
        self._made += 1
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def subscribers(self) -> int:
        return self._subscribers

    def head(self) -> int:
        return self._head


def _event(head: int, kind: bytes, text: bytes) -> bytes:
    return b"id: %b:%d\nevent: %b\ndata: %b\n\n" % (EPOCH.encode(), head, kind, text)


async def main(kind: str) -> None:
    """Serve until stdin ends."""
    served: Ours | Bare
    if kind == "ours":
        served = Ours(doors=[GrpcDoor, open_http(HttpSettings(listen="127.0.0.1:0"))])
    else:
        served = Bare()
    async with served.running():
        addresses = served.addresses if isinstance(served, Ours) else ["", served.address]
        tell({"grpc": addresses[0], "http": addresses[1]})
        await trio.to_thread.run_sync(obey, served)
    os._exit(0)  # the bare server's thread has no end


if __name__ == "__main__":
    configure_logs("warning", "auto")
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    trio.run(main, sys.argv[1])
