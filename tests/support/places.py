"""Fixtures of empty places for a log; a folder's conftest imports them."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest
import trio

from odds_service.bridge import open_bridge
from tests.support.databases import (
    ENGINES,
    DatabasePlace,
    MemoryPlace,
    Place,
    PostgresPlace,
    SqlitePlace,
)
from tests.support.postgres import PostgresServer, postgres_server

# Marks tests that read the tables, and so cannot run in memory.
on_databases: Final = pytest.mark.parametrize("place", ENGINES, indirect=True)

# Marks tests of databases that have no tables yet.
_BARE: Final = "bare "
on_bare_databases: Final = pytest.mark.parametrize(
    "place", [_BARE + engine for engine in ENGINES], indirect=True
)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Give all tests one server; a test that stops a server starts its own."""
    with postgres_server() as server:
        yield server


@cache
def _sqlite_tables(folder: Path) -> SqlitePlace:
    """Make a file with all tables once; to copy it takes a twentieth of the migrations' time."""
    folder.mkdir(exist_ok=True)
    made = SqlitePlace(folder)
    _make_tables(made)
    return made


@cache
def _postgres_tables(server: PostgresServer, folder: Path) -> PostgresPlace:
    """Make a database with all tables once, as a template of the others."""
    folder.mkdir(exist_ok=True)
    made = PostgresPlace(folder, server)
    _make_tables(made)
    return made


def _make_tables(place: DatabasePlace) -> None:
    async def make() -> None:
        async with open_bridge(), place.opened():
            pass

    trio.run(make)


@pytest.fixture(params=("memory", *ENGINES))
def place(
    request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Place:
    """Give a place without a log in memory, in SQLite, and in PostgreSQL; it has its tables."""
    if request.param == "memory":
        return MemoryPlace()
    tables = tmp_path_factory.getbasetemp() / "tables"
    if request.param == _BARE + "sqlite":
        return SqlitePlace(tmp_path)
    if request.param == "sqlite":
        return SqlitePlace(tmp_path, _sqlite_tables(tables))
    server: PostgresServer = request.getfixturevalue("postgres")
    if request.param == _BARE + "postgresql":
        return PostgresPlace(tmp_path, server)
    return PostgresPlace(tmp_path, server, _postgres_tables(server, tables))
