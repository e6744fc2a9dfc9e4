"""A client that changes between read nodes at random, while everything fails in turn.

At every heartbeat and at the end of every image its map is what the log holds at its cursor. Nodes
restart, the bus restarts, a node is cut off, and owners follow each other; none of it costs an
image, except where a node tells of lost changes.
"""

import gc
import random
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import grpc
import pytest
import trio
from google.protobuf.duration_pb2 import Duration

from odds_service.bridge import BridgeFaults, open_bridge
from odds_service.client.odds_map import OddsMap
from odds_service.model.cursor import Cursor
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.nats_servers import NatsServer, nats_server
from tests.support.observations import Place, Shown, fold
from tests.support.odds_builders import connected
from tests.support.postgres import PostgresServer
from tests.support.read_nodes import (
    Cluster,
    Owner,
    ReadNode,
    held_by,
    owning,
    reading,
    stored_changes,
)
from tests.support.relay import Relay, relaying
from tests.support.serving import wait_until

HEARTBEAT = Duration(nanos=200_000_000)
ROUNDS = 8


@pytest.fixture
def nats() -> Iterator[NatsServer]:
    """Give a server that the test restarts."""
    with nats_server() as server:
        yield server


class Roamer:
    """A client that holds its map from node to node.

    Attributes:
        seen: What its map showed, at each place where it could be compared.
        reasons: Why its streams began as they did.
    """

    def __init__(self, seed: int) -> None:
        self.addresses: list[str] = []
        self.seen: list[tuple[Cursor, dict[Place, Shown]]] = []
        self.reasons: list[str] = []
        self._rng = random.Random(seed)
        self._map = OddsMap()

    async def run(self) -> None:
        """Watch one node after another, until cancelled."""
        while True:
            if not self.addresses:
                await trio.sleep(0.05)
                continue
            with connected(self._rng.choice(self.addresses)) as client:
                try:
                    await self._watch(client, self._rng.randint(2, 12))
                except grpc.RpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                    await trio.sleep(0.1)

    async def _watch(self, client: Any, messages: int) -> None:
        fields: dict[str, Any] = {"heartbeat": HEARTBEAT}
        cursor = self._map.cursor
        if cursor is not None:
            fields["resume"] = pb.Cursor(epoch=cursor.epoch, revision=cursor.revision)
        self._map.restart()
        with client.watch(**fields) as stream:
            while messages > 0 or not self._map.whole:
                message = await stream.next(within_s=60)
                kind = message.WhichOneof("message")
                if kind == "opened":
                    reason = pb.IntentReason.Name(message.opened.reason)
                    self.reasons.append(reason.removeprefix("INTENT_REASON_"))
                self._map.take(message)
                messages -= 1
                if kind in {"heartbeat", "image_end", "changes"} and self._map.whole:
                    assert self._map.cursor is not None
                    self.seen.append((self._map.cursor, held_by(self._map)))


class Story:
    """The happenings in the cluster while the client roams."""

    def __init__(self, cluster: Cluster, faults: BridgeFaults, roamer: Roamer) -> None:
        self.cluster = cluster
        self.faults = faults
        self.roamer = roamer
        self.epochs: list[tuple[str, int]] = []

    async def write(self, owner: Owner, seconds: float) -> None:
        """Detect and store for a while."""
        until = trio.current_time() + seconds
        while trio.current_time() < until:
            owner.observe()
            if owner.feed.head_revision % 3 == 0:
                await owner.store()
            await trio.sleep(0.02)

    async def owner_dies(self) -> None:
        """Let one owner write, and die with changes that no database has."""
        async with owning(self.cluster) as owner:
            self.epochs = list(owner.feed.epochs)
            await self.write(owner, 0.5)
            await owner.sent()

    async def bus_restarts(self) -> None:
        """Kill the bus under an owner that writes on."""
        nats = self.cluster.nats
        async with owning(self.cluster) as owner:
            self.epochs = list(owner.feed.epochs)
            await self.write(owner, 0.2)
            nats.stop(signal.SIGKILL)
            await self.write(owner, 0.5)
            await trio.to_thread.run_sync(nats.start)
            await self.write(owner, 0.3)
            await owner.sent()

    async def node_restarts(self) -> None:
        """Start a node, let the client use it, and stop it."""
        async with owning(self.cluster) as owner, reading(self.cluster, self.faults) as node:
            self.epochs = list(owner.feed.epochs)
            await node.reach(owner)
            self.roamer.addresses.append(node.address)
            await self.write(owner, 0.7)
            self.roamer.addresses.remove(node.address)
            await owner.sent()

    async def node_is_cut_off(self, relay: Relay) -> None:
        """Cut one node off from the bus, and mend it."""
        async with owning(self.cluster) as owner:
            self.epochs = list(owner.feed.epochs)
            await self.write(owner, 0.2)
            relay.cut()
            await self.write(owner, 0.5)
            relay.mend()
            await self.write(owner, 0.3)
            await owner.sent()


# nats-py drops the connections of refused attempts, and those of a loop that ends, unclosed.
@pytest.mark.long
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore:loop is closed:ResourceWarning")
async def test_a_client_that_roams_holds_what_the_log_holds(
    nats: NatsServer, postgres: PostgresServer
) -> None:
    cluster, roamer, rng = Cluster(nats, postgres), Roamer(1), random.Random(1)
    async with open_bridge() as faults, AsyncExitStack() as stack:
        await cluster.make_stream()
        story = Story(cluster, faults, roamer)
        await story.owner_dies()
        relay = await stack.enter_async_context(relaying(nats.port))
        one: ReadNode = await stack.enter_async_context(reading(cluster, faults))
        other: ReadNode = await stack.enter_async_context(
            reading(cluster, faults, f"nats://127.0.0.1:{relay.port}")
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(roamer.run)
            await wait_until(lambda: one.ready and other.ready, "both nodes are ready")
            roamer.addresses += [one.address, other.address]
            for _ in range(ROUNDS // 4):
                happenings: list[Callable[[], Awaitable[None]]] = [
                    story.owner_dies, story.bus_restarts, story.node_restarts,
                    partial(story.node_is_cut_off, relay),
                ]  # fmt: skip
                rng.shuffle(happenings)
                for happens in happenings:
                    await happens()
            async with owning(cluster) as owner:
                story.epochs = list(owner.feed.epochs)
                await owner.store()
                await one.reach(owner)
                await other.reach(owner)
                seen = len(roamer.seen)
                await wait_until(lambda: len(roamer.seen) >= seen + 20, "the client goes on")
                await owner.store()
            nursery.cancel_scope.cancel()
        changes = await stored_changes(cluster)
        assert [change.revision for change in changes] == list(range(1, len(changes) + 1))
        held: dict[int, dict[Place, Shown]] = {}
        for cursor, shown in roamer.seen:
            if cursor.revision not in held:
                held[cursor.revision] = fold(
                    [change for change in changes if change.revision <= cursor.revision]
                )
            assert shown == held[cursor.revision], cursor
        assert roamer.reasons.count("NO_CURSOR") == 1
        assert set(roamer.reasons) <= {"NO_CURSOR", "RESUMED"}
        assert len(roamer.reasons) > 20
        assert len(held) > 30
        for node in (one, other):
            follower = node.parts.following.follower
            assert follower is not None
            assert follower.rewinds == 0
    gc.collect()  # what was dropped is found here, and not by another test
