"""Backups of both databases beside their owner, and their restore.

A backup holds one state of the log, verified. Whatever goes wrong leaves neither half a backup nor
half a database. Whoever owned the database before a restore can write no more.
"""

import os
import stat
from pathlib import Path

import pytest
import sqlalchemy as sa

from odds_service.bridge import aio, open_bridge
from odds_service.errors import StorageError, Superseded
from odds_service.storage import migrating
from odds_service.storage.backups import back_up, restore
from odds_service.store import WriteGroup
from tests.storage.letters.test_spill import half_of
from tests.storage.test_migrating import database_of
from tests.support.databases import DatabasePlace, PostgresPlace, SqlitePlace
from tests.support.places import on_bare_databases, on_databases
from tests.support.price_rows import price_rows
from tests.support.programs import WITH_PROGRAMS
from tests.support.stories import SERIES, Story, random_series

ALL = 10**9


@pytest.fixture(autouse=True)
def _programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", WITH_PROGRAMS)


def another(place: DatabasePlace) -> DatabasePlace:
    """Return an empty place of the same kind."""
    if isinstance(place, PostgresPlace):
        return PostgresPlace(place.folder, place.server)
    folder = place.folder / "another"
    folder.mkdir()
    return SqlitePlace(folder)


@on_databases
async def test_a_backup_beside_the_owner_holds_the_log_up_to_one_revision(
    place: DatabasePlace, tmp_path: Path
) -> None:
    story = Story(SERIES + random_series(3, 30))
    first, rest = half_of(story)
    path = tmp_path / "kept"
    async with place.begun() as (store, _):
        await store.write(WriteGroup(first))
        copied = await back_up(place.url, path)
        await store.write(WriteGroup(rest))
        assert (await store.verify()).faulty == 0
        with pytest.raises(StorageError, match="in use by another odds-service"):
            await restore(place.url, path, replace=True)
    upto = first[-1].last_revision
    assert copied.verified is not None
    assert (copied.verified.revision, copied.verified.faulty) == (upto, 0)
    assert copied.size_bytes == path.stat().st_size > 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {each for each in os.listdir(tmp_path) if each.startswith("kept")} == {"kept"}
    new = another(place)
    async with open_bridge():
        restored = await restore(new.url, path, replace=False)
    assert restored.verified == copied.verified
    async with new.begun() as (store, stored):
        assert stored.revision == upto
        assert await store.history(0, ALL, ALL) == story.log[:upto]
        # The log goes on from there, on other revisions' places.
        await store.write(WriteGroup(rest))
        assert await store.history(0, ALL, ALL) == story.log
        assert (await store.verify()).faulty == 0
    async with place.begun() as (store, _):
        assert await store.history(0, ALL, ALL) == story.log


@on_databases
async def test_a_restore_replaces_only_when_told_and_forgets_what_was_there(
    place: DatabasePlace, tmp_path: Path
) -> None:
    story = Story(SERIES + random_series(4, 30))
    first, rest = half_of(story)
    path = tmp_path / "kept"
    async with place.begun() as (store, begun):
        await store.write(WriteGroup(first))
        await back_up(place.url, path)
        await store.write(WriteGroup(rest))
    upto = first[-1].last_revision
    async with open_bridge():
        with pytest.raises(StorageError, match="not empty; say --replace"):
            await restore(place.url, path, replace=False)
        with pytest.raises(StorageError, match="exists"):
            await back_up(place.url, path)
    assert place.value("SELECT durable_revision FROM feed_state") == str(len(story.log))
    async with open_bridge():
        await restore(place.url, path, replace=True)
    async with place.begun() as (store, again):
        assert await store.history(0, ALL, ALL) == story.log[:upto]
        # A cursor of the first run is good up to the backup, and no further: what was numbered
        # after it will be numbered anew.
        assert again.epochs == [(begun.epoch, 1), (again.epoch, upto + 1)]
        assert again.epoch != begun.epoch
    assert place.value("SELECT max(revision) FROM odds_prices") == str(
        max(row["revision"] for row in price_rows(story.log[:upto]))
    )


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
async def test_an_owner_that_lost_its_lock_cannot_write_into_the_restored_database(
    place: DatabasePlace, tmp_path: Path
) -> None:
    story = Story(SERIES + random_series(5, 30))
    first, rest = half_of(story)
    path = tmp_path / "kept"
    async with place.begun() as (store, _):
        await store.write(WriteGroup(first))
        await back_up(place.url, path)
        place.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid) "
            "WHERE locktype = 'advisory' AND datname = current_database()"
        )
        await restore(place.url, path, replace=True)
        with pytest.raises(Superseded):
            await store.write(WriteGroup(rest))
    async with place.begun() as (store, _):
        assert await store.history(0, ALL, ALL) == story.log[: first[-1].last_revision]


@on_databases
@pytest.mark.logs_errors
async def test_a_spill_that_continues_the_backup_is_stored_after_the_restore(
    place: DatabasePlace, tmp_path: Path
) -> None:
    story = Story(SERIES + random_series(6, 30))
    first, rest = half_of(story)
    path = tmp_path / "kept"
    async with place.begun() as (store, begun):
        await store.write(WriteGroup(first))
        store.spill(rest)
        await back_up(place.url, path)
    async with open_bridge():
        await restore(place.url, path, replace=True)
    refused = rest[-1].changes[0].revision
    place.refuse(f"revision = {refused} AND kind > 0")
    async with place.begun() as (store, again):
        assert (again.revision, again.misfits) == (len(story.log), 0)
        # Its letter is of the epoch that numbered the change.
        assert [letter.epoch for letter in await store.dead_letters()] == [begun.epoch]
        place.accept()
        assert await store.retry_dead_letter(1) == ""
        assert await store.history(0, ALL, ALL) == story.log


