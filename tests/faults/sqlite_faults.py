"""The faults of files: each strikes, checks its effect, and leaves everything running."""

import random
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import trio

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.faults.faults import holds_the_scrapers, service_stopped
from tests.faults.rig import retries
from tests.faults.sqlite_rig import SqliteRig

SqliteFault = Callable[[SqliteRig, random.Random], Awaitable[None]]


async def file_moved(rig: SqliteRig, rng: random.Random) -> None:
    """Rename the file away, and back after a while."""
    with rig.away():
        status = await rig.until("the outage shows", retries)
        assert "was moved away; put it back" in status.writer.reason
        await _nothing_more_is_durable(rig, status)
        await trio.sleep(rng.uniform(0.0, 1.0))
        assert not rig.path.exists()


async def file_replaced(rig: SqliteRig, rng: random.Random) -> None:
    """Put another database in the file's place, and then the right one back."""
    with rig.away() as away:
        if rng.random() < 0.5:
            _other(rig.path)
        else:  # a copy, as of a backup
            rig.path.write_bytes(away.read_bytes())
        content = rig.path.read_bytes()
        status = await rig.until("the other file shows", _finds_another)
        await _nothing_more_is_durable(rig, status)
        assert rig.path.read_bytes() == content


async def stopped_while_moved(rig: SqliteRig, rng: random.Random) -> None:
    """Stop the service while the file is away: the rest is spilled and stored by the next start."""
    with rig.away():
        await rig.until("changes wait", retries)
        await rig.served.stop()
    await _started_from_spill(rig)


async def wal_removed(rig: SqliteRig, rng: random.Random) -> None:
    """Remove the -wal, the -shm or both."""
    lost = rng.choice([("-wal",), ("-shm",), ("-wal", "-shm")])
    before = len(rig.served.logged("side_file_made_anew"))
    for suffix in lost:
        rig.side(suffix).unlink()
    with trio.fail_after(60):
        while len(rig.served.logged("side_file_made_anew")) == before:  # noqa: ASYNC110  # a file
            await trio.sleep(0.05)


async def disk_filled(rig: SqliteRig, rng: random.Random) -> None:
    """Take all room on the database's disk, and give it back after a while."""
    with _full(rig):
        status = await rig.until("the full disk shows", retries)
        assert "database or disk is full" in status.writer.reason
        await rig.served.odds()  # readers go on
        await trio.sleep(rng.uniform(0.0, 1.0))


async def stopped_on_a_full_disk(rig: SqliteRig, rng: random.Random) -> None:
    """Stop the service while its disk is full: it spills to another one."""
    with _full(rig):
        await rig.until("changes wait", retries)
        await rig.served.stop()
    await _started_from_spill(rig)


async def file_locked(rig: SqliteRig, rng: random.Random) -> None:
    """Hold the write lock from another program for longer than the writer waits."""
    with closing(sqlite3.connect(rig.path, isolation_level=None, timeout=60)) as other:
        other.execute("BEGIN IMMEDIATE")
        status = await rig.until("the lock shows", retries)
        assert "locked" in status.writer.reason


async def queue_filled(rig: SqliteRig, rng: random.Random) -> None:
    """Move the file away until the queue is full and scraping pauses; readers go on."""
    with rig.away():
        await rig.until("the queue is full", holds_the_scrapers)
        head = (await rig.served.odds()).cursor.revision
        await rig.seen(head)
    rig.counts["queues filled"] += 1


async def service_killed(rig: SqliteRig, rng: random.Random) -> None:
    """Kill the service; the next start checks the file."""
    rig.served.kill()
    rig.ends.append("killed")
    await rig.served.start()
    assert rig.served.logged("quick_check_passed")


SQLITE_FAULTS: Final[tuple[SqliteFault, ...]] = (
    file_moved,
    file_replaced,
    stopped_while_moved,
    wal_removed,
    disk_filled,
    stopped_on_a_full_disk,
    file_locked,
    queue_filled,
    service_killed,
    service_stopped,
)
OF_DISKS: Final = (disk_filled, stopped_on_a_full_disk)


def _finds_another(status: pb.GetStatusResponse) -> bool:
    return retries(status) and "another file is in its place" in status.writer.reason


async def _nothing_more_is_durable(rig: SqliteRig, before: pb.GetStatusResponse) -> None:
    """Wait until new changes have been tried again, and check that none became durable."""
    after = await rig.until(
        "another try, and new changes",
        lambda status: (
            status.writer.retries > before.writer.retries and status.writer.pending_changes > 0
        ),
    )
    assert after.durable_revision == before.durable_revision < after.head_revision


async def _started_from_spill(rig: SqliteRig) -> None:
    rig.ends.append("stopped")
    (spilled,) = rig.served.logged("changes_spilled")
    assert "/spills/" in spilled["path"]
    await rig.served.start()
    assert rig.served.logged("spill_stored")
    rig.counts["stops that spilled"] += 1


@contextmanager
def _full(rig: SqliteRig) -> Iterator[None]:
    assert rig.disk is not None
    rig.disk.fill()
    try:
        yield
    finally:
        rig.disk.free()


def _other(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE notes (note TEXT)")
