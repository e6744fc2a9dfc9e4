"""Readers of Server-Sent Events for benchmarks, in a process of their own.

`python -m tools.benchmarks.sse_clients ADDRESS` prints `{}` and takes the commands of watch_wire,
as watch_clients does. Readers follow the ids, and of some events the age of each change.
"""

import asyncio
import json
import re
import resource
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Final, cast

import msgspec

from tools.benchmarks.processes import tell
from tools.benchmarks.reaching import Reaching
from tools.benchmarks.watch_wire import Answer, Ask

_ID: Final = b"\nid: "
PATH: Final = "/v1/changes?image=never&heartbeat=2s"
LOOKED_AT: Final = 10
AT_ONCE: Final = 50  # connections on their way while streams are opened
_END: Final = b"\n\n"
_MADE: Final = re.compile(rb'"detectedAt":"([^"]+)"')
_BUFFER_BYTES: Final = 2**18


class Reader(asyncio.Protocol):
    """One stream. `at` is the revision of its last id, None before the first."""

    def __init__(self, clients: "Clients", path: str) -> None:
        self._clients = clients
        self._path = path
        self._rest = b""
        self.at: int | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        asked = f"GET {self._path} HTTP/1.1\r\nhost: localhost\r\n\r\n"
        cast("asyncio.Transport", transport).write(asked.encode())

    def data_received(self, data: bytes) -> None:
        """Take the whole events of what has come; the frames of chunks stand between them."""
        self._clients.bytes += len(data)
        text = self._rest + data
        end = text.rfind(_END)
        if end < 0:
            self._rest = text
            return
        whole, self._rest = text[:end], text[end:]
        at = whole.rfind(_ID)  # a head or a chunk's own line is before it
        if at >= 0:
            cursor = whole[at + len(_ID) : whole.index(b"\n", at + len(_ID))]
            self._clients.reached(self, int(cursor.rpartition(b":")[2]))
            if not self.opened.done():
                self.opened.set_result(None)
        if messages := whole.count(b"event: changes\n"):
            self._clients.took(whole, messages)

    def connection_lost(self, error: Exception | None) -> None:
        self._clients.lost += 1
        if not self.opened.done():
            self.opened.set_result(None)


class Clients(Reaching):
    """The streams of this process."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._readers: list[Reader] = []
        self._opening = asyncio.Semaphore(AT_ONCE)
        self.lost = 0
        self.reset()

    def reset(self) -> None:
        """Forget what was measured."""
        self._opened_ms: list[float] = []
        self._latency_ms: list[float] = []
        self._messages = self._until_look = self.bytes = 0

    async def attach(self, paths: Sequence[str]) -> None:
        """Open a stream of each path, and wait for the first event of each."""
        await asyncio.gather(*map(self._open, paths))

    async def _open(self, path: str) -> None:
        async with self._opening:
            began = time.perf_counter()
            loop = asyncio.get_running_loop()
            _, reader = await loop.create_connection(
                lambda: Reader(self, path), self._host, self._port
            )
            self._readers.append(reader)
            await reader.opened
            self._opened_ms.append((time.perf_counter() - began) * 1_000)

    def reached(self, reader: Reader, revision: int) -> None:
        """Note the last id of a stream."""
        self._moved(reader.at or 0, revision)
        reader.at = revision

    def took(self, text: bytes, messages: int) -> None:
        """Count events, and look at the changes in one of LOOKED_AT."""
        self._messages += messages
        self._until_look -= messages
        if self._until_look > 0:
            return
        self._until_look = LOOKED_AT
        now = time.time()
        for made in _MADE.findall(text)[-1:]:
            self._latency_ms.append((now - datetime.fromisoformat(made.decode()).timestamp()) * 1e3)
        data = text[text.rfind(b"data: ") + 6 :]
        if b"\r\n" not in data:  # else a frame lies within
            json.loads(data)

    def behind(self, revision: int) -> int:
        """Return the number of streams that have not reached it."""
        return sum((reader.at or 0) < revision for reader in self._readers)

    def answer(self, revision: int) -> Answer:
        """Return what the readers saw."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return Answer(
            streams=len(self._readers) - self.lost,
            opened_ms=self._opened_ms,
            latency_ms=self._latency_ms[-20_000:],
            messages=self._messages,
            changes=0,
            bytes=self.bytes,
            behind=self.behind(revision),
            lost=self.lost,
            cpu_s=used.ru_utime + used.ru_stime,
        )


async def main(address: str) -> None:
    """Take commands until stdin ends."""
    clients = Clients(address)
    loop = asyncio.get_running_loop()
    tell({})
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        ask = msgspec.json.decode(line, type=Ask)
        if ask.reset:
            clients.reset()
        if ask.attach or ask.paths:
            await clients.attach(ask.paths or [PATH] * ask.attach)
        if ask.reach is not None:
            await clients.reach(ask.reach, ask.within_s)
        tell(clients.answer(ask.reach or 0))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
