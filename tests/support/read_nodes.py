"""Read nodes in the test's own process, with an owner of their log, on real servers.

All share one bridge, since a thread has one. The owner is the real one but for its sources: it
takes over, sends by its outbox, and stores what the test tells it to store.
"""

import itertools
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import trio
from pydantic import SecretStr

from odds_service.bridge import BridgeFaults, TrioGate
from odds_service.bus.announcing import AnnouncedCache
from odds_service.bus.opening import open_bus
from odds_service.bus.thread import BusThread, open_bus_thread
from odds_service.client.odds_map import OddsMap
from odds_service.config import BusSettings, Role, Settings, load_settings
from odds_service.feed import ChangeFeed
from odds_service.ingest import OwnerBus, StandbyBus
from odds_service.model.change import Change, Commit
from odds_service.model.observation import Observation
from odds_service.model.refresh import RefreshOutcome
from odds_service.model.source import SourceState, SourceStatus
from odds_service.replica.parts import assemble_reader
from odds_service.replica.service import Reading, supervise
from odds_service.storage import open_store
from odds_service.store import Opening, Store, WriteGroup
from odds_service.watchdog import watched
from tests.support.nats_servers import NatsServer
from tests.support.observations import NOON, Place, Shown, cached, detect
from tests.support.odds_builders import random_observations
from tests.support.postgres import PostgresServer

ALL: Final = 10**9
_numbers = itertools.count(1)


class Cluster:
    """A stream and a database for the nodes of one test, and what was observed.

    Args:
        nats: The bus.
        postgres: The server of the database.
        seed: Chooses the observations.
    """

    def __init__(self, nats: NatsServer, postgres: PostgresServer, seed: int = 1) -> None:
        number = next(_numbers)
        self.nats = nats
        database = f"read{number}"
        postgres.psql(f"CREATE DATABASE {database}")
        self.url = postgres.url(database)
        self.bus = BusSettings(
            servers=[nats.url], stream=f"READ{number}", subject=f"read{number}.log", replicas=1
        )
        self.observations: Iterator[Observation] = random_observations(random.Random(seed), 10**6)

    async def make_stream(self) -> None:
        """Make the stream of the log."""
        async with open_bus_thread(partial(open_bus, self.bus)) as thread:
            await thread.call(thread.bus.log.make)  # type: ignore[attr-defined]  # NATS's own

    def settings(self, bus_url: str | None = None, **changes: object) -> Settings:
        """Return the settings of a read node, perhaps with another way to the bus."""
        bus = self.bus if bus_url is None else self.bus.model_copy(update={"servers": [bus_url]})
        base = load_settings(server={"listen": "127.0.0.1:0"}, database={"url": "sqlite:///x"})
        database = base.database.model_copy(update={"url": SecretStr(self.url)})
        return base.model_copy(
            update={
                "role": Role.READ,
                "database": database,
                "bus": bus.model_copy(update=dict(changes)),
            }
        )


class Owner:
    """The owner of the log.

    Attributes:
        refreshed: The events of refreshes that were asked for.
    """

    def __init__(
        self, cluster: Cluster, store: Store, feed: ChangeFeed, cache: AnnouncedCache, bus: OwnerBus
    ) -> None:
        self.feed = feed
        self.cache = cache
        self.bus = bus
        self.refreshed: list[str] = []
        self._cluster = cluster
        self._store = store
        self._unstored: list[Commit] = []

    def observe(self, count: int = 1) -> None:
        """Detect something, and let the outbox send it."""
        for observation in itertools.islice(self._cluster.observations, count):
            found = detect(
                self.cache.events, observation, first_revision=self.feed.head_revision + 1
            )
            commit = found.commit()
            if commit is not None:
                self._unstored.append(commit)
            self.cache.swap(found.entries, {}, commit, found.detected_at)

    def tell(self, state: SourceState) -> None:
        """Change the state of a source without a change of the log."""
        self.cache.swap({}, {state.source: state}, None, NOON)

    async def store(self) -> None:
        """Store everything."""
        if self._unstored:
            await self._store.write(WriteGroup(self._unstored))
            self._unstored = []
        self.feed.advance_durable(self.feed.head_revision)

    async def sent(self) -> None:
        """Wait until the bus has acknowledged everything."""
        with trio.fail_after(60):
            while self.bus.outbox.pending_changes:  # noqa: ASYNC110  # another thread counts
                await trio.sleep(0.01)

    async def refresh(self, event_id: str, _deadline_s: float) -> RefreshOutcome:
        """Answer a refresh with an observation that is stored at once."""
        self.refreshed.append(event_id)
        before = self.feed.head_revision
        while self.feed.head_revision == before:
            self.observe()
        await self.store()
        commits = self.feed.read_after(before, 100) or []
        changes = [change for commit in commits for change in commit.changes]
        return RefreshOutcome(self.feed.head_revision, changes, {}, [])


