"""The faults of a cluster: each strikes, checks its effect, and leaves everything running."""

import random
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from tests.cluster.rig import Cluster

ELECTED_S: Final = 45.0

Fault = Callable[[Cluster, random.Random], Awaitable[None]]


async def bus_killed(rig: Cluster, rng: random.Random) -> None:
    """Kill all servers of the bus, and start them again."""
    await trio.to_thread.run_sync(rig.bus.interrupt)
    await trio.sleep(rng.uniform(0.0, 2.0))
    await trio.to_thread.run_sync(rig.bus.resume)


async def leader_killed(rig: Cluster, rng: random.Random) -> None:
    """Kill the server that leads the stream; the others elect another.

    After many kills one of the others may not be fit to vote, although it says that it is healthy.
    Then the third has to come back first.
    """
    await trio.to_thread.run_sync(rig.bus.strike)
    with trio.move_on_after(ELECTED_S) as scope:
        await rig.recovered()
    rig.counts["elections that waited for the third server"] += scope.cancelled_caught
    await trio.to_thread.run_sync(rig.bus.resume)


async def ingest_killed(rig: Cluster, rng: random.Random) -> None:
    """Kill the active ingest node; the other takes over."""
    owner = await rig.owner()
    standby, ends = rig.other(owner), len(owner.ends)
    began = time.monotonic()
    owner.signal(signal.SIGKILL)
    await owner.ended(ends + 1)
    # The killed one is started again at once, and may win the race.
    await rig.owner()
    rig.take_overs_s.append(time.monotonic() - began)
    rig.counts["won by the standby"] += (await rig.owner()) is standby


async def ingest_paused(rig: Cluster, rng: random.Random) -> None:
    """Pause the active ingest node until the other has taken over, and wake it: it must end."""
    owner = await rig.owner()
    standby, ends = rig.other(owner), len(owner.ends)
    began = time.monotonic()
    owner.signal(signal.SIGSTOP)
    try:
        with trio.fail_after(60):
            while True:
                status = await standby.status()
                if status is not None and status.node.state == "sending":
                    break
                await trio.sleep(0.05)
        rig.counts["owners paused"] += 1
        rig.take_overs_s.append(time.monotonic() - began)
        await rig.advanced()
    finally:
        owner.signal(signal.SIGCONT)
    end = await owner.ended(ends + 1)
    assert end.code == 1, end.log.read_text()[-3_000:]


async def read_node_cut_off(rig: Cluster, rng: random.Random) -> None:
    """Cut a read node off from the bus and from the database, and let it back."""
    for relay in rig.relays:
        relay.cut()
    await rig.advanced()
    await trio.sleep(rng.uniform(0.0, 3.0))
    for relay in rig.relays:
        relay.mend()


async def read_node_killed(rig: Cluster, rng: random.Random) -> None:
    """Kill a read node; its clients are at the other meanwhile."""
    node = rng.choice(rig.read)
    ends = len(node.ends)
    node.signal(signal.SIGKILL)
    await node.ended(ends + 1)


async def tail_lost(rig: Cluster, rng: random.Random) -> None:
    """Lose the tail of the stream, as a loss of power does; the owner writes it again."""
    await trio.to_thread.run_sync(rig.bus.keep)
    await rig.advanced()
    await trio.sleep(rng.uniform(0.0, 2.0))
    await trio.to_thread.run_sync(rig.bus.lose_tail)


async def tail_lost_with_owner(rig: Cluster, rng: random.Random) -> None:
    """Lose the tail of the stream together with the owner."""
    await trio.to_thread.run_sync(rig.bus.keep)
    await rig.advanced()
    owner = await rig.owner()
    ends = len(owner.ends)
    owner.signal(signal.SIGKILL)
    await trio.to_thread.run_sync(rig.bus.lose_tail)
    await owner.ended(ends + 1)


async def stream_deleted(rig: Cluster, rng: random.Random) -> None:
    """Delete the stream, and make it once the owner has noticed and ended."""
    owner = await rig.owner()
    ends = len(owner.ends)
    await trio.to_thread.run_sync(rig.delete_stream)
    end = await owner.ended(ends + 1)
    assert "odds-service bus init" in end.log.read_text()
    await trio.to_thread.run_sync(rig.make_stream)


async def stream_made_anew(rig: Cluster, rng: random.Random) -> None:
    """Delete the stream and make it anew, as an operator may do by mistake."""
    await trio.to_thread.run_sync(rig.delete_stream)
    await trio.to_thread.run_sync(rig.make_stream)


async def database_away(rig: Cluster, rng: random.Random) -> None:
    """Kill PostgreSQL and start it again; readers go on meanwhile."""
    await trio.to_thread.run_sync(rig.postgres.kill)
    seen = [watcher.changes for watcher in rig.watchers]
    await rig.until(
        "watchers go on without the database",
        lambda: all(w.changes > n for w, n in zip(rig.watchers, seen, strict=True)),
    )
    await trio.to_thread.run_sync(rig.postgres.start)


FAULTS: Final[tuple[Fault, ...]] = (
    bus_killed,
    leader_killed,
    ingest_killed,
    ingest_paused,
    read_node_cut_off,
    read_node_killed,
    tail_lost,
    tail_lost_with_owner,
    stream_deleted,
    stream_made_anew,
    database_away,
)
