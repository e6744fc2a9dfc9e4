"""Upgrades of databases of every earlier version, with their data."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa

from odds_service.bridge import aio, open_bridge
from odds_service.errors import StorageError
from odds_service.storage import migrating, open_store
from odds_service.storage.database import Database
from odds_service.storage.opening import parse_url
from odds_service.storage.postgres import Postgres
from odds_service.storage.sqlite import Sqlite
from odds_service.store import WriteGroup
from tests.support.databases import DatabasePlace, PostgresPlace, SqlitePlace
from tests.support.observations import cached
from tests.support.places import on_bare_databases
from tests.support.stories import SERIES, Story, random_series

pytestmark = on_bare_databases

ALL = 10**9
Rows = dict[str, list[dict[str, Any]]]

EARLIER: Final = migrating.VERSIONS[-2::-1]


def database_of(place: DatabasePlace) -> Database:
    if isinstance(place, SqlitePlace):
        return Sqlite(place.path)
    return Postgres(parse_url(place.url))


async def columns_of(database: Database) -> dict[str, list[str]]:
    """Return the tables, without PostgreSQL's partitions, and their columns."""

    def look(connection: sa.Connection) -> dict[str, list[str]]:
        inspector = sa.inspect(connection)
        return {
            name: [column["name"] for column in inspector.get_columns(name)]
            for name in inspector.get_table_names()
            if not name.startswith("odds_history_p") and name != "alembic_version"
        }

    async with database.writing() as connection:
        return await connection.run_sync(look)


def light(name: str, columns: Sequence[str]) -> Any:
    return sa.table(name, *[sa.column(column) for column in columns])


async def take_all(database: Database) -> Rows:
    found: Rows = {}
    for name, columns in (await columns_of(database)).items():
        async with database.reading() as connection:
            rows = await connection.execute(sa.select(light(name, columns)))
            found[name] = [dict(row._mapping) for row in rows]
    await database.aio_dispose()
    return found


async def make(database: Database, version: str, data: Rows, story: Story) -> None:
    """Make a database of an earlier version, with the data that its columns can hold."""
    async with database.writing() as connection:
        await connection.run_sync(lambda sync: migrating.upgrade(sync, version))
        times = [change.detected_at for change in story.log]
        await database.aio_make_room(connection, times)
    for name, columns in (await columns_of(database)).items():
        rows = [{column: row[column] for column in columns} for row in data[name]]
        if version < "0006" and name == "odds_history":
            for row in rows:
                row["ended"] = row["ended"] and zlib.compress(row["ended"].encode())
        if rows:
            async with database.writing() as connection:
                await connection.execute(sa.insert(light(name, columns)), rows)
    if database.name == "postgresql":  # rows that bring their keys leave the sequence behind
        async with database.writing() as connection:
            await connection.execute(
                sa.text("SELECT setval(pg_get_serial_sequence('epochs', 'place'), max(place)) "
                        "FROM epochs")
            )  # fmt: skip
    await database.aio_dispose()


@pytest.mark.parametrize("version", EARLIER)
async def test_an_earlier_version_comes_up_with_its_data(
    place: DatabasePlace, version: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    story = Story(SERIES + random_series(11, 30))
    async with place.begun() as (store, before):
        assert await store.write(WriteGroup(story.batches)) == 0
    (tmp_path / "earlier").mkdir()
    earlier: DatabasePlace
    if isinstance(place, PostgresPlace):
        earlier = PostgresPlace(tmp_path / "earlier", place.server)
    else:
        earlier = SqlitePlace(tmp_path / "earlier")
    async with open_bridge():
        data = await aio(take_all, database_of(place))
        await aio(make, database_of(earlier), version, data, story)
    if isinstance(earlier, PostgresPlace):
        async with open_bridge():
            with pytest.raises(StorageError, match=f"is at schema {version}.*db upgrade"):
                async with open_store(earlier.url, spill_folder=tmp_path):
                    pytest.fail("it opened")
    async with earlier.begun() as (store, stored):
        assert cached({e.event.id: e for e in stored.events}) == cached(story.events)
        assert (stored.revision, stored.database_id) == (len(story.log), before.database_id)
        assert await store.history(0, ALL, ALL) == story.log
        assert (await store.verify()).faults == []
        story.look({"new": {"b": {}}})
        assert await store.write(WriteGroup(story.batches[-1:])) == 0
    assert earlier.value("SELECT version_num FROM alembic_version") == migrating.head_version()


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE alembic_version SET version_num = '9999'", "upgraded by a newer one"),
        ("DELETE FROM alembic_version", "development version"),
    ],
)
async def test_what_this_version_does_not_know_is_left_alone(
    place: DatabasePlace, statement: str, says: str
) -> None:
    async with place.begun():
        pass
    place.sql(statement)
    async with open_bridge():
        with pytest.raises(StorageError, match=says):
            async with place.opened():
                pytest.fail("it opened")


async def test_an_upgrade_that_fails_leaves_everything_as_it_was(
    place: DatabasePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = migrating.head_version()
    # A table of that name makes the last step that creates one fail.
    async with open_bridge():
        database = database_of(place)

        async def first_step() -> None:
            async with database.writing() as connection:
                await connection.run_sync(lambda sync: migrating.upgrade(sync, "0001"))
            await database.aio_dispose()

        await aio(first_step)
    place.sql("CREATE TABLE dead_letters (x integer)")
    tables = set(await _names(place))
    async with open_bridge():
        with pytest.raises(Exception, match="already exists"):
            async with place.opened():
                pytest.fail("it opened")
    assert set(await _names(place)) == tables
    place.sql("DROP TABLE dead_letters")
    async with place.begun():
        pass
    assert place.value("SELECT version_num FROM alembic_version") == wanted


async def _names(place: DatabasePlace) -> list[str]:
    async def names() -> list[str]:
        database = database_of(place)
        found = list(await columns_of(database))
        await database.aio_dispose()
        return found

    async with open_bridge():
        return await aio(names)
