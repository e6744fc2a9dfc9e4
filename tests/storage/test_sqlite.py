"""SQLite's own behaviour, and cancellation of the writer in every state."""

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
import trio
from sqlalchemy import Connection

from odds_service.bridge import open_bridge
from odds_service.errors import StorageError, StorageUnavailable
from odds_service.feed import ChangeFeed
from odds_service.model.scrape_run import ScrapeRun
from odds_service.pipeline.channels import WriteQueue
from odds_service.pipeline.write import Writer
from odds_service.storage import open_store
from odds_service.storage import sqlite as sqlite_module
from odds_service.store import Store, WriteGroup
from tests.support.observations import NOON
from tests.support.serving import wait_until
from tests.support.stories import SERIES, Story


def url(path: Path) -> str:
    return f"sqlite:///{path / 'odds.db'}"


async def test_what_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "odds.db").write_text("this is a letter to my aunt, not a database")
    (tmp_path / "folder").mkdir()
    async with open_bridge():
        for place, says in (("odds.db", "not a database"), ("folder", "this is no file")):
            with pytest.raises(StorageError, match=says) as caught:
                async with open_store(f"sqlite:///{tmp_path / place}"):
                    pytest.fail("it opened")
            assert str(tmp_path / place) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nonsense", "not a URL"),
        ("mysql://u:hunter2@h/d", "mysql is not supported"),
        ("sqlite://", "names no file"),
        ("sqlite:////no/such/folder/odds.db", "does not exist"),
    ],
)
async def test_a_bad_url_is_named_without_its_password(text: str, says: str) -> None:
    async with open_bridge():
        with pytest.raises(StorageError, match=says) as caught:
            async with open_store(text):
                pytest.fail("it opened")
    assert "hunter2" not in str(caught.value)


async def test_a_file_that_is_no_database_is_an_error_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / "odds.db").write_bytes(b"these are no odds" * 1000)
    async with open_bridge():
        with pytest.raises(StorageError, match="not a database"):
            async with open_store(url(tmp_path)) as store:
                await store.begin()


class Away:
    """A store whose database is away for the first `times` writes; else the real one."""

    def __init__(self, store: object, times: int) -> None:
        self._store = store
        self.times = times

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def write(self, group: WriteGroup) -> int:
        if self.times:
            self.times -= 1
            raise StorageUnavailable("away")
        return await self._store.write(group)  # type: ignore[attr-defined,no-any-return]  # any store


@pytest.mark.parametrize("outage", [0, 3])
async def test_the_writer_drains_in_order_however_often_the_database_was_away(
    tmp_path: Path, outage: int
) -> None:
    book = Story(SERIES)
    async with open_bridge(), open_store(url(tmp_path)) as store:
        await store.begin()
        feed = ChangeFeed("e", 0)
        queue = WriteQueue()
        away = Away(store, outage)
        writer = Writer(away, queue, feed)  # type: ignore[arg-type]  # it passes all calls on
        for batch in book.batches:
            with feed.lock:
                feed.append_locked(batch, NOON)
            queue.put(batch)
        for odds in book.events["e"].bookmakers.values():
            queue.confirm(odds)
        queue.record(
            ScrapeRun(source="toa", listing="soccer_epl", started_at=NOON,
                      finished_at=NOON + timedelta(seconds=1), outcome="complete", reason="",
                      events=1, markets=2, changes=3, problems={"bad_price": 1})
        )  # fmt: skip
        queue.close()
        with trio.fail_after(20):
            await writer.run()
            await writer.committed(len(book.log))
        assert feed.durable_revision == feed.head_revision == len(book.log)
        assert queue.pending_changes == 0
        assert writer.report().retries == outage
        assert await store.history(0, 10**9, 10**6) == book.log
    with sqlite3.connect(tmp_path / "odds.db") as check:
        assert check.execute("SELECT count(*) FROM scrape_runs").fetchone() == (1,)
    check.close()


async def test_another_programs_lock_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    begin = sqlite_module._begin

    def noticed(connection: Connection) -> None:
        begun.append(connection.get_execution_options().get("begin", "DEFERRED"))
        begin(connection)

    monkeypatch.setattr(sqlite_module, "_begin", noticed)
    book = Story(SERIES)
    async with open_bridge(), open_store(url(tmp_path)) as store:
        await store.begin()
        other = sqlite3.connect(tmp_path / "odds.db")
        other.execute("BEGIN IMMEDIATE")
        begun.clear()
        written = trio.Event()

        async def write() -> None:
            await store.write(WriteGroup(book.batches))
            written.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            await wait_until(lambda: "IMMEDIATE" in begun, "the write's transaction")
            await trio.sleep(0.2)  # the lock is held while the statement runs in its thread
            assert not written.is_set()
            other.rollback()
        other.close()
        assert len(await store.history(0, 10**9, 10**6)) == len(book.log)


class Held:
    """A store whose writes wait before or after the real ones, or whose database is away."""

    def __init__(self, store: Store, state: str) -> None:
        self._store = store
        self._state = state
        self.reached = trio.Event()
        self.spill = store.spill

    async def write(self, group: WriteGroup) -> int:
        if self._state == "after the commit":
            await self._store.write(group)
        self.reached.set()
        if self._state == "retrying":
            await trio.lowlevel.checkpoint()
            raise StorageUnavailable("away")
        await trio.sleep_forever()
        raise AssertionError


@pytest.mark.parametrize("state", ["waiting", "before the commit", "after the commit", "retrying"])
async def test_a_cancelled_writer_claims_nothing_and_spills_what_the_next_start_stores(
    tmp_path: Path, state: str
) -> None:
    book = Story(SERIES)
    async with open_bridge():
        async with open_store(url(tmp_path)) as store:
            first = await store.begin()
            feed, queue = ChangeFeed(first.epoch, 0), WriteQueue()
            held = Held(store, state)
            writer = Writer(held, queue, feed)  # type: ignore[arg-type]  # it only writes
            async with trio.open_nursery() as nursery:
                nursery.start_soon(writer.run)
                if state != "waiting":
                    for batch in book.batches:
                        with feed.lock:
                            feed.append_locked(batch, NOON)
                        queue.put(batch)
                    await held.reached.wait()
                nursery.cancel_scope.cancel()
            assert feed.durable_revision == 0
            assert queue.pending_changes == feed.head_revision
        assert (tmp_path / "odds.db.spill").exists() == (state != "waiting")
        async with open_store(url(tmp_path)) as store:
            stored = await store.begin()
            assert await store.history(0, 10**9, 10**6) == ([] if state == "waiting" else book.log)
            assert stored.revision == stored.replayed == feed.head_revision
            assert stored.misfits == 0
        assert not (tmp_path / "odds.db.spill").exists()
