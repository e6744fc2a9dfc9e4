"""Nodes of one log, in the test's own process or as processes, on real servers."""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import trio
from pydantic import SecretStr

from odds_service.bridge import open_bridge
from odds_service.bus.messages import Assembler, DecodedBatch, Opened, decode
from odds_service.bus.opening import open_bus
from odds_service.config import BusSettings, Role, Settings
from odds_service.model.change import Change
from odds_service.storage import open_store
from tests.support.json_log import entries
from tests.support.nats_servers import NatsServer
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer

START_S: Final = 120.0
ALL: Final = 10**9

if TYPE_CHECKING:  # the library may be missing where these tests skip
    from odds_service.bus.nats_bus import NatsBus

T = TypeVar("T")
_numbers = itertools.count(1)


class Site:
    """A stream and a database for the nodes of one test.

    Args:
        folder: For settings, logs and spills.
        nats: The bus.
        postgres: The server of the database.
    """

    def __init__(self, folder: Path, nats: NatsServer, postgres: PostgresServer) -> None:
        number = next(_numbers)
        self.folder = folder
        self.postgres = postgres
        self.database = f"nodes{number}"
        self.url = postgres.url(self.database)
        postgres.psql(f"CREATE DATABASE {self.database}")
        self.bus = BusSettings(
            servers=[nats.url], stream=f"NODES{number}", subject=f"nodes{number}.log", replicas=1
        )
        self.on_bus(lambda bus: bus.log.make())

    def settings(self, base: Settings, role: Role = Role.INGEST) -> Settings:
        """Return settings of a node in this process, with the sources of others."""
        database = base.database.model_copy(
            update={"url": SecretStr(self.url), "migrate": True, "spill_folder": self.folder}
        )
        return base.model_copy(update={"role": role, "database": database, "bus": self.bus})

    def on_bus(self, work: Callable[["NatsBus"], Awaitable[T]], within_s: float = 60.0) -> T:
        """Await a function of a connection of its own, on a loop of its own."""

        async def main() -> T:
            bus = open_bus(self.bus)
            try:
                async with asyncio.timeout(within_s):
                    return await work(bus)
            finally:
                await bus.aclose()

        return _run(main())

    def delete_stream(self) -> None:
        """Delete the stream."""

        async def delete() -> None:
            from nats.aio.client import Client

            client = Client()
            await client.connect(self.bus.servers[0])
            await client.jetstream().delete_stream(self.bus.stream)
            await client.close()

        _run(delete())

    def streamed(self) -> tuple[list[Change], list[Opened]]:
        """Return the changes and the epochs of the stream; each revision is there once, in order.

        An epoch may begin behind a hole, whose changes are in the database alone.
        """
        return self.on_bus(_streamed)

    def stored(self) -> list[Change]:
        """Return the history in the database, outside Trio."""
        return trio.run(self.astored)

    async def astored(self) -> list[Change]:
        """Return the history in the database."""
        async with open_bridge(), open_store(self.url, owner=False) as store:
            return await store.history(0, ALL, ALL)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a plain asyncio loop."""
    loop = asyncio.SelectorEventLoop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _streamed(bus: "NatsBus") -> tuple[list[Change], list[Opened]]:
    changes: list[Change] = []
    epochs: list[Opened] = []
    assembler, info = Assembler(), await bus.log.info()
    async with aclosing(bus.log.read_from(1)) as reader:
        async for stored in reader:
            found = assembler.add(decode(stored.message))
            head = changes[-1].revision if changes else 0
            if isinstance(found, Opened):
                assert found.prev_revision == head
                epochs.append(found)
            elif isinstance(found, DecodedBatch):
                assert found.epoch == epochs[-1].epoch
                assert found.prev_revision == max(head, epochs[-1].first_revision - 1)
                changes += [change for each in found.batch().commits for change in each.changes]
            if stored.sequence == info.last:
                break
    return changes, epochs


class Node:
    """`odds-service serve` as a process, in a folder of its own.

    Args:
        site: The log.
        name: The name of its folder.
        sources: The tables of its sources, as TOML.
        role: Its role.
    """

    def __init__(self, site: Site, name: str, sources: str = "", role: str = "ingest") -> None:
        self.folder = site.folder / name
        self.folder.mkdir()
        self.address = f"127.0.0.1:{free_port()}"
        self.settings = self.folder / "odds.toml"
        bus = site.bus
        self.settings.write_text(
            f"""
            role = "{role}"
            [server]
            listen = "{self.address}"
            [database]
            url = "{site.url}"
            migrate = true
            spill_folder = "{self.folder}"
            [bus]
            servers = {json.dumps(bus.servers)}
            stream = "{bus.stream}"
            subject = "{bus.subject}"
            replicas = {bus.replicas}
            [log]
            format = "json"
            {sources}
            """
        )
        self._starts = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """The log of the present run, or else of the last one."""
        return self.folder / f"log-{self._starts}"

    def launch(self, **environment: str) -> None:
        """Start it without waiting for it."""
        assert self._process is None
        self._starts += 1
        command = [sys.executable, "-m", "odds_service", "serve", "--config", str(self.settings)]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stderr=log, cwd=self.folder, env={**os.environ, **environment}
            )

    @property
    def running(self) -> bool:
        """True from launch() on until it ends by itself."""
        return self._process is not None and self._process.poll() is None

    def entries(self, event: str) -> list[dict[str, Any]]:
        """Return the log entries of an event."""
        return entries(self.log, event)

    def logged(self, event: str, within_s: float = START_S) -> dict[str, Any]:
        """Wait for a log entry of an event, and return it."""
        assert self._process is not None
        deadline = time.monotonic() + within_s
        while not (found := self.entries(event)):
            ended = self._process.poll()
            text = self.log.read_text("utf-8")[-3_000:]
            assert ended is None, f"ended with {ended} before {event}: {text}"
            assert time.monotonic() < deadline, f"no {event} in {within_s:g} s: {text}"
            time.sleep(0.02)
        return found[0]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def end(self, within_s: float = START_S) -> int:
        """Wait for its end, and return its exit code."""
        assert self._process is not None
        code = self._process.wait(within_s)
        self._process = None
        return code

    def kill(self) -> None:
        """Send SIGKILL, and wait for the end."""
        self.signal(signal.SIGKILL)
        self.end()

    def discard(self) -> None:
        """Kill it if it runs."""
        if self._process is not None:
            self.kill()
