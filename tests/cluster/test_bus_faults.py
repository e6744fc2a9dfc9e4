"""An ingest node whose bus is away, or loses its stream."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from odds_service.bus.log import LogError
from odds_service.demo.bookmaker import SimulatedBookmaker
from odds_service.service import run_service
from tests.cluster.test_ingest import ingest
from tests.e2e.test_life import BUSY, bookmaker
from tests.support.nats_servers import NatsServer, nats_server
from tests.support.nodes import Node, Site
from tests.support.postgres import PostgresServer
from tests.support.serving import settings_for, wait_until


@pytest.fixture
def bus() -> Iterator[NatsServer]:
    """Give a server that the test may kill."""
    with nats_server() as server:
        yield server


@pytest.fixture
def site(tmp_path: Path, bus: NatsServer, postgres: PostgresServer) -> Site:
    """Give an empty stream on that server, and an empty database."""
    return Site(tmp_path, bus, postgres)


async def test_an_outage_of_the_bus_is_waited_out(site: Site, bus: NatsServer) -> None:
    async with ingest(site) as running:
        parts = running.parts
        assert parts.bus is not None
        outbox, feed = parts.bus.outbox, parts.feed
        await wait_until(lambda: feed.durable_revision > 100, "odds")
        await trio.to_thread.run_sync(bus.kill)
        held = outbox.acked_revision
        await wait_until(lambda: feed.durable_revision > held + 300, "odds during the outage")
        await wait_until(lambda: outbox.reason != "", "trouble")
        assert parts.bus.report().state == "retrying"
        assert outbox.pending_changes > 0
        await trio.to_thread.run_sync(bus.start)
        goal = feed.head_revision
        await wait_until(lambda: outbox.acked_revision >= goal, "all sent")
        await wait_until(lambda: outbox.reason == "", "no trouble")
    changes, _ = await trio.to_thread.run_sync(site.streamed)
    assert await site.astored() == changes


async def test_a_stop_during_an_outage_ends_at_its_deadline_and_the_next_owner_goes_on(
    site: Site, bus: NatsServer
) -> None:
    async with bookmaker(BUSY) as (port, table):
        base = settings_for(
            site.folder, port, SimulatedBookmaker(BUSY).sport_keys, interval_s=0.05,
            markets=table["markets"], regions=table["regions"],
        )  # fmt: skip
        shutdown = base.shutdown.model_copy(update={"drain_s": 2.0})
        settings = site.settings(base).model_copy(update={"shutdown": shutdown})
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            running = await nursery.start(run_service, settings, stop)
            feed = running.parts.feed
            await wait_until(lambda: feed.durable_revision > 100, "odds")
            await trio.to_thread.run_sync(bus.kill)
            held = feed.head_revision
            await wait_until(lambda: feed.durable_revision > held + 100, "more odds")
            stop.set()
            began = trio.current_time()
        assert trio.current_time() - began < 2.0 + settings.shutdown.grace_s + 10
        assert feed.durable_revision == feed.head_revision
        await trio.to_thread.run_sync(bus.start)
        async with ingest(site) as again:
            assert again.parts.stored.revision == feed.head_revision
            await wait_until(
                lambda: again.parts.feed.head_revision > feed.head_revision + 50, "new odds"
            )
    changes, epochs = await trio.to_thread.run_sync(site.streamed)
    assert epochs[1].prev_revision < epochs[1].first_revision - 1  # the hole
    revisions = {change.revision for change in changes}
    history = await site.astored()
    assert [change for change in history if change.revision in revisions] == changes
    missing = {change.revision for change in history} - revisions
    assert missing == set(range(epochs[1].prev_revision + 1, epochs[1].first_revision))


async def test_a_lost_stream_ends_the_node_with_a_text_that_says_what_to_do(site: Site) -> None:
    async def lose() -> None:
        async with ingest(site) as running:
            await wait_until(lambda: running.parts.feed.durable_revision > 50, "odds")
            await trio.to_thread.run_sync(site.delete_stream)
            await trio.sleep(60)

    with pytest.raises(ExceptionGroup) as failed:
        await lose()
    assert failed.group_contains(LogError, match="run `odds-service bus init`")


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)]
)
def test_a_start_without_a_bus_waits_and_ends_at_a_signal(
    site: Site, bus: NatsServer, number: signal.Signals
) -> None:
    bus.kill()
    node = Node(site, "one")
    try:
        node.launch()
        away = node.logged("bus_away")
        assert "cannot connect to the bus" in away["reason"]
        node.logged("taking_over")
        node.signal(number)
        signalled = time.monotonic()
        assert node.end(60) == 0
        assert time.monotonic() - signalled < 5
        node.launch()
        node.logged("taking_over")
        bus.start()
        node.logged("serving")
        node.signal(signal.SIGTERM)
        assert node.end(60) == 0
    finally:
        node.discard()
