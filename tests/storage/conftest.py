"""Every test that asks for `place` runs on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases import ENGINES, Place, PostgresPlace, SqlitePlace
from tests.support.postgres import PostgresServer, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests; who stops it starts a server of its own."""
    with postgres_server() as server:
        yield server


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty database on either engine."""
    if request.param == "sqlite":
        return SqlitePlace(tmp_path)
    return PostgresPlace(tmp_path, request.getfixturevalue("postgres"))
