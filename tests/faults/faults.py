"""The faults: each strikes, checks its effect, and leaves everything running."""

import random
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.faults.proxy import Moment
from tests.faults.rig import QUEUE_CHANGES, WAIT_S, Rig, Run, retries

Fault = Callable[[Rig, random.Random], Awaitable[None]]

_LOCKED: Final = ("odds_current", "odds_history", "feed_state", "snapshots")


async def database_killed(rig: Rig, rng: random.Random) -> None:
    """Kill PostgreSQL while rows of a transaction are in flight."""
    await _sprung(rig, Moment.ROWS_SENT, rig.postgres.kill)
    await rig.until("the outage shows", retries)
    await rig.served.odds()  # readers go on
    await trio.sleep(rng.uniform(0.0, 0.5))
    await trio.to_thread.run_sync(rig.postgres.start)


async def service_killed(rig: Rig, rng: random.Random) -> None:
    """Kill the service, half of the time while rows are in flight."""
    if rng.random() < 0.5:
        await _sprung(rig, Moment.ROWS_SENT, rig.served.kill)
    else:
        rig.served.kill()
    rig.ends.append("killed")
    await rig.served.start()


async def service_stopped(rig: Run, rng: random.Random) -> None:
    """Send SIGTERM: the queue is drained, or spilled and stored by the next start."""
    await rig.served.stop()
    rig.ends.append("stopped")
    spilled = bool(rig.served.logged("changes_spilled"))
    await rig.served.start()
    assert bool(rig.served.logged("spill_stored")) is spilled
    rig.counts["stops that spilled" if spilled else "stops that drained"] += 1


async def stopped_while_away(rig: Rig, rng: random.Random) -> None:
    """Stop the service during an outage: the rest is spilled, and stored by the next start."""
    with rig.proxy.refusing():
        await rig.until("changes wait", retries)
        await rig.served.stop()
    rig.ends.append("stopped")
    assert rig.served.logged("changes_spilled")
    await rig.served.start()
    assert rig.served.logged("spill_stored")
    rig.counts["stops that spilled"] += 1


async def table_locked(rig: Rig, rng: random.Random) -> None:
    """Lock a table from another session for longer than the writer waits."""
    table = rng.choice(_LOCKED)
    session = rig.postgres.session(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;\n")
    try:
        status = await rig.until(f"{table} is locked", retries)
        assert status.writer.reason
    finally:
        session.kill()
        session.wait()
        assert session.stdin is not None
        session.stdin.close()


async def queue_filled(rig: Rig, rng: random.Random) -> None:
    """Cut off the database until the queue is full and scraping pauses; readers go on."""
    with rig.proxy.refusing():
        await rig.until("the queue is full", holds_the_scrapers)
        head = (await rig.served.odds()).cursor.revision
        await rig.seen(head)
    rig.counts["queues filled"] += 1


async def reply_lost(rig: Rig, rng: random.Random) -> None:
    """Cut the connection after a COMMIT, before its reply."""
    lost = rig.proxy.lost_replies
    await _sprung(rig, Moment.COMMITTED, lambda: None)
    assert rig.proxy.lost_replies == lost + 1


FAULTS: Final[tuple[Fault, ...]] = (
    database_killed,
    service_killed,
    service_stopped,
    stopped_while_away,
    table_locked,
    queue_filled,
    reply_lost,
)


def holds_the_scrapers(status: pb.GetStatusResponse) -> bool:
    """Return whether the full queue pauses the scrapers."""
    (source,) = status.sources
    full = status.writer.pending_changes >= QUEUE_CHANGES
    return full and source.state.reason == "storage_behind"


async def _sprung(rig: Rig, moment: Moment, strike: Callable[[], None]) -> None:
    with rig.proxy.trap(moment) as trap:
        with trio.fail_after(WAIT_S):
            await trap.sprung.wait()
        if moment is Moment.ROWS_SENT:
            rig.counts["open transactions struck"] += 1
        strike()
