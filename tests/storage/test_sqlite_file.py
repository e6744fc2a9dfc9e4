"""A service's own SQLite files: deleted, moved, replaced, locked, damaged, grown, readable.

The writer must never call a change durable that is not in the file at its path.
"""

import asyncio
import itertools
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
import structlog
import trio
from sqlalchemy import Connection, event, text
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.bridge import aio, open_bridge
from odds_service.errors import StorageError, StorageUnavailable
from odds_service.feed import ChangeFeed
from odds_service.model.scrape_run import ScrapeRun
from odds_service.pipeline.channels import WriteQueue
from odds_service.pipeline.write import Writer
from odds_service.storage import open_store
from odds_service.storage import sqlite as sqlite_module
from odds_service.storage import sqlite_file as sqlite_file_module
from odds_service.storage.database_store import DatabaseStore
from odds_service.storage.sqlite import Sqlite
from odds_service.storage.sqlite_file import SqliteFile
from odds_service.store import Retention, Store, WriteGroup
from tests.support.disks import small_disk
from tests.support.observations import NOON
from tests.support.serving import wait_until
from tests.support.stories import SERIES, Story, random_series

ALL: Final = 10**9
BOOK: Final = Story(SERIES)
HALF: Final = len(BOOK.batches) // 2
FIRST: Final = BOOK.batches[:HALF]
REST: Final = BOOK.batches[HALF:]
RUNS: Final = [
    ScrapeRun(source="toa", listing="x" * 1000, started_at=NOON, finished_at=NOON,
              outcome="complete", reason="", events=1, markets=2, changes=3, problems={})
] * 5_000  # fmt: skip


@asynccontextmanager
async def begun(path: Path) -> AsyncIterator[Store]:
    async with open_bridge(), open_store(f"sqlite:///{path}") as store:
        await store.begin()
        yield store


def rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        ((count,),) = database.execute("SELECT count(*) FROM odds_history").fetchall()
    return int(count)


def other(path: Path) -> Path:
    """Make another database beside a path."""
    path = path.with_name("other.db")
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE notes (note TEXT)")
    return path


def retained(store: Store) -> Awaitable[object]:
    return store.retain(Retention(history=timedelta(0)), datetime.now(UTC))


