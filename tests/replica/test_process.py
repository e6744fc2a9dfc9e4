"""A read node as a process, beside an ingest node without sources."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_line import run
from tests.support.nats_servers import NatsServer, nats_server
from tests.support.nodes import Node, Site
from tests.support.postgres import PostgresServer


@pytest.fixture
def nats() -> Iterator[NatsServer]:
    """Give a server that the test ends."""
    with nats_server() as server:
        yield server


@pytest.fixture
def site(tmp_path: Path, nats: NatsServer, postgres: PostgresServer) -> Site:
    return Site(tmp_path, nats, postgres)


@pytest.fixture
def ingest(site: Site) -> Iterator[Node]:
    node = Node(site, "ingest")
    node.launch()
    yield node
    node.discard()


@pytest.fixture
def reader(site: Site) -> Iterator[Node]:
    node = Node(site, "reader", role="read")
    yield node
    node.discard()


def test_it_serves_once_it_has_caught_up_and_stops_in_order(
    ingest: Node, reader: Node, nats: NatsServer
) -> None:
    ingest.logged("serving")
    nats.kill()
    reader.launch()
    reader.logged("serving")
    health = run("health", "--server", reader.address)
    assert health.returncode == 1  # it has not caught up
    nats.start()
    reader.logged("caught_up")
    assert run("health", "--server", reader.address).returncode == 0
    status = run("status", "--server", reader.address)
    assert "read node, following" in status.stdout
    reader.signal(signal.SIGTERM)
    assert reader.end() == 0
    assert reader.entries("stopped")
    assert not reader.entries("thread_left_behind")


def test_a_bus_that_is_wrong_is_told_at_the_start(ingest: Node, reader: Node) -> None:
    ingest.logged("serving")
    text = reader.settings.read_text("utf-8")
    reader.settings.write_text(text.replace("[bus]", '[bus]\nuser = "somebody"'), "utf-8")
    reader.launch()
    assert reader.end() == 1
    assert "bus.user" in reader.log.read_text("utf-8")
