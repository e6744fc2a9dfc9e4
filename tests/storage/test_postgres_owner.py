"""Hand-over of a PostgreSQL database: renewals, the standby, owners that hang or come back."""

import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio

from odds_service.bridge import open_bridge
from odds_service.errors import StorageError, StorageUnavailable, Superseded
from odds_service.storage import open_store, postgres_owner
from odds_service.storage.postgres_owner import LOOK_S
from odds_service.store import Store, WriteGroup
from tests.support.command_line import ENVIRONMENT
from tests.support.databases import PostgresPlace
from tests.support.owning import renew
from tests.support.postgres import PostgresServer, postgres_server
from tests.support.stories import SERIES, Story

ALL = 10**9
# From a pause to the standby's lock: 5.5 s, and as much for a machine that is busy. If nobody ended
# the owner, it would take until the owner wakes up.
TAKEN_S = 11.0

_HOLDERS = (
    "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
    " WHERE locktype = 'advisory' AND datname = current_database()"
)


@pytest.fixture
def place(postgres: PostgresServer, tmp_path: Path) -> PostgresPlace:
    return PostgresPlace(tmp_path, postgres)


class Owner:
    """A process of tests.support.owning."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    async def says(self, wanted: str) -> str:
        """Return its next line that begins with a text."""
        assert self.process.stdout is not None
        with trio.fail_after(60):
            while True:
                line = await trio.to_thread.run_sync(self.process.stdout.readline)
                assert line, "it ended"
                if line.startswith(wanted):
                    return line.strip()


@contextmanager
def owner_of(place: PostgresPlace, how: str = "writing") -> Iterator[Owner]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.owning", place.url, str(place.folder), how],
        stdout=subprocess.PIPE, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    try:
        yield Owner(process)
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.communicate(timeout=60)


@asynccontextmanager
async def standing_by(place: PostgresPlace) -> AsyncIterator[Store]:
    async with open_store(
        place.url, migrate=True, spill_folder=place.folder, standby=True
    ) as store:
        yield store


async def test_a_standby_takes_a_free_lock_at_once_and_a_stopped_owners_soon(
    place: PostgresPlace,
) -> None:
    async with open_bridge(), trio.open_nursery() as nursery:
        stopped = trio.Event()

        async def own(task_status: trio.TaskStatus[Store]) -> None:
            async with standing_by(place) as store:
                await store.fence()
                await store.open_epoch()
                await store.renew()
                task_status.started(store)
                await stopped.wait()

        with trio.fail_after(60):
            await nursery.start(own)
        nursery.start_soon(_after, 1.0, stopped)
        began = trio.current_time()
        with trio.fail_after(60):
            async with standing_by(place) as second:
                assert 1.0 <= trio.current_time() - began < 10.0
                assert stopped.is_set()
                assert place.value("SELECT owner_until IS NULL FROM feed_owner") == "t"
                await second.fence()


async def _after(seconds: float, event: trio.Event) -> None:
    await trio.sleep(seconds)
    event.set()


async def test_a_paused_owner_is_ended_and_superseded_when_it_wakes(place: PostgresPlace) -> None:
    story = Story(SERIES)
    with owner_of(place) as owner:
        await owner.says("owns")
        async with open_bridge():
            owner.process.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            with trio.fail_after(60):
                async with standing_by(place) as store, trio.open_nursery() as nursery:
                    assert time.monotonic() - began < TAKEN_S
                    nursery.start_soon(renew, store)
                    await store.fence()
                    await store.open_epoch()
                    owner.process.send_signal(signal.SIGCONT)
                    assert await owner.says("ended by") == "ended by Superseded"
                    await store.write(WriteGroup(story.batches))
                    await store.renew()
                    assert place.value(_HOLDERS) == "1"
                    nursery.cancel_scope.cancel()


async def test_an_owner_paused_in_a_transaction_does_not_hold_the_fence_up(
    place: PostgresPlace,
) -> None:
    with owner_of(place, "locked") as owner:
        await owner.says("locked")
        async with open_bridge():
            owner.process.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            with trio.fail_after(60):
                async with standing_by(place) as store:
                    await store.fence()
                    assert time.monotonic() - began < TAKEN_S + 2.0
                    await store.open_epoch()
                    owner.process.send_signal(signal.SIGCONT)
                    await owner.says("ended by")
                    await store.write(WriteGroup(Story(SERIES).batches))


async def test_an_owner_with_a_slow_transaction_that_renews_is_left_alone(
    place: PostgresPlace,
) -> None:
    story = Story(SERIES)
    async with place.begun() as (store, _), trio.open_nursery() as nursery:
        nursery.start_soon(renew, store)
        await trio.sleep(0.5)
        locked = "BEGIN; SELECT * FROM feed_state FOR UPDATE; SELECT pg_sleep(10); COMMIT"
        nursery.start_soon(trio.to_thread.run_sync, place.sql, locked)
        with trio.move_on_after(12) as waited:
            async with standing_by(place):
                pytest.fail("it took the lock")
        assert waited.cancelled_caught
        await store.write(WriteGroup(story.batches))
        assert await store.history(0, ALL, ALL) == story.log
        nursery.cancel_scope.cancel()


async def test_an_owner_that_never_renewed_is_never_ended(place: PostgresPlace) -> None:
    async with open_bridge():
        async with place.opened() as store:
            await store.fence()
            await store.renew()
            await store.open_epoch()
        # The promise of a crashed owner must not count against the next one.
        place.sql("UPDATE feed_owner SET owner_until = now() - interval '1 hour'")
        async with place.opened() as store:
            await store.begin()
            with trio.move_on_after(5) as waited:
                async with standing_by(place):
                    pytest.fail("it took the lock")
            assert waited.cancelled_caught
            await store.write(WriteGroup(Story(SERIES).batches))


async def test_only_the_owner_of_this_schema_is_ended(place: PostgresPlace) -> None:
    """Another schema of the same database has a silent owner of its own."""
    place.sql("CREATE SCHEMA other")
    other = place.url + "?options=-c%20search_path%3Dother"
    async with open_bridge(), open_store(other, migrate=True, spill_folder=place.folder) as beside:
        await beside.fence()
        await beside.open_epoch()
        with owner_of(place) as owner:
            await owner.says("owns")
            owner.process.send_signal(signal.SIGSTOP)
            with trio.fail_after(60):
                async with standing_by(place) as store:
                    await store.fence()
                    await beside.write(WriteGroup(Story(SERIES).batches))
                    assert place.value(_HOLDERS) == "2"


async def test_the_owner_that_is_named_is_of_this_database_and_schema(
    place: PostgresPlace, postgres: PostgresServer, tmp_path: Path
) -> None:
    place.sql("CREATE SCHEMA other")
    other = place.url + "?options=-c%20search_path%3Dother"
    elsewhere = PostgresPlace(tmp_path, postgres)
    async with (
        open_bridge(),
        open_store(other, migrate=True, spill_folder=tmp_path),
        elsewhere.opened(),
        place.opened(),
    ):
        mine = (
            "SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database"
            " WHERE locktype = 'advisory' AND datname = current_database()"
        )
        assert len(place.sql(mine)) == 2
        named = set()
        for url in (place.url, other):
            with pytest.raises(StorageError, match="in use by another") as refused:
                async with open_store(url, migrate=True, spill_folder=tmp_path):
                    pytest.fail("it opened")
            assert str(refused.value).count("(pid ") == 1
            named.add(str(refused.value).partition("(pid ")[2].rstrip(")"))
        assert named == {pid for (pid,) in place.sql(mine)}


async def test_a_renewal_does_not_take_a_lost_ownership_back(place: PostgresPlace) -> None:
    """Two stores: the first loses its lock to the second, and gets it offered again."""
    async with open_bridge(), place.opened() as first:
        await first.fence()
        await first.open_epoch()
        await first.renew()
        _end_holders(place)
        async with standing_by(place) as second:
            # The second has the lock but has not fenced: nobody else may write yet.
            await first.write(WriteGroup())
            with pytest.raises(StorageUnavailable, match="in use by another odds-service"):
                await _until_it_is_told(first)
            await second.fence()
            await second.open_epoch()
            with pytest.raises(Superseded):
                await first.renew()
            with pytest.raises(Superseded):
                await first.write(WriteGroup())
            await second.renew()
        # The lock is free: still nothing for the first.
        for _ in range(2):
            with pytest.raises(Superseded):
                await first.renew()
        assert place.value(_HOLDERS) == "0"
        assert place.value("SELECT owner_until IS NULL FROM feed_owner") == "t"


async def test_a_renewal_takes_a_lock_that_nobody_took_meanwhile(place: PostgresPlace) -> None:
    async with open_bridge(), place.opened() as store:
        await store.fence()
        await store.renew()
        _end_holders(place)
        assert place.value(_HOLDERS) == "0"
        with trio.fail_after(30):
            while True:
                try:
                    await store.renew()
                    break
                except StorageUnavailable:
                    await trio.sleep(0.1)
        assert place.value(_HOLDERS) == "1"
        assert place.value("SELECT owner_until > now() FROM feed_owner") == "t"


def _end_holders(place: PostgresPlace) -> None:
    place.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database ON oid = database"
        " WHERE locktype = 'advisory' AND datname = current_database()"
    )


async def _until_it_is_told(store: Store) -> None:
    """Renew until the trouble is not that of the lost session."""
    with trio.fail_after(30):
        while True:
            try:
                await store.renew()
            except StorageUnavailable as error:
                if "in use" in str(error):
                    raise
            await trio.sleep(0.1)


async def test_after_the_server_restarts_the_owner_has_its_lock_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The standby stays back for longer than a busy machine may keep the owner from coming back."""
    monkeypatch.setattr(postgres_owner, "AFTER_TROUBLE_S", 60.0)
    with postgres_server() as server:
        place = PostgresPlace(tmp_path, server)
        async with open_bridge(), place.opened() as store, trio.open_nursery() as nursery:
            await store.fence()
            await store.open_epoch()
            nursery.start_soon(renew, store)
            nursery.start_soon(_fail_once_taken, place)
            for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL, signal.SIGINT):
                await trio.sleep(2.5)
                await trio.to_thread.run_sync(server.stop, how)
                await trio.to_thread.run_sync(server.start)
                await _held(place)
                await trio.sleep(LOOK_S)
            await _stored_at_last(store)
            nursery.cancel_scope.cancel()