WRITES: Final[dict[str, Callable[[Store], Awaitable[object]]]] = {
    "changes": lambda store: store.write(WriteGroup(REST)),
    "confirmations": lambda store: store.write(WriteGroup((), list(BOOK.confirmed.values()))),
    "asks": lambda store: store.put_asks({}),
    "retention": retained,
    "a letter again": lambda store: store.retry_dead_letter(1),
    "a letter dropped": lambda store: store.drop_dead_letter(1),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
async def test_nothing_is_written_while_the_file_is_moved_away(
    tmp_path: Path, write: Callable[[Store], Awaitable[object]]
) -> None:
    path, away = tmp_path / "odds.db", tmp_path / "away.db"
    async with begun(path) as store:
        await store.write(WriteGroup(FIRST))
        path.rename(away)
        with pytest.raises(StorageUnavailable, match="was moved away; put it back"):
            await write(store)
        assert not path.exists(), "SQLite made a new one"
        assert len(await store.history(0, ALL, ALL)) == FIRST[-1].last_revision  # readers go on
        away.rename(path)
        await write(store)
        await store.write(WriteGroup(REST))
    assert rows(path) == len(BOOK.log) or write is retained


async def test_a_deleted_file_takes_no_more_changes(tmp_path: Path) -> None:
    path = tmp_path / "odds.db"
    async with begun(path) as store:
        path.unlink()
        with pytest.raises(StorageUnavailable, match="was deleted"):
            await store.write(WriteGroup(FIRST))
        assert not path.exists()


async def test_another_file_in_its_place_is_left_alone(tmp_path: Path) -> None:
    path, away = tmp_path / "odds.db", tmp_path / "away.db"
    async with begun(path) as store:
        await store.write(WriteGroup(FIRST))
        path.rename(away)
        other(path).rename(path)
        content = path.read_bytes()
        for _ in range(2):
            with pytest.raises(StorageUnavailable, match="another file is in its place"):
                await store.write(WriteGroup(REST))
        # More readers at once than open connections: none of them opens the other file.
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(_read_or_be_refused, store)
        assert path.read_bytes() == content
        away.replace(path)
        await store.write(WriteGroup(REST))
        assert await store.history(0, ALL, ALL) == BOOK.log
    assert rows(path) == len(BOOK.log)


async def _read_or_be_refused(store: Store) -> None:
    with suppress(StorageUnavailable):
        assert await store.history(0, ALL, ALL) == [c for b in FIRST for c in b.changes]


async def test_a_commit_into_a_file_that_is_moved_meanwhile_is_not_called_durable(
    tmp_path: Path,
) -> None:
    path, away = tmp_path / "odds.db", tmp_path / "away.db"
    async with begun(path) as store:
        engine = database_of(store).engine.sync_engine

        def move(_: Connection) -> None:
            path.rename(away)

        event.listen(engine, "begin", move)  # after BEGIN IMMEDIATE, whose listener is older
        with pytest.raises(StorageUnavailable, match="moved away"):
            await store.write(WriteGroup(FIRST))
        event.remove(engine, "begin", move)
        away.rename(path)
        await store.write(WriteGroup(FIRST))  # a repeat is harmless
        await store.write(WriteGroup(REST))
        assert await store.history(0, ALL, ALL) == BOOK.log


def database_of(store: Store) -> Sqlite:
    assert isinstance(store, DatabaseStore)
    assert isinstance(store._database, Sqlite)
    return store._database


async def test_the_writer_retries_with_the_reason_and_goes_on_by_itself(tmp_path: Path) -> None:
    path, away = tmp_path / "odds.db", tmp_path / "away.db"
    async with open_bridge(), open_store(f"sqlite:///{path}") as store:
        first = await store.begin()
        feed, queue = ChangeFeed(first.epoch, 0), WriteQueue()
        writer = Writer(store, queue, feed)
        path.rename(away)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            for batch in BOOK.batches:
                with feed.lock:
                    feed.append_locked(batch, NOON)
                queue.put(batch)
            await wait_until(lambda: writer.retries > 1, "two retries")
            assert writer.report().state == "retrying"
            assert "moved away" in writer.report().reason
            assert feed.durable_revision == 0
            away.rename(path)
            with trio.fail_after(30):
                await writer.committed(len(BOOK.log))
            queue.close()
        assert writer.report().reason == ""
    assert rows(path) == len(BOOK.log)


@pytest.mark.logs_errors  # the refused changes
async def test_a_full_disk_is_named_wherever_it_shows(tmp_path: Path) -> None:
    """SQLite rolls the transaction back by itself, and the end of a savepoint in it fails."""
    long = Story(random_series(5, 150))

    def keep_few_pages(connection: Connection) -> None:
        """Let rows go to the disk as they come, as those of a large transaction do."""
        connection.exec_driver_sql("PRAGMA cache_size=10")

    with small_disk(tmp_path / "disk", 2**24) as disk:
        path = disk.folder / "odds.db"
        async with begun(path) as store:
            with closing(sqlite3.connect(path)) as database:  # so that savepoints are needed
                database.execute(
                    "CREATE TRIGGER refused BEFORE INSERT ON odds_history WHEN NEW.kind <> 0 AND"
                    " NEW.revision % 50 = 0 BEGIN SELECT RAISE(ABORT, 'refused'); END"
                )
            event.listen(database_of(store).engine.sync_engine, "begin", keep_few_pages)
            disk.fill()
            for content in (WriteGroup(long.batches), WriteGroup((), (), RUNS)):
                with pytest.raises(StorageUnavailable, match="database or disk is full"):
                    await store.write(content)
            disk.free()
            assert await store.write(WriteGroup(long.batches)) == len(long.log) // 50
            assert (await store.verify()).faulty == 0


@pytest.mark.parametrize("lost", [["-wal"], ["-shm"], ["-wal", "-shm"]], ids=" ".join)
async def test_a_removed_wal_is_made_anew_with_nothing_lost(
    tmp_path: Path, lost: list[str]
) -> None:
    path = tmp_path / "odds.db"
    async with begun(path) as store:
        await store.write(WriteGroup(FIRST))
        for suffix in lost:
            path.with_name(path.name + suffix).unlink()
        await store.write(WriteGroup(REST))
        assert path.with_name("odds.db-wal").exists()
        assert rows(path) == len(BOOK.log)  # as another program sees it
        assert await store.history(0, ALL, ALL) == BOOK.log
        copy = tmp_path / "copy"
        copy.mkdir()  # as a power cut would leave the files
        for suffix in ("", "-wal"):
            shutil.copy(path.with_name(path.name + suffix), copy)
    async with begun(copy / "odds.db") as store:
        assert await store.history(0, ALL, ALL) == BOOK.log
        assert (await store.verify()).faulty == 0


async def test_a_removed_wal_waits_for_the_reads_that_use_it(tmp_path: Path) -> None:
    path = tmp_path / "odds.db"
    async with begun(path) as store:
        await store.write(WriteGroup(FIRST))
        ends = trio.Event()
        async with trio.open_nursery() as nursery:
            await nursery.start(_long_read, store, ends)
            path.with_name("odds.db-wal").unlink()
            with pytest.raises(
                StorageUnavailable, match="-wal was removed; it is made anew when 1"
            ):
                await store.write(WriteGroup(REST))
            ends.set()
        await store.write(WriteGroup(REST))
    assert rows(path) == len(BOOK.log)


async def _long_read(store: Store, ends: trio.Event, *, task_status: trio.TaskStatus[None]) -> None:
    """Hold a reading transaction open until an event is set."""

    async def aio_read() -> None:
        async with database_of(store).reading() as connection:
            await connection.execute(text("SELECT count(*) FROM odds_history"))
            task_status.started()
            while not ends.is_set():  # noqa: ASYNC110  # the event is Trio's
                await asyncio.sleep(0.01)

    await aio(aio_read)


def owner_of(path: Path) -> "subprocess.CompletedProcess[str]":
    """Start another service's way of owning a file, and return its outcome."""
    program = (
        "import sys, pathlib\nfrom odds_service.storage.sqlite_file import owned\n"
        "with owned(pathlib.Path(sys.argv[1])): print('owned')"
    )
    return subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["same", "symbolic link", "hard link", "lock removed"])
