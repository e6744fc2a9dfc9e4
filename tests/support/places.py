"""Fixtures: an empty place for a log. A folder's conftest takes them over by importing them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.databases import ENGINES, MemoryPlace, Place, PostgresPlace, SqlitePlace
from tests.support.postgres import PostgresServer, postgres_server

# Marks tests that look into the tables, and so do without the memory.
on_databases: Final = pytest.mark.parametrize("place", ENGINES, indirect=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Give one server to all tests; a test that stops it starts a server of its own."""
    with postgres_server() as server:
        yield server


@pytest.fixture(params=("memory", *ENGINES))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Give an empty place in memory, and on either database engine."""
    if request.param == "memory":
        return MemoryPlace()
    if request.param == "sqlite":
        return SqlitePlace(tmp_path)
    return PostgresPlace(tmp_path, request.getfixturevalue("postgres"))
