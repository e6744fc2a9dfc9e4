"""The database goes away under the running service, and comes back."""

import signal
from pathlib import Path

import trio

from odds_service.bridge import open_bridge
from odds_service.demo.bookmaker import SimulatedBookmaker
from odds_service.model.source import SourceStatus
from odds_service.storage import open_store
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.e2e.test_life import BUSY, bookmaker
from tests.support.postgres import postgres_server
from tests.support.serving import call, service, settings_for, status_of, wait_until
from tests.support.watching import Fold, odds_in, watching

CAPACITY = 2_000
ALL = 10**9


async def test_an_outage_holds_the_scrapers_and_loses_nothing(tmp_path: Path) -> None:
    with postgres_server() as server:
        async with bookmaker(BUSY) as (port, table):
            settings = settings_for(
                tmp_path, port, SimulatedBookmaker(BUSY).sport_keys, interval_s=0.05,
                markets=table["markets"], regions=table["regions"],
            )  # fmt: skip
            database = settings.database.model_copy(
                update={"url": type(settings.database.url)(server.url()), "migrate": True,
                        "queue_changes": CAPACITY, "spill_folder": tmp_path}
            )  # fmt: skip
            settings = settings.model_copy(update={"database": database})
            async with service(settings) as running:
                parts = running.parts
                feed, queue, source = parts.feed, parts.queue, "the-odds-api"
                await wait_until(lambda: feed.durable_revision > 300, "some odds stored")
                fold = Fold()
                with watching(running.address, fold=fold) as watcher:
                    await watcher.begun()
                    await trio.to_thread.run_sync(server.stop, signal.SIGQUIT)
                    await wait_until(lambda: queue.full, "a full queue")
                    # Scraping is paused, and every source reports the reason.
                    await wait_until(
                        lambda: parts.cache.sources[source].status is SourceStatus.STALE, "STALE"
                    )
                    assert parts.cache.sources[source].reason == "storage_behind"
                    held_at = feed.head_revision
                    assert feed.durable_revision < held_at - CAPACITY + 1
                    status = await status_of(running.address)
                    assert status.writer.state == pb.WRITER_STATE_RETRYING
                    assert "PostgreSQL" in status.writer.reason
                    assert status.writer.pending_changes >= CAPACITY
                    assert status.writer.lag_s > 0
                    assert status.writer.retries > 0
                    assert (status.head_revision, status.durable_revision) == (
                        held_at, feed.durable_revision,
                    )  # fmt: skip
                    # Readers and watchers are served from memory.
                    reply = await call(
                        running.address, lambda stub: stub.GetOdds(pb.GetOddsRequest(), timeout=30)
                    )
                    assert reply.cursor.revision == held_at
                    await watcher.reach(held_at)
                    assert fold.odds == odds_in(iter(reply.events))
                    retries = parts.writer.retries
                    await wait_until(lambda: parts.writer.retries > retries + 1, "more tries")
                    assert feed.head_revision == held_at
                    await trio.to_thread.run_sync(server.start)
                    await wait_until(lambda: feed.durable_revision >= held_at, "all stored")
                    await wait_until(lambda: feed.head_revision > held_at + 100, "new odds")
                    await wait_until(
                        lambda: parts.cache.sources[source].status is SourceStatus.UP, "UP"
                    )
                    await watcher.reach(held_at + 100)
                    assert parts.writer.reason == ""
            head = feed.head_revision
            assert feed.durable_revision == head
            async with open_bridge(), open_store(server.url(), owner=False) as store:
                assert [c.revision for c in await store.history(0, ALL, ALL)] == list(
                    range(1, head + 1)
                )
                assert (await store.verify()).faults == []
