"""Assembly of the service's parts from the settings and the database."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import partial

import trio
from msgspec import Struct

from odds_service.bridge import BridgeFaults
from odds_service.bus.announcing import AnnouncedCache
from odds_service.cache import OddsCache
from odds_service.certificates import Guard, guards_of
from odds_service.clock import Clock, SteadyClock, SystemClock
from odds_service.config import Settings
from odds_service.delays import Delays
from odds_service.detection.withdrawal import doubt
from odds_service.feed import ChangeFeed
from odds_service.ingest import OwnerBus, StandbyBus, renewing
from odds_service.model.asks import Asks, AsksChange, changed_asks
from odds_service.pipeline.channels import OBSERVATIONS_WAITING, Fetched, WriteQueue
from odds_service.pipeline.churn import ChurnLimits
from odds_service.pipeline.detect import Detector
from odds_service.pipeline.listings import Listings
from odds_service.pipeline.scrape import Scraper
from odds_service.pipeline.sizes import Sizes
from odds_service.pipeline.source_counts import Counts
from odds_service.pipeline.write import Writer, spill_rest
from odds_service.reconcile import Reconciler
from odds_service.restore import feed_of, odds_on_boot_clock, starting_state
from odds_service.sources.base import Source, asks_of
from odds_service.sources.boundary import Limits
from odds_service.sources.calls import GatedSource, SourceCalls
from odds_service.storage import open_store
from odds_service.store import Opening, Store, Stored
from odds_service.watchdog import Watchdog
from odds_service.workers.pool import Workers
from odds_service.workers.remote import RemoteSource


class Parts(Struct, frozen=True, kw_only=True):
    """All parts of one service.

    Attributes:
        started_s: The boot clock at the assembly.
        stored: The state of the database at the assembly.
        asks: Source -> its asks under the settings.
        changed_asks: The asks that differ from the last run's.
        bus: The bus of an ingest node; None in a process without one.
        workers: The workers that fetch; None where sources are fetched in this process.
    """

    settings: Settings
    faults: BridgeFaults
    watchdog: Watchdog
    clock: SteadyClock
    started_s: float
    stored: Stored
    store: Store
    feed: ChangeFeed
    cache: OddsCache
    queue: WriteQueue
    writer: Writer
    reconciler: Reconciler
    detector: Detector
    guards: dict[str, Guard]
    limits: Limits
    listings: Listings
    asks: dict[str, Asks]
    changed_asks: dict[str, AsksChange]
    scrapers: dict[str, Scraper]
    delays: Delays
    sizes: Sizes
    fetched_send: trio.MemorySendChannel[Fetched]
    fetched: trio.MemoryReceiveChannel[Fetched]
    bus: OwnerBus | None = None
    workers: Workers | None = None

    def scraper(self, source: Source | RemoteSource) -> Scraper:
        """Return a new scraper for an open source."""
        calls: SourceCalls
        if isinstance(source, RemoteSource):
            calls = source.calls(self.clock)
        else:
            calls = GatedSource(source, self.clock, self.limits)
        counts = self.detector.counts.of(source.name)
        send = self.fetched_send.clone()
        return Scraper(calls, send, self.clock, self.listings, counts, self.limits)


@asynccontextmanager
async def assemble(
    settings: Settings,
    sources: Sequence[Source | RemoteSource],
    faults: BridgeFaults,
    watchdog: Watchdog,
    clock: Clock | None = None,
    recorded_from: datetime | None = None,
    bus: StandbyBus | None = None,
    workers: Workers | None = None,
) -> AsyncIterator[Parts]:
    """Open the database, load the cache from it and wire the parts; nothing runs yet.

    With a bus this waits, as a standby, until the database has no owner.

    Args:
        settings: The checked settings.
        sources: The opened sources, with unique names.
        faults: The count of errors that reached the asyncio loop of the database.
        watchdog: The watch over this thread; it spills what is not durable if it ends the process.
        clock: The source of all time; None for the machine's own clocks.
        recorded_from: For an import, the time of its first recording.
        bus: The bus of an ingest node.
        workers: The workers that hold `sources`, if they do.

    Raises:
        StorageError: The database cannot be used; the text names the reason.
        Superseded: Another node has taken the database over.
    """
    guards = guards_of(settings)
    database = settings.database
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(
            open_store(
                database.url.get_secret_value(),
                migrate=database.migrate,
                spill_folder=database.spill_folder,
                standby=bus is not None,
            )
        )
        opening = Opening(recorded_from=recorded_from, adopt=database.adopt)
        if bus is None:
            stored = await store.begin(opening)
            feed, owner = feed_of(stored), None
        else:
            await stack.enter_async_context(renewing(store))
            taken = await bus.take_over(store, opening)
            stored, feed = taken.stored, feed_of(taken.stored)
            owner = bus.owned(taken, feed)
        steady = SteadyClock(clock or SystemClock())  # a standby has not looked at it for long
        known = {state.source: state for state in stored.sources}
        asks = {source.name: asks_of(source) for source in sources}
        held = {source for entry in stored.events for source in entry.sources}
        changed = changed_asks(stored.asks, asks, held)
        now = steady.reading()
        outbox = None if owner is None else owner.outbox
        cache = (OddsCache if outbox is None else partial(AnnouncedCache, outbox=outbox))(
            feed,
            events=[doubt(odds_on_boot_clock(entry, now), changed) for entry in stored.events],
            sources=[starting_state(source, known.get(source.name)) for source in sources],
        )
        if outbox is not None:
            for name in known.keys() - cache.sources.keys():
                outbox.refresh(name)  # a former owner had it
        queue = WriteQueue(database.queue_changes, outbox)
        reconciler = Reconciler(stored.events, stored.ghosts)
        send, receive = trio.open_memory_channel[Fetched](OBSERVATIONS_WAITING)
        delays, bounds = Delays(), settings.limits.model_dump()
        limits = Limits.among(bounds)
        churn = ChurnLimits(**{name: bounds[name] for name in ChurnLimits.__struct_fields__})
        detector = Detector(cache, feed, queue, reconciler, steady, Counts(), churn, delays)
        parts = Parts(
            settings=settings,
            faults=faults,
            watchdog=watchdog,
            clock=steady,
            started_s=steady.boot_s(),
            stored=stored,
            store=store,
            feed=feed,
            cache=cache,
            queue=queue,
            writer=Writer(
                store, queue, feed, dead_letters=stored.dead_letters, log_time=detector.log_time
            ),
            reconciler=reconciler,
            detector=detector,
            guards=guards,
            limits=limits,
            listings=Listings(cache),
            asks=asks,
            changed_asks=changed,
            scrapers={},
            delays=delays,
            sizes=Sizes(),
            fetched_send=send,
            fetched=receive,
            bus=owner,
            workers=workers,
        )
        parts.scrapers.update({source.name: parts.scraper(source) for source in sources})
        with watchdog.spilling(partial(spill_rest, store, feed)):
            yield parts
