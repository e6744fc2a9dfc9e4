"""Outages of PostgreSQL while a service runs on it: refusals at a start, delays afterwards."""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import trio
from sqlalchemy import event

from odds_service.bridge import open_bridge
from odds_service.errors import StorageError, StorageUnavailable, Superseded
from odds_service.storage import open_store
from odds_service.storage import postgres_sessions as sessions
from odds_service.storage.database_store import DatabaseStore
from odds_service.store import Store, WriteGroup
from tests.faults.proxy import Proxy
from tests.support.databases import PostgresPlace
from tests.support.postgres import PostgresServer
from tests.support.stories import SERIES, Story

ALL = 10**9
_OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'odds'"


class RolePlace(PostgresPlace):
    """A database that belongs to the role `odds`, which a test may restrict."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        super().__init__(folder, server)
        if server.psql("SELECT count(*) FROM pg_roles WHERE rolname = 'odds'") == "0":
            server.psql("CREATE ROLE odds LOGIN")
        server.psql(f"ALTER DATABASE {self.name} OWNER TO odds")
        self.url = server.url(self.name, user="odds")


@contextmanager
def _barred(place: RolePlace) -> Iterator[None]:
    place.server.psql("ALTER ROLE odds NOLOGIN")
    place.server.psql(_OTHERS)
    try:
        yield
    finally:
        place.server.psql("ALTER ROLE odds LOGIN")


@contextmanager
def _renamed(place: RolePlace) -> Iterator[None]:
    place.server.psql(_OTHERS)
    place.server.psql(f"ALTER DATABASE {place.name} RENAME TO {place.name}_away")
    try:
        yield
    finally:
        place.server.psql(f"ALTER DATABASE {place.name}_away RENAME TO {place.name}")


@contextmanager
def _without_rights(place: RolePlace) -> Iterator[None]:
    place.sql("ALTER TABLE feed_state OWNER TO postgres")
    try:
        yield
    finally:
        place.sql("ALTER TABLE feed_state OWNER TO odds")


@contextmanager
def _read_only(place: RolePlace) -> Iterator[None]:
    place.server.psql(f"ALTER DATABASE {place.name} SET default_transaction_read_only = on")
    place.server.psql(_OTHERS)
    try:
        yield
    finally:
        place.server.psql(f"ALTER DATABASE {place.name} RESET default_transaction_read_only")


@contextmanager
def _rejected(place: RolePlace) -> Iterator[None]:
    hba = Path(place.server.psql("SHOW hba_file"))
    rules = hba.read_text("utf-8")
    hba.write_text(f"host all odds all reject\n{rules}")
    place.server.psql("SELECT pg_reload_conf()")
    place.server.psql(_OTHERS)
    try:
        yield
    finally:
        hba.write_text(rules)
        place.server.psql("SELECT pg_reload_conf()")


@pytest.mark.parametrize("outage", [_barred, _renamed, _without_rights, _read_only, _rejected])
async def test_an_error_is_a_refusal_at_a_start_and_a_delay_while_running(
    postgres: PostgresServer,
    tmp_path: Path,
    outage: Callable[[RolePlace], AbstractContextManager[None]],
) -> None:
    place = RolePlace(tmp_path, postgres)
    story = Story(SERIES)
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches[:2]))
        with outage(place):
            for _ in range(3):
                with pytest.raises(StorageUnavailable):
                    await store.write(WriteGroup(story.batches[2:]))
        await _stored_at_last(store, WriteGroup(story.batches[2:]))
        assert await store.history(0, ALL, ALL) == story.log
        assert await store.count_dead_letters() == 0
    async with open_bridge():
        with outage(place), pytest.raises(StorageError) as caught:
            async with place.opened() as store:
                await store.begin()
        assert len(str(caught.value).splitlines()) == 1


async def _stored_at_last(store: Store, group: WriteGroup) -> None:
    """Write as the writer does: a reloaded pg_hba.conf takes a moment."""
    with trio.fail_after(60):
        while True:
            try:
                await store.write(group)
            except StorageUnavailable:
                await trio.sleep(0.1)
            else:
                return


async def test_a_foreign_epoch_still_ends_the_service(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    place = RolePlace(tmp_path, postgres)
    async with place.begun() as (store, _):
        with _barred(place), pytest.raises(StorageUnavailable):
            await store.write(WriteGroup(Story(SERIES).batches))
        place.take_over()
        with pytest.raises(Superseded):
            await store.write(WriteGroup(Story(SERIES).batches))


async def test_after_one_time_out_no_connection_is_waited_for(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    place = PostgresPlace(tmp_path, postgres)
    story = Story(SERIES)
    async with trio.open_nursery() as nursery:
        proxy = Proxy(postgres.port)
        await nursery.start(proxy.run)
        place.url = (
            f"postgresql://postgres@127.0.0.1:{proxy.port}/{place.name}"
            "?connect_timeout=2&options=-c%20statement_timeout%3D6s"
        )
        async with place.begun() as (store, _):
            await store.write(WriteGroup(story.batches[:2]))
            async with trio.open_nursery() as readers:
                for _ in range(5):  # so that the pool is full
                    readers.start_soon(store.history, 0, ALL, ALL)
            with proxy.silent():
                began = trio.current_time()
                with pytest.raises(StorageUnavailable, match="TimeoutError"):
                    await store.write(WriteGroup(story.batches[2:]))
                assert trio.current_time() - began < 2 * 6
            await store.write(WriteGroup(story.batches[2:]))  # at the first attempt
            assert await store.history(0, ALL, ALL) == story.log
        nursery.cancel_scope.cancel()


async def test_a_dead_network_is_found_by_the_kernel(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    place = PostgresPlace(tmp_path, postgres)
    async with place.begun() as (store, _):
        await store.oldest_revision()
        found = 0
        for each in _sockets():
            with each:
                if each.getpeername() != ("127.0.0.1", postgres.port):
                    continue
                found += 1
                assert each.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                for option, value in (
                    (socket.TCP_KEEPIDLE, sessions.KEEPALIVE_IDLE_S),
                    (socket.TCP_KEEPINTVL, sessions.KEEPALIVE_INTERVAL_S),
                    (socket.TCP_KEEPCNT, sessions.KEEPALIVE_COUNT),
                    (socket.TCP_USER_TIMEOUT, sessions.USER_TIMEOUT_S * 1000),
                ):
                    assert each.getsockopt(socket.IPPROTO_TCP, option) == value
        assert found >= 2  # the owner's too


def _sockets() -> Iterator[socket.socket]:
    """Yield duplicates of this process's connected sockets of IPv4, to be closed by the caller."""
    for name in Path("/proc/self/fd").iterdir():
        try:
            if not str(name.readlink()).startswith("socket:"):
                continue
            each = socket.fromfd(int(name.name), socket.AF_INET, socket.SOCK_STREAM)
        except OSError:
            continue  # it was closed meanwhile
        try:
            address = each.getpeername()
        except OSError:
            address = None
        if isinstance(address, tuple) and len(address) == 2:
            yield each
        else:
            each.close()


