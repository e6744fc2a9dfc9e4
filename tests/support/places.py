"""Fixtures of empty places for a log; a folder's conftest imports them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.databases import ENGINES, MemoryPlace, Place, PostgresPlace, SqlitePlace
from tests.support.postgres import PostgresServer, postgres_server

# Marks tests that read the tables, and so cannot run in memory.
on_databases: Final = pytest.mark.parametrize("place", ENGINES, indirect=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Give all tests one server; a test that stops a server starts its own."""
    with postgres_server() as server:
        yield server


@pytest.fixture(params=("memory", *ENGINES))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Give an empty place in memory, in SQLite, and in PostgreSQL."""
    if request.param == "memory":
        return MemoryPlace()
    if request.param == "sqlite":
        return SqlitePlace(tmp_path)
    return PostgresPlace(tmp_path, request.getfixturevalue("postgres"))
