"""The follower over a log in memory and on a real server, with a writer that writes all the while.

Whatever happens to the bus, the writer or the database, the node ends with what the log holds, and
what was served and no longer exists ends the streams before it is replaced.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest
from msgspec import Struct

from odds_service.bus.messages import Batch, encode
from odds_service.errors import StorageUnavailable
from odds_service.model.cursor import Cursor
from odds_service.model.snapshot import Reading
from odds_service.replica import follower as module
from odds_service.replica.follower import Follower
from odds_service.replica.replica import Replica, replica_of
from tests.support.log_rigs import MemoryRig, Rig, rig_makers, run, until
from tests.support.log_writer import LogWriter, Truth, wall
from tests.support.observations import cached


@pytest.fixture(scope="module", params=["memory", "single"])
def make_rig(request: pytest.FixtureRequest) -> Iterator[Callable[[], Rig]]:
    with rig_makers(request.param) as make:
        yield make


@pytest.fixture
def rig(make_rig: Callable[[], Rig]) -> Rig:
    return make_rig()


class Site(Struct):
    """A read node's rest: its database, and what the follower told it, in order."""

    truth: Truth
    told: list[str] = []
    loads: int = 0
    away: bool = False
    at_end: list[Cursor] = []
    replica: Replica | None = None

    async def load(self) -> Replica:
        await asyncio.sleep(0)
        self.loads += 1
        if self.away:
            raise StorageUnavailable("the database is away")
        return replica_of(self.truth.load(), lambda: Reading(wall(), 1_000.0))

    async def set_ready(self, ready: bool) -> None:
        await asyncio.sleep(0)
        self.told.append("ready" if ready else "not ready")

    async def end_streams(self) -> None:
        assert self.replica is not None
        self.at_end.append(self.replica.feed.cursor)
        await asyncio.sleep(0)
        self.told.append("streams end")

    async def reopen_streams(self) -> None:
        await asyncio.sleep(0)
        self.told.append("streams begin")