async def test_a_lost_lock_is_taken_again_and_bars_a_second_service(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    place = RolePlace(tmp_path, postgres)
    held = (
        "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
        " WHERE locktype = 'advisory' AND datname = current_database()"
    )
    story = Story(SERIES)
    async with place.begun() as (store, _):
        assert place.value(held) == "1"
        postgres.psql(_OTHERS)
        await _stored_at_last(store, WriteGroup(story.batches))
        await _stored_at_last(store, WriteGroup(story.batches))
        assert place.value(held) == "1"
        with pytest.raises(StorageError, match="in use by another odds-service"):
            async with open_store(place.url, migrate=True, spill_folder=tmp_path):
                pytest.fail("it opened")
    assert place.value(held) == "0"


async def test_the_url_sets_parameters_of_the_session(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    place = PostgresPlace(tmp_path, postgres)
    place.url += "?application_name=odds%20of%20mine&options=-c%20search_path%3Dodds,public"
    place.sql("CREATE SCHEMA odds")
    async with place.begun():
        named = "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'odds of mine'"
        assert place.value(named) == "t"
        assert place.value("SELECT count(*) FROM odds.feed_state") == "1"


@pytest.mark.logs_errors  # the refused changes
async def test_a_connection_lost_while_a_refused_row_is_isolated_is_an_outage(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """The row's refusal must not hide that nothing can be isolated on a lost connection."""
    place = RolePlace(tmp_path, postgres)
    story = Story(SERIES)
    killed: list[str] = []

    def kill(*_: object) -> None:
        if not killed:
            killed.append(postgres.psql(_OTHERS))

    async with place.begun() as (store, _):
        place.sql("ALTER TABLE odds_history ADD CHECK (kind = 0 OR revision % 7 <> 0)")
        assert isinstance(store, DatabaseStore)
        event.listen(store._database.engine.sync_engine, "rollback_savepoint", kill)
        with pytest.raises(StorageUnavailable):
            await store.write(WriteGroup(story.batches))
        assert killed
        await _stored_at_last(store, WriteGroup(story.batches))
        refused = sum(change.revision % 7 == 0 for change in story.log)
        assert await store.count_dead_letters() == refused > 0
