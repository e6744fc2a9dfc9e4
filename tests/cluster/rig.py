"""A cluster of processes: the bus, PostgreSQL, two ingest and two read nodes."""

import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import trio

from tests.cluster.nodes import Node
from tests.faults.database import StruckPostgres
from tests.faults.processes import Bookmaker
from tests.faults.witness import Witness
from tests.support.log_rigs import NatsRig, run
from tests.support.nats_servers import nats_cluster
from tests.support.ports import free_port
from tests.support.relay import Relay, relaying

WAIT_S: Final = 120.0
WATCHERS: Final = 3
STAY_S: Final = (1.0, 8.0)  # a watcher stays at a node for a time between these


class Cluster:
    """The parts of one run, and the counts of the faults.

    Attributes:
        relays: Per server of the bus, the relay between it and the second read node; the last is
            the one before its database.
    """

    def __init__(
        self,
        bus: NatsRig,
        postgres: StruckPostgres,
        bookmaker: Bookmaker,
        ingest: list[Node],
        read: list[Node],
        relays: list[Relay],
    ) -> None:
        self.bus = bus
        self.postgres = postgres
        self.bookmaker = bookmaker
        self.ingest = ingest
        self.read = read
        self.relays = relays
        self.counts: Counter[str] = Counter()
        self.take_overs_s: list[float] = []
        addresses = [node.address for node in read]
        self.watchers = [Witness(*addresses) for _ in range(WATCHERS)]

    async def owner(self) -> Node:
        """Return the ingest node that is active, once there is one."""
        with trio.fail_after(WAIT_S):
            while True:
                for node in self.ingest:
                    status = await node.status()
                    if status is not None and status.node.state == "sending":
                        return node
                await trio.sleep(0.05)

    def other(self, node: Node) -> Node:
        """Return the ingest node that is not this one."""
        return next(each for each in self.ingest if each is not node)

    def durable(self) -> int:
        """Return the last revision in the database. Blocks."""
        return int(
            self.postgres.rows("SELECT coalesce(max(durable_revision), 0) FROM feed_state")[0][0]
        )

    async def advanced(self, by: int = 1) -> int:
        """Wait until more changes are stored; return the last revision."""
        first: int | None = None
        with trio.fail_after(WAIT_S):
            while True:
                try:
                    now = await trio.to_thread.run_sync(self.durable)
                except RuntimeError:  # the database is on its way back
                    now = -1
                first = now if first is None and now >= 0 else first
                if first is not None and now >= first + by:
                    return now
                await trio.sleep(0.05)

    def delete_stream(self) -> None:
        """Delete the stream. Blocks."""
        run(self.bus.delete())

    def make_stream(self) -> None:
        """Make the stream as an operator does. Blocks."""
        command(self.ingest[0].settings, "bus", "init")

    async def recovered(self) -> None:
        """Wait until changes are stored again, and every watcher has seen what was stored.

        The second round has every watcher read from memory again: the first may end amid a
        stretch that it reads from the database.
        """
        for _ in range(2):
            head = await self.advanced()
            for watcher in self.watchers:
                await self.until(f"a watcher is at {head}", partial(at, watcher, head))

    async def until(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait until a condition holds; watchers fail the test meanwhile."""
        with trio.move_on_after(WAIT_S):
            while not holds():
                for watcher in self.watchers:
                    watcher.check()
                await trio.sleep(0.05)
            return
        told = [(w.cursor, w.whole, w.address) for w in self.watchers]
        raise AssertionError(f"not within {WAIT_S} s: {what}; the watchers: {told}")

    async def wander(self, rng: random.Random) -> None:
        """Send the watchers from node to node, each with its cursor, until cancelled."""
        while True:
            await trio.sleep(rng.uniform(*STAY_S) / WATCHERS)
            rng.choice(self.watchers).hop()


def at(watcher: Witness, revision: int) -> bool:
    """Return whether a watcher has seen everything up to a revision."""
    cursor = watcher.cursor
    return watcher.whole and cursor is not None and cursor.revision >= revision


@asynccontextmanager
async def cluster(folder: Path, events: int) -> AsyncIterator[Cluster]:
    """Start everything, and yield it; end all afterwards.

    Args:
        folder: the place of settings and logs.
        events: the events of the bookmaker; a fifth of the 40 markets of each move every second.
    """
    with ExitStack() as ends:
        # Not in the test's own folder, which pytest closes to other users such as PostgreSQL's.
        at_postgres = Path(tempfile.mkdtemp(prefix="odds-postgres-"))
        ends.callback(shutil.rmtree, at_postgres, ignore_errors=True)
        postgres = StruckPostgres(at_postgres)
        ends.callback(postgres.stop)
        await trio.to_thread.run_sync(postgres.start)
        bookmaker = Bookmaker(folder, events)
        ends.callback(bookmaker.stop)
        servers = ends.enter_context(nats_cluster())
        bus = NatsRig(servers)
        ports = [*(server.port for server in servers), postgres.port]
        async with AsyncExitStack() as stack:
            relays = [await stack.enter_async_context(relaying(port)) for port in ports]
            nursery = await stack.enter_async_context(trio.open_nursery())
            direct = [server.url for server in servers]
            relayed = [f"nats://127.0.0.1:{relay.port}" for relay in relays[:-1]]
            past = f"postgresql://postgres@127.0.0.1:{relays[-1].port}/postgres"

            def node(name: str, role: str, urls: list[str], database: str, more: str) -> Node:
                address = f"127.0.0.1:{free_port()}"
                settings = _settings(role, address, bus, urls, database) + more
                return Node(folder, name, settings, address)

            source = _source(bookmaker)
            ingest = [node(f"ingest-{n}", "ingest", direct, postgres.url(), source) for n in "12"]
            read = [
                node("read-1", "read", direct, postgres.url(), ""),
                node("read-2", "read", relayed, past, ""),
            ]
            await trio.to_thread.run_sync(command, ingest[0].settings, "db", "upgrade")
            await trio.to_thread.run_sync(command, ingest[0].settings, "bus", "init")
            for each in (*ingest, *read):
                nursery.start_soon(each.supervise)
            found = Cluster(bus, postgres, bookmaker, ingest, read, relays)
            try:
                yield found
            finally:
                for watcher in found.watchers:
                    watcher.close()
                nursery.cancel_scope.cancel()


def command(settings: Path, *words: str) -> None:
    """Run one of the commands to its end, which must be a good one. Blocks."""
    done = subprocess.run(
        [sys.executable, "-m", "odds_service", *words, "-c", str(settings)],
        capture_output=True, text=True, check=False, timeout=WAIT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def _settings(role: str, address: str, bus: NatsRig, urls: list[str], database: str) -> str:
    options = bus.options()
    return f"""
role = "{role}"
[server]
listen = "{address}"
[database]
url = "{database}?connect_timeout=5"
[bus]
servers = {json.dumps(urls)}
stream = "{options.stream}"
subject = "{options.subject}"
replicas = {options.replicas}
[shutdown]
drain_s = 3.0
[log]
format = "json"
"""


def _source(bookmaker: Bookmaker) -> str:
    return f"""
[[sources]]
kind = "the-odds-api"
url = "http://127.0.0.1:{bookmaker.port}"
api_key = "secret"
sports = {json.dumps(bookmaker.sports)}
markets = {json.dumps(bookmaker.markets)}
interval_s = 1.0
"""