@on_databases
@pytest.mark.logs_errors
async def test_a_spill_from_after_the_backup_becomes_dead_letters(
    place: DatabasePlace, tmp_path: Path
) -> None:
    story = Story(SERIES + random_series(7, 30))
    first, rest = half_of(story)
    path = tmp_path / "kept"
    async with place.begun() as (store, _):
        await store.write(WriteGroup(first))
        await back_up(place.url, path)
        await store.write(WriteGroup(rest[:1]))
        store.spill(rest[1:])
    async with open_bridge():
        await restore(place.url, path, replace=True)
    async with place.begun() as (store, again):
        lost = [change for batch in rest[1:] for change in batch.changes]
        assert (again.replayed, again.misfits) == (0, len(lost))
        assert again.revision == first[-1].last_revision


@on_databases
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.98])
async def test_a_torn_backup_is_refused_and_the_database_stays(
    place: DatabasePlace, tmp_path: Path, keep: float
) -> None:
    story = Story(SERIES + random_series(8, 30))
    path = tmp_path / "kept"
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
        await back_up(place.url, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    async with open_bridge():
        with pytest.raises(StorageError) as caught:
            await restore(place.url, path, replace=True)
    assert len(str(caught.value).splitlines()) == 1
    async with place.begun() as (store, _):
        assert await store.history(0, ALL, ALL) == story.log
    assert not any(".part" in each for each in os.listdir(tmp_path))


@on_databases
async def test_faults_of_the_database_are_named_and_copied(
    place: DatabasePlace, tmp_path: Path
) -> None:
    story = Story(SERIES)
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
    place.sql("UPDATE odds_current SET status = 3 WHERE revision = "
              "(SELECT max(revision) FROM odds_current)")  # fmt: skip
    async with open_bridge():
        copied = await back_up(place.url, tmp_path / "kept")
        restored = await restore(another(place).url, tmp_path / "kept", replace=False)
    assert copied.verified is not None
    assert copied.verified.faulty == 1
    assert restored.verified == copied.verified


@on_bare_databases
async def test_an_older_schema_is_copied_as_it_is(place: DatabasePlace, tmp_path: Path) -> None:
    database = database_of(place)
    new = another(place)

    async def aio_make() -> None:
        async with database.writing() as connection:
            await connection.run_sync(lambda sync: migrating.upgrade(sync, "0003"))
            await connection.execute(sa.text(
                "INSERT INTO feed_state (one, database_id, epoch, durable_revision, floor_revision)"
                " VALUES (1, 'd', 'e', 0, 0)"
            ))  # fmt: skip
        await database.aio_dispose()

    async with open_bridge():
        await aio(aio_make)
        copied = await back_up(place.url, tmp_path / "kept")
        # A database with more tables, and newer ones, gets the tables of the backup.
        async with new.opened() as store:
            await store.begin()
        restored = await restore(new.url, tmp_path / "kept", replace=True)
    assert (copied.schema, copied.verified) == ("0003", None)
    assert (restored.schema, restored.verified) == ("0003", None)
    async with new.begun() as (store, stored):
        assert (stored.revision, stored.database_id) == (0, "d")
        assert (await store.verify()).faulty == 0


@on_bare_databases
async def test_what_is_no_backup_is_refused(place: DatabasePlace, tmp_path: Path) -> None:
    letter = tmp_path / "letter"
    letter.write_text("this is a letter to my aunt, not a database")
    async with open_bridge():
        for path in (letter, tmp_path / "absent", tmp_path):
            with pytest.raises(StorageError, match=path.name):
                await restore(place.url, path, replace=True)
        with pytest.raises(StorageError, match=r"no such file|no tables"):
            await back_up(place.url, tmp_path / "kept")
        with pytest.raises(StorageError, match="No such file or directory"):
            await back_up(place.url, tmp_path / "no" / "folder")
    assert not (tmp_path / "kept").exists()
    assert not any(".part" in each for each in os.listdir(tmp_path))


async def test_memory_has_no_backup(tmp_path: Path) -> None:
    async with open_bridge():
        with pytest.raises(StorageError, match="memory: exists only inside the service"):
            await back_up("memory:", tmp_path / "kept")


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
async def test_missing_programs_are_named(
    place: DatabasePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place.begun():
        pass
    monkeypatch.setenv("PATH", str(tmp_path))
    async with open_bridge():
        with pytest.raises(StorageError, match="pg_dump and pg_restore not found in PATH; install"):
            await back_up(place.url, tmp_path / "kept")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
async def test_a_restore_that_fails_midway_leaves_the_database_as_it_was(
    place: DatabasePlace, tmp_path: Path
) -> None:
    story = Story(SERIES)
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
        await back_up(place.url, tmp_path / "kept")
    # A view of somebody else: its table cannot be dropped.
    place.sql("CREATE VIEW theirs AS SELECT * FROM odds_current")
    async with open_bridge():
        with pytest.raises(StorageError, match="view theirs depends on"):
            await restore(place.url, tmp_path / "kept", replace=True)
    async with place.begun() as (store, _):
        assert await store.history(0, ALL, ALL) == story.log