async def test_a_second_service_is_refused_under_every_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "odds.db"
    second = path
    async with begun(path) as store:
        if name == "symbolic link":
            (tmp_path / "folder").mkdir()
            second = tmp_path / "folder" / "link.db"
            second.symlink_to(path)
        elif name == "hard link":
            second = tmp_path / "hard.db"
            second.hardlink_to(path)
        elif name == "lock removed":
            path.with_name("odds.db.lock").unlink()
        refused = owner_of(second)
        assert "is in use by another odds-service" in refused.stderr
        await store.write(WriteGroup(BOOK.batches))
    assert owner_of(second).stdout.endswith("owned\n")


async def test_a_service_through_a_symbolic_link_keeps_to_the_file_behind_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "folder").mkdir()
    path, link = tmp_path / "folder" / "odds.db", tmp_path / "link.db"
    link.symlink_to(path)
    async with begun(link) as store:
        await store.write(WriteGroup(FIRST))
        link.unlink()
        link.symlink_to(other(path))
        with pytest.raises(StorageUnavailable, match="another file is in its place"):
            await store.write(WriteGroup(REST))
        link.unlink()
        link.symlink_to(path)
        await store.write(WriteGroup(REST))
    assert rows(path) == len(BOOK.log)


def killed_with(path: Path) -> None:
    """Write a log to a database in another process, which is then killed."""
    program = """
import os, sys, trio
from pathlib import Path
from odds_service.store import WriteGroup
from tests.storage.test_sqlite_file import BOOK, begun
async def main():
    async with begun(Path(sys.argv[1])) as store:
        await store.write(WriteGroup(BOOK.batches))
        os.kill(os.getpid(), 9)
trio.run(main)
"""
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False, timeout=60)
    assert done.returncode == -9


