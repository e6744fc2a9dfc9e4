"""One NATS server and one PostgreSQL for all tests of nodes; a stream and a database for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nats_servers import NatsServer, nats_server
from tests.support.nodes import Site
from tests.support.places import postgres
from tests.support.postgres import PostgresServer

__all__ = ["postgres"]


@pytest.fixture(scope="session")
def nats() -> Iterator[NatsServer]:
    """Give all tests one server; a test that kills a server starts its own."""
    with nats_server() as server:
        yield server


@pytest.fixture
def site(tmp_path: Path, nats: NatsServer, postgres: PostgresServer) -> Site:
    """Give an empty stream and an empty database."""
    return Site(tmp_path, nats, postgres)