async def observed(owner: Owner, changes: int = 1) -> None:
    """Let the owner make at least some changes."""
    before = owner.feed.head_revision
    while owner.feed.head_revision < before + changes:
        owner.observe()
        await trio.lowlevel.checkpoint()


def up(source: str = "toa") -> SourceState:
    """Return the state of a source that works."""
    return SourceState(
        source=source, interval_s=1.0, status=SourceStatus.UP, announced=SourceStatus.UP,
        last_success_at=NOON, reason="",
    )  # fmt: skip


@asynccontextmanager
async def owning(cluster: Cluster) -> AsyncIterator[Owner]:
    """Own the log; the end is that of a killed process, without a last word."""
    async with (
        open_store(cluster.url, migrate=True) as store,
        open_bus_thread(partial(open_bus, cluster.bus)) as thread,
    ):
        owner = await _take_over(cluster, store, thread)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(owner.bus.run)
            nursery.start_soon(owner.bus.answer_refreshes, owner.refresh, TrioGate(nursery))
            nursery.start_soon(owner.bus.tell_state, lambda: NOON, owner.cache.sources)
            yield owner
            nursery.cancel_scope.cancel()


async def _take_over(cluster: Cluster, store: Store, thread: BusThread) -> Owner:
    standby = StandbyBus(cluster.bus, thread)
    taken = await standby.take_over(store, Opening())
    stored = taken.stored
    feed = ChangeFeed(
        stored.epoch, stored.revision, detected_at=stored.last_detected_at, epochs=stored.epochs
    )
    bus = standby.owned(taken, feed)
    cache = AnnouncedCache(feed, bus.outbox, events=stored.events, sources=[up()])
    return Owner(cluster, store, feed, cache, bus)


class ReadNode:
    """A running read node."""

    def __init__(self, running: Reading) -> None:
        self.parts = running.parts
        self.server = running.server
        self.address = running.address

    @property
    def ready(self) -> bool:
        """True while clients should come."""
        return self.server.ready

    def has(self, owner: Owner) -> bool:
        """Return whether it is where the owner is."""
        return self.ready and self.parts.feed.cursor == owner.feed.cursor

    async def reach(self, owner: Owner, within_s: float = 60.0) -> None:
        """Wait until it is where the owner is."""
        with trio.move_on_after(within_s):
            while not self.has(owner):  # noqa: ASYNC110  # another thread writes
                await trio.sleep(0.01)
            return
        follower = self.parts.following.follower
        told = None if follower is None else (follower.state, follower.reason)
        here, there = self.parts.feed.cursor, owner.feed.cursor
        raise AssertionError(f"at {here}, not at {there}; ready: {self.ready}; {told}")


@asynccontextmanager
async def reading(
    cluster: Cluster, faults: BridgeFaults, bus_url: str | None = None, **changes: object
) -> AsyncIterator[ReadNode]:
    """Run a read node; stop it in order at the end."""
    stop = trio.Event()
    settings = cluster.settings(bus_url, **changes)
    with watched() as watchdog:
        async with assemble_reader(settings, faults, watchdog) as parts:
            async with trio.open_nursery() as nursery:
                running: Reading = await nursery.start(partial(supervise, parts, stop))
                try:
                    yield ReadNode(running)
                finally:
                    stop.set()


async def stored_changes(cluster: Cluster) -> list[Change]:
    """Return the history in the database."""
    async with open_store(cluster.url, owner=False) as store:
        return await store.history(0, ALL, ALL)


def held_by(odds: OddsMap) -> dict[Place, Shown]:
    """Return all markets of a client's map by place."""
    events: Any = odds.events  # of the client's own types
    return cached(events)
