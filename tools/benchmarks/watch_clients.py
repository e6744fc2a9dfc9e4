"""Subscribers of the benchmark `watch`, in a process of their own.

`python -m tools.benchmarks.watch_clients ADDRESS ours|bare` prints `{}` and takes commands as
lines of JSON, see watch_wire. Each stream checks `prev_revision`, and of some messages how old each
change is.
"""

import asyncio
import random
import resource
import sys
import time
from typing import Any, Final

import grpc
import msgspec

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import bytes_tag, varint
from tools.benchmarks.processes import tell
from tools.benchmarks.reaching import Reaching
from tools.benchmarks.watch_wire import BOOKMAKERS, Answer, Ask

# How Changes begin: these clients must cost little beside the server.
_CHANGES: Final = bytes_tag(pb.WatchChangesResponse.CHANGES_FIELD_NUMBER)[0]
LOOKED_AT: Final = 10
SAMPLES: Final = 20_000
STREAMS_A_CHANNEL: Final = 50
_END: Final[object] = grpc.aio.EOF  # type: ignore[attr-defined]  # not in grpc-stubs
AT_ONCE: Final = 50  # calls on their way while streams are opened


def _number(data: bytes, at: int) -> int:
    """Decode the varint at an offset."""
    number = shift = 0
    while True:
        number |= (data[at] & 0x7F) << shift
        if data[at] < 0x80:
            return number
        at += 1
        shift += 7


class Clients(Reaching):
    """The streams of this process."""

    def __init__(self, address: str, kind: str) -> None:
        super().__init__()
        self._address = address
        self._prev = kind == "ours"  # the bare feed has no prev_revision
        self._cursor = b""  # how cursors of the server's epoch begin
        self._filtered = False
        self._channels: list[grpc.aio.Channel] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._at: dict[int, int] = {}
        self._opening = asyncio.Semaphore(AT_ONCE)
        self._lost = 0
        self.reset()

    def reset(self) -> None:
        """Forget what was measured."""
        self._opened_ms: list[float] = []
        self._latency_ms: list[float] = []
        self._seen = self._messages = self._changes = self._bytes = 0

    async def attach(self, count: int, *, filtered: bool) -> None:
        """Open streams, and wait for the first message of each."""
        self._filtered = filtered
        opened = []
        for _ in range(count):
            place = len(self._tasks)
            if place % STREAMS_A_CHANNEL == 0:
                options = [("grpc.use_local_subchannel_pool", 1)]
                self._channels.append(grpc.aio.insecure_channel(self._address, options))
            first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            opened.append(first)
            self._tasks.append(asyncio.create_task(self._watch(place, filtered, first)))
        await asyncio.gather(*opened)

    async def _watch(self, place: int, filtered: bool, first: "asyncio.Future[None]") -> None:
        request = pb.WatchChangesRequest(image=pb.IMAGE_MODE_NEVER)
        request.heartbeat.FromMilliseconds(2_000)
        if filtered:
            request.filter.bookmakers.append(BOOKMAKERS[place % len(BOOKMAKERS)])
        channel = self._channels[place // STREAMS_A_CHANNEL]
        unread: Any = None  # bytes in and out: decoding is part of the measurement
        method: Any = channel.unary_stream("/odds.v1.OddsService/WatchChanges", unread, unread)
        try:
            async with self._opening:
                began = time.perf_counter()
                call = method(request.SerializeToString())
                message = await call.read()
                self._opened_ms.append((time.perf_counter() - began) * 1_000)
                self._take(place, message)
                first.set_result(None)
            while True:
                message = await call.read()
                if message is _END:
                    break
                self._take(place, message)
        except (grpc.aio.AioRpcError, ValueError) as error:
            sys.stderr.write(f"stream {place}: {error}\n")
        self._lost += 1
        if not first.done():
            first.set_result(None)

    def _take(self, place: int, data: bytes) -> None:
        """Follow the cursor; decode one message of changes in LOOKED_AT fully."""
        if data[0] != _CHANGES:
            message = pb.WatchChangesResponse.FromString(data)
            kind = message.WhichOneof("message")
            cursor = getattr(message, kind or "closing").cursor
            if kind == "opened":
                self._cursor = pb.Cursor(epoch=cursor.epoch).SerializeToString() + b"\x10"
            self._reach(place, cursor.revision)
            return
        at = data.rfind(self._cursor)
        before = self._at[place]
        if self._prev and not data.endswith(varint(before), 0, at - 2):
            raise ValueError(f"a message that does not follow {before}")
        self._messages += 1
        self._bytes += len(data)
        self._reach(place, _number(data, at + len(self._cursor)))
        if self._filtered or self._messages % LOOKED_AT == 0:
            changes = pb.WatchChangesResponse.FromString(data).changes.changes
            self._changes += len(changes) if self._filtered else 0
            now = time.time()
            for change in changes:
                made = change.detected_at
                self._note((now - made.seconds - made.nanos / 1e9) * 1_000)
        if not self._filtered:
            self._changes += self._at[place] - before

    def _reach(self, place: int, revision: int) -> None:
        self._moved(self._at.get(place, 0), revision)
        self._at[place] = revision

    def _note(self, latency_ms: float) -> None:
        """Keep a fair sample of all latencies."""
        self._seen += 1
        if len(self._latency_ms) < SAMPLES:
            self._latency_ms.append(latency_ms)
        elif (place := random.randrange(self._seen)) < SAMPLES:
            self._latency_ms[place] = latency_ms

    def behind(self, revision: int) -> int:
        """Return the number of streams that have not reached it."""
        return sum(at < revision for at in self._at.values())

    def answer(self, revision: int) -> Answer:
        """Return what the clients saw."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return Answer(
            streams=len(self._tasks) - self._lost,
            opened_ms=self._opened_ms,
            latency_ms=self._latency_ms,
            messages=self._messages,
            changes=self._changes,
            bytes=self._bytes,
            behind=self.behind(revision),
            lost=self._lost,
            cpu_s=used.ru_utime + used.ru_stime,
        )


async def main(address: str, kind: str) -> None:
    """Take commands until stdin ends."""
    clients = Clients(address, kind)
    loop = asyncio.get_running_loop()
    tell({})
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        ask = msgspec.json.decode(line, type=Ask)
        if ask.reset:
            clients.reset()
        if ask.attach:
            await clients.attach(ask.attach, filtered=ask.filtered)
        if ask.reach is not None:
            await clients.reach(ask.reach, ask.within_s)
        tell(clients.answer(ask.reach or 0))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
