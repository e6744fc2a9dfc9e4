"""The publisher of the benchmark `cluster`: the owner of a log on the bus, without sources.

`python -m tools.benchmarks.cluster_publisher SETTINGS` stores the first odds, takes the log over,
and prints `{}`; then it takes the commands of watch_wire. It publishes as the server of `watch`
does, through the ring, the outbox and the bus thread of an ingest node. Later changes do not reach
the database.
"""

import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import trio

from odds_service.bridge import open_bridge
from odds_service.bus.announcing import AnnouncedCache
from odds_service.config import Settings, load_settings
from odds_service.feed import ChangeFeed
from odds_service.ingest import ingest_bus
from odds_service.logs import configure_logs
from odds_service.loop_thread import SWITCH_INTERVAL_S
from odds_service.model.source import SourceState, SourceStatus
from odds_service.storage import open_store
from odds_service.store import Opening, WriteGroup
from tools.benchmarks.cluster_odds import commit_of, first_commit
from tools.benchmarks.processes import tell
from tools.benchmarks.watch_server import Odds, obey


class Publisher:
    """The detector's side of an ingest node.

    Attributes:
        address: Empty, as nobody calls it.
    """

    address = ""

    def __init__(self, cache: AnnouncedCache, feed: ChangeFeed) -> None:
        self._cache = cache
        self._feed = feed
        self._odds = Odds(cache.events.values())

    def publish(self, count: int) -> None:
        """Publish so many changes in one commit."""
        entries, changes = self._odds.move(count, self._feed.head_revision + 1)
        self._cache.swap(entries, {}, commit_of(entries, changes), changes[-1].detected_at)
        self._feed.advance_durable(self._feed.head_revision)

    def subscribers(self) -> int:
        return 0

    def head(self) -> int:
        return self._feed.head_revision


async def _store_first(settings: Settings) -> None:
    async with open_store(settings.database.url.get_secret_value(), migrate=True) as store:
        await store.begin()
        await store.write(WriteGroup([first_commit()]))


async def main(path: str) -> None:
    """Publish until stdin ends."""
    settings = load_settings(Path(path))
    async with open_bridge(), ingest_bus(settings) as standby:
        if standby is None:
            raise RuntimeError("the settings have another role")
        await _store_first(settings)
        url = settings.database.url.get_secret_value()
        async with open_store(url, standby=True) as store:
            taken = await standby.take_over(store, Opening())
        stored = taken.stored
        feed = ChangeFeed(
            stored.epoch, stored.revision, detected_at=stored.last_detected_at,
            epochs=stored.epochs,
        )  # fmt: skip
        owner = standby.owned(taken, feed)
        up = SourceState(
            source="sim", interval_s=1e6, status=SourceStatus.UP, announced=SourceStatus.UP,
            last_success_at=datetime.now(UTC),
        )  # fmt: skip
        cache = AnnouncedCache(feed, owner.outbox, events=stored.events, sources=[up])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(owner.run)
            nursery.start_soon(owner.tell_state, partial(datetime.now, UTC), cache.sources)
            tell({})
            await trio.to_thread.run_sync(obey, Publisher(cache, feed))
            nursery.cancel_scope.cancel()


if __name__ == "__main__":
    configure_logs("error", "auto")  # the bus is interrupted on purpose
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    trio.run(main, sys.argv[1])
