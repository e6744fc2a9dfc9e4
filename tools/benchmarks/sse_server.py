"""The server of the benchmark `sse`: both doors of ours, or a bare Starlette server of events.

`python -m tools.benchmarks.sse_server ours|bare` prints `{"grpc": …, "http": …}` (empty for a door
that it lacks), then takes the commands of watch_wire.
"""

import asyncio
import os
import socket
import sys
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
from odds_service.loop_thread import SWITCH_INTERVAL_S
from odds_service.rpc.server import GrpcDoor
from odds_service.wire.encode import change_wire
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tools.benchmarks.processes import tell
from tools.benchmarks.watch_server import BareFeed, Ours, obey
from tools.benchmarks.watch_wire import EPOCH

PATH: Final = "/v1/changes"


class Bare(BareFeed):
    """The ceiling: ready events of the same size, sent by Starlette on hypercorn.

    It publishes as ours does and wakes each stream once a batch, but encodes nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self._text = b""

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
                    event = self._pieces[len(self._pieces) - (self._made - at)]
                    at += 1
                    yield event
                await self._next()
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
        self._publish(_event(self._head, b"changes", self._text))


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
