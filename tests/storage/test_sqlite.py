"""The SQLite store: what was written is read back, repeats are no-ops, one process at a time."""

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
import trio

from odds_service.bridge import open_bridge
from odds_service.errors import StorageError, StorageUnavailable, Superseded
from odds_service.feed import ChangeFeed
from odds_service.model.change import ChangeBatch
from odds_service.model.market import MarketKey
from odds_service.model.scrape_run import ScrapeRun
from odds_service.pipeline.channels import WriteQueue
from odds_service.pipeline.write import Writer
from odds_service.storage import Store, WriteGroup, open_store
from tests.support.observations import NOON, Book, Offer, cached, fold, observe, offered

H2H, TOTALS, MOVED = MarketKey("h2h"), MarketKey("totals", "2.5"), MarketKey("totals", "3")

SERIES: list[Offer] = [
    {"e": {"b": {H2H: {"home": 2.0, "away": None}, TOTALS: {"over": 1.9}}}, "f": {"b": {}}},
    {"e": {"b": {H2H: {"home": 2.1, "away": 1.8}, MOVED: {"over": 1.9}}, "c": {H2H: {"home": 3}}}},
    {"e": {"b": {H2H: {"home": 2.1, "away": 1.8}}}},
    {},
    {},
    {"e": {"b": {MOVED: {"over": 2.2}, MarketKey("totals", ""): {"over": 2.0}}}},
    {"e": {"b": {MOVED: {"over": 2.2}, MarketKey("totals", "0"): {"over": 2.0}}}},
]


def url(path: Path) -> str:
    return f"sqlite:///{path / 'odds.db'}"


def written(series: list[Offer]) -> tuple[Book, list[ChangeBatch]]:
    book = Book()
    batches = []
    for minute, offer in enumerate(series):
        found = book.see(observe(offered(offer), minute))
        if found.changes:
            batches.append(ChangeBatch(found.changes, found.snapshots, found.event_sources))
    return book, batches


@pytest.mark.parametrize("at_once", [1, 100])
async def test_the_log_and_the_live_odds_come_back(tmp_path: Path, at_once: int) -> None:
    for cut in range(1, len(SERIES) + 1):
        folder = tmp_path / str(cut)
        folder.mkdir()
        book, batches = written(SERIES[:cut])
        async with open_bridge():
            async with open_store(url(folder)) as store:
                await store.begin()
                for start in range(0, len(batches), at_once):
                    await store.write(WriteGroup(batches[start : start + at_once]))
                assert await store.history(0, 10**9, 10**6) == book.log
                assert await store.history(3, 6, 2) == book.log[3:5]
            async with open_store(url(folder)) as store:
                stored = await store.begin()
        live = {entry.event.id: entry for entry in stored.events}
        assert cached(live) == cached(book.events) == fold(book.log)
        assert live.keys() == book.events.keys()
        assert stored.revision == len(book.log)
        for event_id, entry in live.items():
            expected = book.events[event_id]
            assert entry.event == expected.event
            assert entry.sources["toa"].listing == "soccer_epl"
            assert {k: o.snapshot_id for k, o in entry.bookmakers.items()} == {
                k: o.snapshot_id for k, o in expected.bookmakers.items()
            }


async def test_a_repeat_after_a_lost_reply_is_a_no_op(tmp_path: Path) -> None:
    book, batches = written(SERIES)
    async with open_bridge(), open_store(url(tmp_path)) as store:
        await store.begin()
        await store.write(WriteGroup(batches[:3]))
        await store.write(WriteGroup(batches[:3]))
        await store.write(WriteGroup(batches[3:]))
        await store.write(WriteGroup(batches[3:]))
        assert await store.history(0, 10**9, 10**6) == book.log


async def test_epochs_follow_each_other_and_an_old_owner_is_told(tmp_path: Path) -> None:
    book, batches = written(SERIES)
    async with open_bridge():
        async with open_store(url(tmp_path)) as store:
            first = await store.begin()
            await store.write(WriteGroup(batches))
            with sqlite3.connect(tmp_path / "odds.db") as other:
                other.execute("UPDATE feed_state SET epoch = 'foreign'")
            other.close()
            with pytest.raises(Superseded):
                await store.write(WriteGroup(batches))
        async with open_store(url(tmp_path)) as store:
            second = await store.begin()
    assert first.epochs == [(first.epoch, 1)]
    assert second.epochs == [(first.epoch, 1), (second.epoch, len(book.log) + 1)]
    assert second.last_detected_at == book.log[-1].detected_at


async def test_a_second_process_is_refused(tmp_path: Path) -> None:
    async with open_bridge(), open_store(url(tmp_path)):
        with pytest.raises(StorageError, match="in use by another"):
            async with open_store(url(tmp_path)):
                pytest.fail("it was let in")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nonsense", "no URL"),
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
    book, batches = written(SERIES)
    async with open_bridge(), open_store(url(tmp_path)) as store:
        await store.begin()
        feed = ChangeFeed("e", 0)
        queue = WriteQueue()
        away = Away(store, outage)
        writer = Writer(away, queue, feed)  # type: ignore[arg-type]  # it passes all calls on
        for batch in batches:
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


async def test_another_programs_lock_is_waited_for(tmp_path: Path) -> None:
    _, batches = written(SERIES)
    async with open_bridge(), open_store(url(tmp_path)) as store:
        await store.begin()
        other = sqlite3.connect(tmp_path / "odds.db")
        other.execute("BEGIN IMMEDIATE")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.write, WriteGroup(batches))
            await trio.sleep(0.2)
            other.rollback()
        other.close()
        assert len(await store.history(0, 10**9, 10**6)) == batches[-1].last_revision


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
    book, batches = written(SERIES)
    async with open_bridge():
        async with open_store(url(tmp_path)) as store:
            first = await store.begin()
            feed, queue = ChangeFeed(first.epoch, 0), WriteQueue()
            held = Held(store, state)
            writer = Writer(held, queue, feed)  # type: ignore[arg-type]  # it only writes
            async with trio.open_nursery() as nursery:
                nursery.start_soon(writer.run)
                if state != "waiting":
                    for batch in batches:
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