async def test_a_start_after_a_crash_checks_the_file(tmp_path: Path) -> None:
    path = tmp_path / "odds.db"
    killed_with(path)
    with structlog.testing.capture_logs() as logs:
        async with begun(path) as store:
            assert await store.history(0, ALL, ALL) == BOOK.log
    said = [entry["event"] for entry in logs]
    assert said[:2] == ["unclean_end", "quick_check_passed"]
    with structlog.testing.capture_logs() as logs:
        async with begun(path):
            pass
    assert "unclean_end" not in [entry["event"] for entry in logs]


async def _is_refused(path: Path, says: str) -> None:
    async with open_bridge():
        with pytest.raises(StorageError, match=says):
            async with open_store(f"sqlite:///{path}"):
                pytest.fail("it opened")


async def test_a_damaged_file_is_refused_and_the_remedy_named(tmp_path: Path) -> None:
    path = tmp_path / "odds.db"
    async with begun(path) as store:
        await store.write(WriteGroup(BOOK.batches))
    with closing(sqlite3.connect(path)) as database:
        query = "SELECT rootpage FROM sqlite_schema WHERE name = 'odds_history'"
        ((page,),) = database.execute(query).fetchall()
        ((size,),) = database.execute("PRAGMA page_size").fetchall()
    killed_with(path)
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(os.urandom(size))
    before = path.read_bytes()
    for _ in range(2):  # a refused start does not forget that the end was unclean
        await _is_refused(path, r"is damaged .*odds-service db restore")
    assert path.read_bytes() == before


async def test_a_check_that_is_cancelled_ends_at_once_and_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "odds.db"
    killed_with(path)
    checking = threading.Event()

    def endless(self: SqliteFile, connection: sqlite3.Connection) -> None:
        query = (
            "WITH RECURSIVE n AS (SELECT 1 UNION ALL SELECT 1 FROM n),"
            " d AS (SELECT count(*) FROM odds_history) SELECT count(*) FROM n, d"
        )
        checking.set()
        with closing(connection), pytest.raises(sqlite3.OperationalError, match="interrupted"):
            connection.execute(query)

    with monkeypatch.context() as patched:
        patched.setattr(SqliteFile, "quick_check", endless)
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_begin_only, path)
                await wait_until(checking.is_set, "the check")
                nursery.cancel_scope.cancel()
    with structlog.testing.capture_logs() as logs:
        async with begun(path) as store:
            assert await store.history(0, ALL, ALL) == BOOK.log
    assert "quick_check_passed" in [entry["event"] for entry in logs]


async def _begin_only(path: Path) -> None:
    async with begun(path):
        pass


async def test_half_a_database_is_refused(tmp_path: Path) -> None:
    path, away = tmp_path / "odds.db", tmp_path / "away.db"
    killed_with(path)
    path.rename(away)
    wal = path.with_name("odds.db-wal").read_bytes()
    assert wal
    await _is_refused(path, "odds.db-wal is there and holds changes of it")
    assert not path.exists()
    assert path.with_name("odds.db-wal").read_bytes() == wal
    away.rename(path)
    async with begun(path) as store:
        assert await store.history(0, ALL, ALL) == BOOK.log