class Node:
    """A follower with what it serves."""

    def __init__(self, truth: Truth, rig: Rig) -> None:
        self.site = Site(truth, replica=None)
        served = replica_of(truth.load(), lambda: Reading(wall(), 1_000.0))
        self.site.replica = served
        self.cache, self.feed = served.cache, served.feed
        self.follower = Follower(served, rig.bus, self.site, wall)
        self.task = asyncio.ensure_future(self.follower.run())

    async def has(self, writer: LogWriter) -> bool:
        """Return whether the node has all that the writer has, and no reason to doubt it."""
        assert not self.task.done(), self.task
        return self.feed.cursor == (
            writer.truth.epochs[-1][0],
            writer.book.feed.head_revision,
        ) and self.site.told[-1:] == ["ready"]

    def assert_equal(self, writer: LogWriter) -> None:
        assert cached(self.cache.view().events) == cached(writer.book.cache.events)

    async def end(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


@asynccontextmanager
async def writing(truth: Truth, rig: Rig) -> AsyncIterator[LogWriter]:
    bus = rig.bus()
    writer = LogWriter(truth, bus.log)
    await writer.take_over()
    try:
        yield writer
    finally:
        await writer.end()
        await bus.aclose()


@asynccontextmanager
async def following(truth: Truth, rig: Rig) -> AsyncIterator[Node]:
    node = Node(truth, rig)
    try:
        yield node
    finally:
        await node.end()


async def make(rig: Rig) -> None:
    log = await rig.make()
    await log.aclose()


async def settle(node: Node, writer: LogWriter) -> None:
    await until(lambda: node.has(writer))
    node.assert_equal(writer)


def test_it_follows_from_what_the_database_holds(rig: Rig) -> None:
    async def test() -> None:
        await make(rig)
        truth = Truth(1)
        async with writing(truth, rig) as writer:
            writer.write(20)
            writer.store()
            writer.write(20)
            await until(writer.acknowledged)
            async with following(truth, rig) as node:
                await settle(node, writer)
                for _ in range(10):
                    writer.write(3)
                    await asyncio.sleep(0.01)
                await settle(node, writer)
                assert node.site.told == ["ready"]
                assert (node.site.loads, node.follower.rebuilds) == (0, 0)
                assert node.follower.state == "following"
                assert node.follower.applied > 0
                writer.store()
                await until(lambda: is_durable(node, writer))

    run(test())


async def is_durable(node: Node, writer: LogWriter) -> bool:
    return node.feed.durable_revision == writer.book.feed.head_revision


def test_an_outage_of_the_bus_is_waited_out(rig: Rig) -> None:
    async def test() -> None:
        await make(rig)
        truth = Truth(2)
        async with writing(truth, rig) as writer, following(truth, rig) as node:
            writer.write(20)
            await settle(node, writer)
            rig.interrupt()
            writer.write(20)
            await asyncio.sleep(0.3)
            await asyncio.to_thread(rig.resume)
            await settle(node, writer)
            assert node.site.told == ["ready"]
            assert node.site.loads == 0

    run(test())


def test_a_lost_tail_that_is_written_again_changes_nothing(rig: Rig) -> None:
    async def test() -> None:
        await make(rig)
        truth = Truth(3)
        async with writing(truth, rig) as writer, following(truth, rig) as node:
            writer.write(20)
            await settle(node, writer)
            await asyncio.to_thread(rig.keep)
            writer.write(20)
            await settle(node, writer)
            await asyncio.to_thread(rig.lose_tail)
            writer.write(20)
            await settle(node, writer)
            assert node.site.told == ["ready"]
            assert node.site.loads == 0

    run(test())


def test_a_take_over_that_loses_nothing_is_followed(rig: Rig) -> None:
    async def test() -> None:
        await make(rig)
        truth = Truth(4)
        async with following(truth, rig) as node:
            async with writing(truth, rig) as writer:
                writer.write(20)
                await settle(node, writer)
            async with writing(truth, rig) as writer:
                writer.write(20)
                await settle(node, writer)
            assert "streams end" not in node.site.told
            assert node.feed.epochs == tuple(truth.epochs)

    run(test())


def test_what_was_served_and_lost_ends_the_streams_before_it_is_replaced(rig: Rig) -> None:
    async def test() -> None:
        await make(rig)
        truth = Truth(5)
        async with following(truth, rig) as node:
            async with writing(truth, rig) as writer:
                writer.write(20)
                await settle(node, writer)
                await asyncio.to_thread(rig.keep)
                writer.write(20)
                await settle(node, writer)
                lost = node.feed.cursor
            await asyncio.to_thread(rig.lose_tail)
            async with writing(truth, rig) as writer:
                assert writer.book.feed.head_revision < lost.revision
                writer.write(3)
                await settle(node, writer)
            assert node.site.at_end == [lost]
            told = node.site.told[node.site.told.index("not ready") :]
            assert told[:3] == ["not ready", "streams end", "streams begin"]
            assert told[-1] == "ready"
            assert node.follower.rewinds == 1

    run(test())


def test_a_log_that_was_made_anew_is_followed(rig: Rig) -> None:
    async def test() -> None:
        await make(rig)
        truth = Truth(6)
        async with following(truth, rig) as node:
            async with writing(truth, rig) as writer:
                writer.write(20)
                await settle(node, writer)
                writer.store()
            await rig.delete()
            await asyncio.sleep(0.2)
            assert node.cache.view().events  # it goes on serving
            await make(rig)
            async with writing(truth, rig) as writer:
                writer.write(20)
                await settle(node, writer)
            assert "streams end" not in node.site.told

    run(test())


def test_what_has_left_the_log_is_loaded_from_the_database(rig: Rig) -> None:
    async def test() -> None:
        log = await rig.make(small=True)
        truth = Truth(7)
        async with writing(truth, rig) as writer:
            node = Node(truth, rig)
            await until(lambda: node.has(writer))
            await node.end()
            while (await log.info()).first == 1:
                writer.write(100)
                writer.store()
                await until(writer.acknowledged)
            held = node.site.replica
            assert held is not None
            node.follower = Follower(held, rig.bus, node.site, wall)
            node.site.told.clear()
            node.site.away = True
            node.task = asyncio.ensure_future(node.follower.run())
            await until(lambda: is_loading(node))
            assert node.follower.state == "rebuilding" or node.follower.reason
            assert node.feed.head_revision < writer.book.feed.head_revision
            node.site.away = False
            await settle(node, writer)
            assert "streams end" not in node.site.told
            assert node.follower.rebuilds == 1
            await node.end()
        await log.aclose()

    run(test())


def test_its_state_says_how_it_stands_to_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AWAY_S", 0.3)
    monkeypatch.setattr(module, "LOOK_S", 0.02)
    rig = MemoryRig()

    async def test() -> None:
        truth = Truth(9)
        async with following(truth, rig) as node:
            await until(lambda: says(node, "starting"))
            await make(rig)
            async with writing(truth, rig) as writer:
                writer.write(5)
                await settle(node, writer)
                await until(lambda: says(node, "following"))
                node.follower.log_last += 10_000  # as a look would find it
                assert node.follower.state == "catching_up"
                rig.interrupt()
                await until(lambda: says(node, "away"))
                assert node.cache.view().events
                rig.resume()
                await until(lambda: says(node, "following"))
                node.site.away = True
                beyond = encode(Batch(truth.epochs[-1][0], 10**6, 0))[0]
                await rig.log().append(beyond, rig.stream.last)
                await until(lambda: is_loading(node))
                assert "changes after" in node.follower.reason or node.site.loads > 1

    run(test())


async def says(node: Node, state: str) -> bool:
    return node.follower.state == state


def test_clocks_that_differ_are_told() -> None:
    rig = MemoryRig()

    async def test() -> None:
        await make(rig)
        truth = Truth(10)
        async with writing(truth, rig) as writer, following(truth, rig) as node:
            node.follower._wall = lambda: wall() - timedelta(hours=1)
            await until(lambda: tells_a_lead(node))
            lead_s = node.follower.lead_s
            assert lead_s is not None
            assert -3_600.1 < lead_s < -3_500
            assert writer.outbox.messages

    run(test())


async def tells_a_lead(node: Node) -> bool:
    lead_s = node.follower.lead_s
    return lead_s is not None and lead_s < -1


async def is_loading(node: Node) -> bool:
    return node.site.loads > 1


def test_changes_that_no_log_holds_any_more_are_waited_for_and_then_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "REWIND_S", 0.3)
    rig = MemoryRig()

    async def test() -> None:
        await make(rig)
        truth = Truth(8)
        async with following(truth, rig) as node:
            async with writing(truth, rig) as writer:
                writer.write(5)
                await settle(node, writer)
                rig.keep()
                writer.write(5)
                await settle(node, writer)
                ahead = node.feed.cursor
            rig.lose_tail()
            await asyncio.sleep(0.2)
            assert node.feed.cursor == ahead  # nobody has said that it does not exist
            beyond = encode(Batch("e1", ahead.revision + 10, 0))[0]
            await rig.log().append(beyond, rig.stream.last)
            await until(lambda: is_loading(node))
            assert node.feed.cursor == ahead
            rig.lose_tail()
            await until(lambda: rewound(node))
            assert node.site.at_end == [ahead]
            assert node.feed.head_revision < ahead.revision

    run(test())


async def rewound(node: Node) -> bool:
    return node.follower.rewinds == 1
