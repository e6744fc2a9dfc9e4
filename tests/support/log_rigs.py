"""The logs of the contract suite, in memory and on real servers, with what can happen to them."""

import asyncio
import gc
import itertools
import shutil
import signal
import time
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from odds_service.bus.bus import Bus
from odds_service.bus.log import Log
from odds_service.bus.memory import MemoryBus, MemoryLog, MemoryStream
from tests.support.nats_servers import (
    START_S,
    NatsServer,
    nats_cluster,
    nats_server,
    wait_formed,
)

HEALTHY_S: Final = 30.0  # for a server that was killed to catch up with the others
SMALL_BYTES: Final = 256 * 1024  # the bound of a stream that discards its oldest messages


class Rig(Protocol):
    """One stream on a bus, its name new for each test."""

    def log(self) -> Log:
        """Return a log of its own connection."""
        ...

    def bus(self) -> Bus:
        """Return a bus of its own connection."""
        ...

    async def make(self, *, small: bool = False) -> Log:
        """Make the stream, at most SMALL_BYTES large if `small`, and return a log."""
        ...

    def interrupt(self) -> None:
        """Kill all servers."""
        ...

    def strike(self) -> None:
        """Kill the stream's leader, which may be the only server."""
        ...

    def resume(self) -> None:
        """Start all servers that do not run."""
        ...

    def keep(self) -> None:
        """Keep a copy of what the stream holds now."""
        ...

    def lose_tail(self) -> None:
        """Kill all servers, and start them with the kept copy."""
        ...

    async def delete(self) -> None:
        """Delete the stream."""
        ...


class MemoryRig:
    """A stream in memory."""

    def __init__(self) -> None:
        self.stream = MemoryStream()
        self.stream.exists = False
        self._kept = 0

    def log(self) -> Log:
        return MemoryLog(self.stream)

    def bus(self) -> Bus:
        return MemoryBus(self.stream)

    async def make(self, *, small: bool = False) -> Log:
        self.stream.make_anew()
        if small:
            self.stream.most_bytes = SMALL_BYTES
        return self.log()

    def interrupt(self) -> None:
        self.stream.interrupt()

    def strike(self) -> None:
        self.interrupt()

    def resume(self) -> None:
        self.stream.resume()

    def keep(self) -> None:
        self._kept = self.stream.last

    def lose_tail(self) -> None:
        self.stream.lose_after(self._kept)

    async def delete(self) -> None:
        self.stream.delete()


class NatsRig:
    """A stream on one server, or on a cluster of three."""

    _names = itertools.count(1)

    def __init__(self, servers: list[NatsServer]) -> None:
        self.servers = servers
        self.name = f"ODDS{next(self._names)}"
        self.resume()  # a test may have failed during an outage

    def options(self, **changes: Any) -> Any:
        from odds_service.bus.connection import NatsOptions

        return NatsOptions(
            **{
                "servers": [server.url for server in self.servers],
                "stream": self.name,
                "subject": f"{self.name.lower()}.log",
                "replicas": len(self.servers),
                **changes,
            }
        )

    def log(self) -> Any:
        from odds_service.bus.nats import NatsLog

        return NatsLog(self.options())

    def bus(self) -> Bus:
        from odds_service.bus.nats_bus import NatsBus

        return NatsBus(self.options())

    async def make(self, *, small: bool = False) -> Any:
        from odds_service.bus.nats import NatsLog

        log = NatsLog(self.options(most_bytes=SMALL_BYTES) if small else self.options())
        await log.make()
        await asyncio.to_thread(self.leader)  # a new stream of a cluster may have none yet
        return log

    def interrupt(self) -> None:
        for server in self.servers:
            server.kill()

    def strike(self) -> None:
        leader = self.leader()
        next(server for server in self.servers if server.name == leader).kill()

    def leader(self) -> str:
        """Return the name of the server that leads the stream; the only one without a cluster."""
        if len(self.servers) == 1:
            return self.servers[0].name
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            for server in self.servers:
                if server.running and (leader := server.leader_of(self.name)):
                    return leader
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} has no leader")

    def resume(self) -> None:
        for server in self.servers:
            if not server.running:
                server.launch()
        for server in self.servers:
            try:
                server.wait_ready(HEALTHY_S)
            except RuntimeError:
                # "monitor goroutine not running": a server that was killed may stay so until its
                # next start (seen once in a hundred kills; their issues have more such cases).
                server.kill()
                server.start()
        if len(self.servers) > 1:
            wait_formed(self.servers)

    def keep(self) -> None:
        for server in self.servers:
            server.stop(signal.SIGTERM)
        for server in self.servers:
            shutil.copytree(server.folder / "js", server.folder / "kept", dirs_exist_ok=False)
        self.resume()

    def lose_tail(self) -> None:
        self.interrupt()
        for server in self.servers:
            shutil.rmtree(server.folder / "js")
            (server.folder / "kept").rename(server.folder / "js")
        self.resume()

    async def delete(self) -> None:
        from nats.aio.client import Client

        client = Client()
        await client.connect(self.servers[0].url)
        await client.jetstream().delete_stream(self.name)
        await client.close()


@contextmanager
def rig_makers(kind: str) -> Iterator[Callable[[], Rig]]:
    """Yield a function that makes rigs: `memory`, on a `single` server, or on a `cluster`."""
    if kind == "memory":
        yield MemoryRig
    elif kind == "single":
        with nats_server() as server:
            yield lambda: NatsRig([server])
    else:
        with nats_cluster() as servers:
            yield lambda: NatsRig(servers)


async def until(holds: Callable[[], Awaitable[bool]], within_s: float = 30.0) -> None:
    """Wait until a server tells what is awaited; it sends no event."""
    async with asyncio.timeout(within_s):
        while not await holds():  # noqa: ASYNC110  # the servers have to be asked
            await asyncio.sleep(0.02)


def run(test: Coroutine[Any, Any, None], within_s: float = 60.0) -> None:
    """Run a test on a plain asyncio loop, with a time limit.

    It fails on anything that reaches the loop's exception handler, and on tasks left behind.
    """
    with warnings.catch_warnings():
        # nats-py drops the connection of a refused attempt without closing it.
        warnings.filterwarnings("ignore", "unclosed <StreamWriter", ResourceWarning)
        _run(test, within_s)


def _run(test: Coroutine[Any, Any, None], within_s: float) -> None:
    unhandled: list[dict[str, Any]] = []
    loop = asyncio.SelectorEventLoop()
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    try:
        loop.run_until_complete(asyncio.wait_for(test, within_s))
        loop.run_until_complete(asyncio.sleep(0.01))
        gc.collect()  # what was dropped is found here, and not by another test
        left = asyncio.all_tasks(loop)
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    assert not unhandled
    assert not left
