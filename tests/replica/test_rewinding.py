"""A read node that served changes which were lost together with their owner."""

import shutil
import signal
from collections.abc import Iterator

import pytest

from odds_service.bridge import open_bridge
from odds_service.client.odds_map import OddsMap
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.nats_servers import NatsServer, nats_server
from tests.support.observations import cached
from tests.support.odds_builders import connected
from tests.support.postgres import PostgresServer
from tests.support.read_nodes import Cluster, held_by, observed, owning, reading


@pytest.fixture
def nats() -> Iterator[NatsServer]:
    """Give a server whose disk the test changes."""
    with nats_server() as server:
        yield server


async def test_streams_end_and_begin_anew_where_changes_were_lost(
    nats: NatsServer, postgres: PostgresServer
) -> None:
    cluster = Cluster(nats, postgres)
    async with open_bridge() as faults:
        await cluster.make_stream()
        async with owning(cluster) as owner:
            await observed(owner, 10)
            await owner.store()
            await owner.sent()
        nats.stop(signal.SIGTERM)
        shutil.copytree(nats.folder / "js", nats.folder / "kept")
        nats.start()
        async with reading(cluster, faults) as node:
            with connected(node.address) as client:
                async with owning(cluster) as owner:
                    await observed(owner, 10)
                    await owner.sent()
                    await node.reach(owner)
                    lost = owner.feed.cursor
                odds = OddsMap()
                with client.watch() as stream:
                    for message in await stream.until("image_end"):
                        odds.take(message)
                    assert odds.cursor == lost
                    nats.kill()
                    shutil.rmtree(nats.folder / "js")
                    (nats.folder / "kept").rename(nats.folder / "js")
                    nats.start()
                    async with owning(cluster) as owner:
                        assert owner.feed.head_revision < lost.revision
                        while True:
                            message = await stream.next()
                            odds.take(message)
                            if message.WhichOneof("message") == "closing":
                                break
                        assert (await stream.error()).code().name == "UNAVAILABLE"
                        assert odds.cursor == lost  # nothing else was mixed in
                        await observed(owner, 3)
                        await node.reach(owner)
                        again = pb.Cursor(epoch=lost.epoch, revision=lost.revision)
                        with client.watch(resume=again) as resumed:
                            messages = await resumed.until("image_end")
                        assert messages[0].opened.reason == pb.INTENT_REASON_EPOCH_CHANGED
                        odds = OddsMap()
                        for message in messages:
                            odds.take(message)
                        assert odds.cursor is not None
                        assert odds.cursor.revision == owner.feed.head_revision
                        assert held_by(odds) == cached(owner.cache.events)
        follower = node.parts.following.follower
        assert follower is not None
        assert follower.rewinds == 1
