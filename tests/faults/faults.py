"""The faults: each strikes, checks its effect, and leaves everything running."""

import random
import signal
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.faults.proxy import Moment
from tests.faults.rig import QUEUE_CHANGES, STATEMENT_S, WAIT_S, Rig, Run, retries

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


async def worker_killed(rig: Rig, rng: random.Random) -> None:
    """Kill the worker in the middle of its fetches; it comes back, and no fetch has failed."""
    await trio.sleep(rng.uniform(0.0, 0.4))
    ended, before = len(rig.served.logged("worker_ended")), await rig.served.status()
    rig.served.kill_worker()
    await rig.until(
        "fetches again",
        lambda status: (
            status.sources[0].pulls > before.sources[0].pulls + 1
            and len(rig.served.logged("worker_ended")) > ended
        ),
    )


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


async def role_barred(rig: Rig, rng: random.Random) -> None:
    """Forbid the service's role to log in, and end its sessions: the service waits."""
    await trio.to_thread.run_sync(rig.postgres.psql, "ALTER ROLE odds NOLOGIN")
    try:
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'odds'"
        await trio.to_thread.run_sync(rig.postgres.psql, ended)
        status = await rig.until("the role is barred", retries)
        await rig.until("the role is still barred", lambda now: _retried(now, status))
        await rig.served.odds()  # readers go on
    finally:
        with trio.move_on_after(WAIT_S, shield=True):
            await trio.to_thread.run_sync(rig.postgres.psql, "ALTER ROLE odds LOGIN")


async def network_silent(rig: Rig, rng: random.Random) -> None:
    """Swallow everything, and what present connections send for ever: one time-out ends it."""
    with rig.proxy.silent():
        await rig.until("the silence is noticed", retries)
        await rig.served.odds()  # readers go on
        await trio.sleep(rng.uniform(0.0, 3.0))
    began = trio.current_time()
    await rig.recovered()
    # No dead connection is waited for; a new one was perhaps begun in the silence.
    assert trio.current_time() - began < 3 * STATEMENT_S


async def log_reader_stalled(rig: Rig, rng: random.Random) -> None:
    """Let nobody read the service's log while the database goes and comes: nothing waits for it."""
    away, back = (len(rig.served.logged(f"storage_{what}")) for what in ("away", "back"))
    reader = rig.served.reader
    assert reader is not None
    with reader.stalled():
        with rig.proxy.refusing():
            await rig.until("the outage shows", retries)
        await rig.recovered()
        head = (await rig.served.status()).head_revision
        await rig.until("it goes on", lambda status: status.durable_revision > head)
    with trio.fail_after(WAIT_S):
        while len(rig.served.logged("storage_back")) <= back:  # noqa: ASYNC110  # a file
            await trio.sleep(0.05)
    assert len(rig.served.logged("storage_away")) > away


async def machine_asleep(rig: Rig, rng: random.Random) -> None:
    """Stop the service's process for some seconds, as a paused virtual machine does."""
    before = (await rig.served.status()).loop
    rig.served.signal(signal.SIGSTOP)
    await trio.sleep(rng.uniform(2.0, 5.0))
    rig.served.signal(signal.SIGCONT)
    after = await rig.until("the pause shows", lambda status: status.loop.pauses > before.pauses)
    assert after.loop.paused_s - before.paused_s > 1.0
    assert rig.served.logged("process_paused")


FAULTS: Final[tuple[Fault, ...]] = (
    database_killed,
    service_killed,
    service_stopped,
    stopped_while_away,
    table_locked,
    queue_filled,
    reply_lost,
    role_barred,
    network_silent,
    log_reader_stalled,
    machine_asleep,
    worker_killed,
)


def _retried(now: pb.GetStatusResponse, before: pb.GetStatusResponse) -> bool:
    return retries(now) and now.writer.retries > before.writer.retries


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