async def _held(place: PostgresPlace) -> None:
    """Wait until somebody has the lock; the owner renews meanwhile, however long a query takes."""
    with trio.fail_after(60):
        while await trio.to_thread.run_sync(place.value, _HOLDERS) != "1":  # noqa: ASYNC110  # the server tells nobody
            await trio.sleep(0.02)


async def _fail_once_taken(place: PostgresPlace) -> None:
    async with standing_by(place):
        pytest.fail("the standby took the lock of a live owner")


async def _stored_at_last(store: Store) -> None:
    with trio.fail_after(30):
        while True:
            try:
                await store.write(WriteGroup(Story(SERIES).batches))
            except StorageUnavailable:
                await trio.sleep(0.1)
            else:
                return


async def test_a_standby_waits_out_what_befalls_the_server(tmp_path: Path) -> None:
    with postgres_server() as server:
        place = PostgresPlace(tmp_path, server)
        with owner_of(place) as owner:
            await owner.says("owns")
            taken = trio.Event()

            async def stand_by() -> None:
                async with standing_by(place) as store:
                    await store.fence()
                    taken.set()

            async with open_bridge(), trio.open_nursery() as nursery:
                nursery.start_soon(stand_by)
                await trio.sleep(1.0)
                await trio.to_thread.run_sync(server.stop, signal.SIGQUIT)
                owner.process.kill()
                await trio.sleep(2.0)
                assert not taken.is_set()
                await trio.to_thread.run_sync(server.start)
                with trio.fail_after(60):
                    await taken.wait()


@pytest.mark.parametrize("url", ["memory:", "sqlite:///odds.db"])
async def test_only_postgresql_has_a_standby(url: str) -> None:
    async with open_bridge():
        with pytest.raises(StorageError, match="only PostgreSQL"):
            async with open_store(url, standby=True):
                pytest.fail("it opened")


async def test_a_tool_renews_nothing(place: PostgresPlace) -> None:
    async with place.begun(), place.opened(owner=False) as tool:
        with pytest.raises(StorageError, match="only the owner"):
            await tool.renew()
