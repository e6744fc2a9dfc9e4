"""Two ingest nodes as processes: one owns the log, the other takes it over.

The owner is killed, paused or stopped. In the end database and stream hold the same log, to which
every owner has added its part.
"""

import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.processes import Bookmaker
from tests.support.nats_servers import NatsServer
from tests.support.nodes import Node, Site
from tests.support.postgres import postgres_server

TAKE_OVER_S = 5.0
LATE = 2.0  # a loaded machine takes longer


@contextmanager
def two_nodes(site: Site) -> Iterator[tuple[Node, Node]]:
    """Give two ingest nodes with the same sources, not started."""
    bookmaker = Bookmaker(site.folder, events=10)
    sources = f"""
            [[sources]]
            kind = "the-odds-api"
            url = "http://127.0.0.1:{bookmaker.port}"
            api_key = "secret-key"
            sports = {bookmaker.sports}
            markets = {bookmaker.markets}
            interval_s = 0.1
    """
    one, two = (Node(site, name, sources) for name in ("one", "two"))
    try:
        yield one, two
    finally:
        for node in (one, two):
            node.discard()
        bookmaker.stop()


@pytest.fixture
def nodes(site: Site) -> Iterator[tuple[Node, Node]]:
    """Give two nodes on the servers that all tests share."""
    with two_nodes(site) as made:
        yield made


def began(owner: Node, standby: Node) -> None:
    """Start both, and wait until one serves, has sent odds, and the other waits."""
    owner.launch()
    owner.logged("serving")
    standby.launch()
    standby.logged("standing_by")


def stored_revision(site: Site) -> int:
    return int(site.postgres.psql("SELECT durable_revision FROM feed_state", site.database))


def wait_for_odds(site: Site, more: int = 500, nodes: Iterable[Node] = ()) -> None:
    """Wait until the database holds so many more changes.

    Args:
        site: The log.
        more: The number of changes.
        nodes: Nodes to start again if they end meanwhile.
    """
    goal, deadline = stored_revision(site) + more, time.monotonic() + 120
    while stored_revision(site) < goal:
        assert time.monotonic() < deadline, "no new odds"
        for node in nodes:
            if not node.running:
                node.end()
                node.launch()
        time.sleep(0.05)


def stopped(node: Node) -> None:
    node.signal(signal.SIGTERM)
    assert node.end() == 0, node.log.read_text("utf-8")[-3_000:]


def agree(site: Site, owners: int | None = None, fenced: int | None = None) -> None:
    """Assert that database and stream hold one log, with an epoch of each owner.

    Args:
        site: The log.
        owners: The number of owners that there were; None if that is open.
        fenced: The place of an owner that was fenced, and may have detected more before it knew;
            nobody was sent that, and it is kept as dead letters.
    """
    changes, epochs = site.streamed()
    assert site.stored() == changes
    assert [change.revision for change in changes] == list(range(1, len(changes) + 1))
    assert owners is None or len(epochs) == owners
    letters = site.postgres.psql("SELECT DISTINCT epoch FROM dead_letters", site.database)
    assert set(letters.split()) <= ({epochs[fenced].epoch} if fenced is not None else set())


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [1, pytest.param(4, marks=pytest.mark.long)])
def test_a_killed_owner_is_followed_within_seconds(
    site: Site, nodes: tuple[Node, Node], kills: int
) -> None:
    owner, standby = nodes
    began(owner, standby)
    took = []
    for _ in range(kills):
        wait_for_odds(site)
        owner.kill()
        killed = time.monotonic()
        standby.logged("serving")
        took.append(time.monotonic() - killed)
        owner.launch()
        owner.logged("standing_by")
        owner, standby = standby, owner
    wait_for_odds(site)
    stopped(standby)  # first, or it would take over once more
    stopped(owner)
    sys.stdout.write(f"take-overs after a kill, s: {[round(each, 2) for each in took]}\n")
    assert min(took) < LATE * TAKE_OVER_S
    agree(site, kills + 1)


def test_a_paused_owner_is_fenced_when_it_wakes(site: Site, nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    began(one, two)
    wait_for_odds(site)
    one.signal(signal.SIGSTOP)
    paused = time.monotonic()
    two.logged("serving")
    sys.stdout.write(f"take-over after a pause: {time.monotonic() - paused:.2f} s\n")
    ended = two.logged("silent_owner_ended")
    assert "(process " in ended["owner"]
    wait_for_odds(site)
    one.signal(signal.SIGCONT)
    assert one.end(60) == 1
    text = one.log.read_text("utf-8")
    assert "Traceback" not in text
    last = text.splitlines()[-1]
    assert "another process opened this database" in last or "has taken the log over" in last, last
    wait_for_odds(site)
    one.launch()
    one.logged("standing_by")
    stopped(two)
    one.logged("serving")
    stopped(one)
    agree(site, 3, fenced=0)


def test_an_ordered_stop_hands_over_at_once(site: Site, nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    began(one, two)
    wait_for_odds(site)
    stopped(one)
    ended = time.monotonic()
    two.logged("serving")
    took = time.monotonic() - ended
    sys.stdout.write(f"take-over after a stop: {took:.2f} s\n")
    assert took < TAKE_OVER_S
    wait_for_odds(site)
    stopped(two)
    agree(site, 2)


@pytest.mark.long
def test_a_standby_takes_over_a_stream_that_was_made_while_it_waited(
    site: Site, nodes: tuple[Node, Node]
) -> None:
    one, two = nodes
    began(one, two)
    wait_for_odds(site)
    site.delete_stream()
    site.on_bus(lambda bus: bus.log.make())
    assert one.end(60) == 1
    text = one.log.read_text("utf-8").splitlines()[-1]
    assert "start again to take the log over" in text or "`odds-service bus init`" in text
    two.logged("serving")
    wait_for_odds(site)
    stopped(two)
    changes, epochs = site.streamed()
    assert epochs[0].prev_revision == 0
    assert epochs[0].first_revision == changes[0].revision > 500
    assert site.stored()[-len(changes) :] == changes


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)]
)
def test_a_standby_ends_at_a_signal_at_once(
    site: Site, nodes: tuple[Node, Node], number: signal.Signals
) -> None:
    one, two = nodes
    began(one, two)
    two.signal(number)
    signalled = time.monotonic()
    assert two.end(60) == 0
    took = time.monotonic() - signalled
    sys.stdout.write(f"end of a standby: {took:.2f} s\n")
    assert took < LATE * TAKE_OVER_S
    assert two.entries("stopped")[0]["while_starting"]
    stopped(one)
    agree(site, 1)


@pytest.mark.long
def test_the_log_goes_on_when_the_database_restarts(tmp_path: Path, nats: NatsServer) -> None:
    """The lock is free then, and the standby leaves the owner the time to come back.

    On a machine that is too busy for the owner to renew its promise, the other may take over.
    """
    with postgres_server() as server:
        site = Site(tmp_path, nats, server)
        with two_nodes(site) as nodes:
            began(*nodes)
            for how in (signal.SIGINT, signal.SIGKILL):
                wait_for_odds(site)
                server.stop(how)
                time.sleep(1.0)
                server.start()
                wait_for_odds(site, nodes=nodes)
            taken_over = [node.entries("taken_over") for node in nodes]
            sys.stdout.write(f"take-overs: {len(taken_over[1])}\n")
            for node in nodes:
                if node.running:
                    node.signal(signal.SIGTERM)
                    node.end()
            agree(site, fenced=0)
