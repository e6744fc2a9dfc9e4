"""Read nodes on a real bus and a real database, with real clients."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import grpc
import pytest
import trio
from msgspec.structs import replace

from odds_service.bridge import BridgeFaults, open_bridge
from odds_service.model.source import SourceReason, SourceStatus
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.nats_servers import NatsServer, nats_server
from tests.support.observations import cached
from tests.support.odds_builders import Client, connected
from tests.support.postgres import PostgresServer
from tests.support.read_nodes import Cluster, Owner, ReadNode, observed, owning, reading, up
from tests.support.serving import wait_until


@pytest.fixture(scope="module")
def nats() -> Iterator[NatsServer]:
    with nats_server() as server:
        yield server


@pytest.fixture
def cluster(nats: NatsServer, postgres: PostgresServer) -> Cluster:
    return Cluster(nats, postgres)


@asynccontextmanager
async def bridged(cluster: Cluster) -> AsyncIterator[BridgeFaults]:
    async with open_bridge() as faults:
        await cluster.make_stream()
        yield faults
        assert faults.count == 0


def shown_in(reply: pb.GetOddsResponse) -> pb.GetOddsResponse:
    """Return a reply without its ages, its markets in the order of their keys."""
    for event in reply.events:
        for bookmaker in event.bookmakers:
            markets = sorted(bookmaker.markets, key=lambda each: each.key.SerializeToString())
            del bookmaker.markets[:]
            bookmaker.markets.extend(markets)
    reply.ClearField("durable_revision")
    return reply


async def odds_of(client: Client) -> pb.GetOddsResponse:
    reply = await client.call("GetOdds", pb.GetOddsRequest())
    assert isinstance(reply, pb.GetOddsResponse)
    return shown_in(reply)


async def test_two_nodes_serve_the_same_as_their_owner_detects(cluster: Cluster) -> None:
    async with bridged(cluster) as faults, owning(cluster) as owner:
        owner.observe(30)
        await owner.store()
        owner.observe(10)
        await owner.sent()
        async with reading(cluster, faults) as one:
            await one.reach(owner)
            owner.observe(10)
            async with reading(cluster, faults) as other:  # begins where the database is
                owner.observe(10)
                await one.reach(owner)
                await other.reach(owner)
                for node in (one, other):
                    assert cached(node.parts.cache.view().events) == cached(owner.cache.events)
                with connected(one.address) as here, connected(other.address) as there:
                    with trio.fail_after(30):
                        while (first := await odds_of(here)) != await odds_of(there):
                            pass  # confirmations come once a second
                    assert first.events
                    assert first.cursor.revision == owner.feed.head_revision


async def test_a_node_says_what_it_is(cluster: Cluster) -> None:
    async with bridged(cluster) as faults, owning(cluster) as owner:
        owner.observe(10)
        async with reading(cluster, faults) as node:
            await node.reach(owner)
            with connected(node.address) as client:
                with trio.fail_after(30):
                    while True:
                        status = await client.call("GetStatus", pb.GetStatusRequest())
                        if status.node.upstream:
                            break
                        await trio.sleep(0.1)
            assert (status.node.role, status.node.state) == ("read", "following")
            assert status.node.upstream == owner.bus.node
            assert 0 <= status.node.upstream_age_s < 30
            assert 0 <= status.node.lag_s < 30
            assert status.node.messages > 0
            assert [each.state.source for each in status.sources] == ["toa"]
            assert status.head_revision == owner.feed.head_revision


async def test_a_refresh_is_answered_once_the_node_has_it(cluster: Cluster) -> None:
    async with bridged(cluster) as faults, owning(cluster) as owner:
        owner.observe(10)
        async with reading(cluster, faults) as node:
            await node.reach(owner)
            event_id = next(iter(owner.cache.events))
            with connected(node.address) as client:
                request = pb.RefreshEventRequest(event_id=event_id)
                reply = await client.call("RefreshEvent", request)
                assert owner.refreshed == [event_id]
                assert reply.cursor.revision >= owner.feed.head_revision
                assert reply.changes


async def test_without_an_owner_a_refresh_is_unavailable(cluster: Cluster) -> None:
    async with bridged(cluster) as faults:
        async with owning(cluster) as owner:
            owner.observe(10)
            await owner.store()
            await owner.sent()
        async with reading(cluster, faults) as node:
            await wait_until(lambda: node.ready, "the node has caught up")
            with connected(node.address) as client:
                with pytest.raises(grpc.RpcError) as refused:
                    await client.call("RefreshEvent", pb.RefreshEventRequest(event_id="x"))
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_sources_go_stale_by_themselves_without_an_owner(cluster: Cluster) -> None:
    async with bridged(cluster) as faults:
        await begin(cluster)
        async with reading(cluster, faults) as node:
            async with owning(cluster) as owner:
                owner.tell(replace(up(), last_success_at=datetime.now(UTC)))
                await node.reach(owner)
                await wait_until(lambda: status_of(node) is SourceStatus.UP, "the source is up")
            await wait_until(lambda: status_of(node) is SourceStatus.STALE, "it is stale")
            assert node.parts.cache.view(()).sources["toa"].reason == SourceReason.UPSTREAM_AWAY
            assert node.ready  # it goes on serving
            async with owning(cluster) as owner:
                owner.tell(replace(up(), last_success_at=datetime.now(UTC)))
                await wait_until(lambda: status_of(node) is SourceStatus.UP, "it is up again")


async def begin(cluster: Cluster) -> None:
    """Let an owner begin the log, and end."""
    async with owning(cluster) as owner:
        owner.observe(10)
        await owner.store()
        await owner.sent()


def status_of(node: ReadNode) -> SourceStatus | None:
    state = node.parts.cache.view(()).sources.get("toa")
    return None if state is None else state.status


async def test_streams_go_on_over_a_take_over_and_a_node_waits_for_who_is_ahead(
    cluster: Cluster,
) -> None:
    async with bridged(cluster) as faults:
        await begin(cluster)
        async with reading(cluster, faults, behind_wait_s=30.0) as node:
            with connected(node.address) as client, client.watch() as stream:
                await stream.until("image_end")
                async with owning(cluster) as owner:
                    await observed(owner)
                    await owner.sent()
                    before = owner.feed.cursor
                    while (await stream.until("changes"))[-1].changes.cursor.revision < (
                        before.revision
                    ):
                        pass
                async with owning(cluster) as owner:
                    first = owner.feed.cursor
                    assert first.epoch != before.epoch
                    await observed(owner)
                    messages = await stream.until("changes")
                    assert {each.WhichOneof("message") for each in messages} == {"changes"}
                    assert messages[-1].changes.cursor.epoch == first.epoch
                    assert messages[-1].changes.changes[0].revision == first.revision + 1
                    await node.reach(owner)
                    await assert_waits(client, owner)
                    end = pb.Cursor(epoch=before.epoch, revision=before.revision)
                    with client.watch(resume=end) as resumed:
                        opened = (await resumed.next()).opened
                    assert opened.intent == pb.INTENT_CHANGES
                    assert opened.reason == pb.INTENT_REASON_RESUMED
                async with owning(cluster) as owner:  # an epoch that the node may not know yet
                    newest = pb.Cursor(epoch=owner.feed.epoch, revision=owner.feed.head_revision)
                    with client.watch(resume=newest) as resumed:
                        opened = (await resumed.next()).opened
                    assert opened.reason == pb.INTENT_REASON_RESUMED


async def assert_waits(client: Client, owner: Owner) -> None:
    """Assert that a client of a node that is ahead needs no image here."""
    ahead = pb.Cursor(epoch=owner.feed.epoch, revision=owner.feed.head_revision + 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_observe_later, owner)
        with client.watch(resume=ahead) as resumed:
            opened = (await resumed.next()).opened
    assert opened.reason == pb.INTENT_REASON_RESUMED
    request = pb.GetOddsRequest(min_cursor=ahead)
    assert (await client.call("GetOdds", request)).cursor.revision >= ahead.revision


async def _observe_later(owner: Owner) -> None:
    await trio.sleep(0.3)
    await observed(owner)


async def test_a_place_that_never_comes_is_told_so_after_the_wait(cluster: Cluster) -> None:
    async with bridged(cluster) as faults, owning(cluster) as owner:
        owner.observe(10)
        async with reading(cluster, faults, behind_wait_s=0.3) as node:
            await node.reach(owner)
            ahead = pb.Cursor(epoch=owner.feed.epoch, revision=owner.feed.head_revision + 1)
            with connected(node.address) as client:
                began = trio.current_time()
                with client.watch(resume=ahead) as stream:
                    opened = (await stream.next()).opened
                assert opened.reason == pb.INTENT_REASON_AHEAD_OF_SERVER
                assert trio.current_time() - began > 0.25
                foreign = pb.Cursor(epoch="elsewhere", revision=1)
                with client.watch(resume=foreign) as stream:
                    opened = (await stream.next()).opened
                assert opened.reason == pb.INTENT_REASON_EPOCH_CHANGED


async def test_a_node_outlives_the_bus(cluster: Cluster, nats: NatsServer) -> None:
    async with bridged(cluster) as faults, owning(cluster) as owner:
        owner.observe(10)
        async with reading(cluster, faults) as node:
            await node.reach(owner)
            nats.kill()
            try:
                owner.observe(10)
                await trio.sleep(0.5)
                with connected(node.address) as client:
                    assert (await odds_of(client)).events
            finally:
                with trio.move_on_after(60, shield=True):
                    await trio.to_thread.run_sync(nats.start)
            await node.reach(owner)
            follower = node.parts.following.follower
            assert follower is not None
            assert follower.rebuilds == 0
            assert node.parts.cache.view().events