@contextmanager
def reader(path: Path) -> Iterator[sqlite3.Connection]:
    """Read in another connection for as long as the context is open."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN")
        database.execute("SELECT count(*) FROM odds_history").fetchall()
        yield database


async def test_overlapping_readers_do_not_let_the_wal_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no moment without a reader, and each of them ends soon."""
    monkeypatch.setattr(sqlite_module, "WAL_BYTES", 200_000)
    # A busy machine may hold a reader up for longer than an emptying waits.
    monkeypatch.setattr(sqlite_module, "EMPTYING_S", 0.0)
    path, wal = tmp_path / "odds.db", tmp_path / "odds.db-wal"
    stop, reads, sizes = threading.Event(), itertools.count(), []

    def read() -> None:
        with ExitStack() as last:
            while not stop.is_set():
                with ExitStack() as earlier:
                    earlier.push(last.pop_all())
                    last.enter_context(reader(path))
                next(reads)
                stop.wait(0.01)

    async with begun(path) as store, trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, read)
        for batch in Story(random_series(3, 150)).batches:
            await store.write(WriteGroup([batch]))
            sizes.append(wal.stat().st_size)
        stop.set()
    assert next(reads) > 10
    # Where SQLite empties it by itself it never gets smaller, and reaches 3 MB.
    assert max(sizes) < 1_000_000
    assert 0 in sizes


async def test_a_long_reader_holds_the_wal_only_until_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "WAL_BYTES", 100_000)
    monkeypatch.setattr(sqlite_module, "_WARN_BYTES", 200_000)
    monkeypatch.setattr(sqlite_module, "EMPTYING_S", 0.0)
    monkeypatch.setattr(sqlite_file_module, "READER_WAIT_S", 0.05)
    path, wal = tmp_path / "odds.db", tmp_path / "odds.db-wal"
    batches = iter(Story(random_series(4, 200)).batches)
    async with begun(path) as store:
        with structlog.testing.capture_logs() as logs, reader(path):
            while wal.stat().st_size < 300_000:
                await store.write(WriteGroup([next(batches)]))
        assert [entry["event"] for entry in logs].count("wal_grows") == 1
        assert store.wal_bytes == wal.stat().st_size
        await store.write(WriteGroup([next(batches)]))
        assert store.wal_bytes == wal.stat().st_size == 0


async def test_a_read_of_the_service_is_ended_at_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "READ_S", 0.2)

    async def aio_endless(connection: AsyncConnection) -> None:
        await connection.execute(
            text("WITH RECURSIVE n AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n")
        )

    async with begun(tmp_path / "odds.db") as store:
        assert isinstance(store, DatabaseStore)
        with trio.fail_after(30), pytest.raises(StorageUnavailable, match="a read was ended after"):
            await store._read(aio_endless)
        await store.write(WriteGroup(BOOK.batches))


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
async def test_all_files_are_for_their_owner_only(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "odds.db"
    before = os.umask(umask)
    try:
        async with begun(path) as store:
            await store.write(WriteGroup(FIRST))
            store.spill(REST)
            assert modes(tmp_path) == dict.fromkeys(
                ("odds.db", "odds.db-wal", "odds.db-shm", "odds.db.lock", "odds.db.spill"), "0600"
            )
    finally:
        os.umask(before)


async def test_files_that_others_may_read_are_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "odds.db"
    killed_with(path)
    for suffix in ("", "-wal", "-shm", ".lock"):
        path.with_name(path.name + suffix).chmod(0o664)
    with structlog.testing.capture_logs() as logs:
        async with begun(path):
            assert set(modes(tmp_path).values()) == {"0600"}
    narrowed = [entry["path"] for entry in logs if entry["event"] == "file_made_private"]
    assert sorted(narrowed) == sorted(f"{path}{suffix}" for suffix in ("", "-wal", "-shm", ".lock"))


def modes(folder: Path) -> dict[str, str]:
    return {file.name: f"{stat.S_IMODE(file.stat().st_mode):04o}" for file in folder.iterdir()}
