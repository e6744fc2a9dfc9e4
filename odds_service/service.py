"""The composition root: what the service is made of, how it starts, and the order it stops in.

    schedule ─► scrape ══► detect ══► write ─► database
                             │
                             └─► cache + feed ─► gRPC server (a thread of its own)

══► is a bounded channel. Everything lives in one nursery tree: a source that crashes is contained
by its scraper; a crash in detect, write or the server ends the service with its traceback.
"""

import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

import structlog
import trio
from msgspec import Struct
from msgspec.structs import replace

from odds_service import __version__
from odds_service.bridge import BridgeFaults, TrioGate, open_bridge
from odds_service.cache import OddsCache
from odds_service.clock import Clock, SteadyClock, SystemClock, later
from odds_service.config import Settings
from odds_service.detection.withdrawal import doubt
from odds_service.errors import StorageError
from odds_service.feed import ChangeFeed
from odds_service.metrics.families import Readings
from odds_service.metrics.serve import serve_metrics
from odds_service.model.asks import Asks, AsksChange, changed_asks
from odds_service.model.snapshot import EventOdds, Reading
from odds_service.model.source import SourceState
from odds_service.pipeline.channels import OBSERVATIONS_WAITING, Fetched, WriteQueue
from odds_service.pipeline.detect import Detector, detect_observations, judge_by_clock
from odds_service.pipeline.listings import Listings
from odds_service.pipeline.refresh import Refresher
from odds_service.pipeline.retention import (
    PurgePolicy,
    RetentionTime,
    purge_by_clock,
    retain_by_clock,
)
from odds_service.pipeline.scrape import Scraper
from odds_service.pipeline.source_counts import Counts
from odds_service.pipeline.watch_clock import watch_clock
from odds_service.pipeline.withdraw import remember_asks, withdraw_unasked
from odds_service.pipeline.write import Writer
from odds_service.reconcile import Reconciler
from odds_service.rpc.server import RpcParts, RpcServer, serve_grpc
from odds_service.sources.base import Source, asks_of
from odds_service.sources.boundary import Limits
from odds_service.sources.registry import check_names, open_source
from odds_service.status import ChannelFill, ClockReport, RpcReport, ServiceStatus
from odds_service.storage import open_store
from odds_service.store import Retention, Store, Stored

SWITCH_INTERVAL_S: Final = 0.0005  # p99 of a call beside a busy Trio thread: 18.7 -> 6.8 ms

log = structlog.get_logger(__name__)


class Parts(Struct, frozen=True, kw_only=True):
    """Everything the service is made of."""

    settings: Settings
    faults: BridgeFaults
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
    asks: dict[str, Asks]
    changed_asks: dict[str, AsksChange]
    scrapers: dict[str, Scraper]
    fetched_send: trio.MemorySendChannel[Fetched]
    fetched: trio.MemoryReceiveChannel[Fetched]

    def status(self) -> ServiceStatus:
        """What GetStatus tells; in the Trio thread."""
        cut = self.cache.cut()
        waiting = self.fetched.statistics().current_buffer_used
        boot_s = self.clock.boot_s()
        wall, log_clock = self.clock.wall_at(boot_s), self.detector.log_clock
        return ServiceStatus(
            version=__version__,
            started_at=later(wall, self.started_s - boot_s),
            now=wall,
            sources=[scraper.report(cut.sources[name]) for name, scraper in self.scrapers.items()],
            channels=[
                ChannelFill("fetched", waiting, OBSERVATIONS_WAITING, "observations"),
                ChannelFill("write", self.queue.pending_changes, self.queue.capacity, "changes"),
            ],
            writer=self.writer.report(),
            events=len(cut.events),
            markets=sum(
                len(odds.markets)
                for entry in cut.events.values()
                for odds in entry.bookmakers.values()
            ),
            late_events=self.detector.counts.late_events,
            duplicate_events=self.detector.counts.duplicate_events,
            log_time=log_clock.time(wall, boot_s),
            clock=ClockReport(
                state=self.clock.state,
                lead_s=log_clock.lead_s(wall, boot_s),
                holds=log_clock.holds(wall, boot_s),
            ),
        )

    def readings(self, rpc: RpcReport) -> Readings:
        """What metrics are made of; in the Trio thread."""
        cut = self.cache.cut()
        entries = cut.events.values()
        return Readings(
            status=self.status(),
            head_revision=cut.cursor.revision,
            durable_revision=cut.durable_revision,
            oldest_revision=self.feed.oldest_revision,
            bookmakers=sum(len(entry.bookmakers) for entry in entries),
            source_events=Counter(source for entry in entries for source in entry.sources),
            rpc=rpc,
            asyncio_faults=self.faults.count,
        )


class Running(Struct, frozen=True):
    """A started service and the addresses that it serves at; metrics: empty where they are off."""

    parts: Parts
    server: RpcServer
    metrics: str = ""

    @property
    def address(self) -> str:
        return self.server.address


@asynccontextmanager
async def assemble(
    settings: Settings,
    sources: list[Source],
    faults: BridgeFaults,
    clock: Clock | None = None,
) -> AsyncIterator[Parts]:
    """Open the database, warm the cache from it and wire the parts; nothing runs yet.

    Args:
        clock: all time is read from it; None for the machine's own clocks.
    """
    database, steady = settings.database, SteadyClock(clock or SystemClock())
    async with open_store(
        database.url.get_secret_value(),
        migrate=database.migrate,
        spill_folder=database.spill_folder,
    ) as store:
        stored = await store.begin()
        feed = ChangeFeed(stored.epoch, stored.revision, detected_at=stored.last_detected_at)
        known = {state.source: state for state in stored.sources}
        asks = {source.name: asks_of(source) for source in sources}
        held = {source for entry in stored.events for source in entry.sources}
        changed = changed_asks(stored.asks, asks, held)
        cache = OddsCache(
            feed,
            events=[doubt(_aged(entry, steady.reading()), changed) for entry in stored.events],
            sources=[_starting(source, known.get(source.name)) for source in sources],
        )
        queue = WriteQueue(database.queue_changes)
        reconciler = Reconciler(stored.events, stored.ghosts)
        send, receive = trio.open_memory_channel[Fetched](OBSERVATIONS_WAITING)
        listings, counts = Listings(cache), Counts()
        limits = Limits(**settings.limits.model_dump())
        detector = Detector(cache, feed, queue, reconciler, steady, counts)
        yield Parts(
            settings=settings,
            faults=faults,
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
            asks=asks,
            changed_asks=changed,
            scrapers={
                source.name: Scraper(
                    source, send.clone(), steady, listings, counts.of(source.name), limits
                )
                for source in sources
            },
            fetched_send=send,
            fetched=receive,
        )


def _aged(entry: EventOdds, now: Reading) -> EventOdds:
    """Stored odds with their ages on this boot's clock; a time ahead of the clock is no age."""
    bookmakers = {}
    for key, odds in entry.bookmakers.items():
        lagging = {
            market: replace(seen, boot_s=_boot_of(seen.at, now))
            for market, seen in odds.lagging.items()
        }
        boot_s = _boot_of(odds.confirmed_at, now)
        bookmakers[key] = replace(odds, confirmed_boot_s=boot_s, lagging=lagging)
    return replace(entry, bookmakers=bookmakers)


def _boot_of(at: datetime, now: Reading) -> float:
    return (now.boot_s or 0.0) - max(0.0, (now.wall - at).total_seconds())


def _starting(source: Source, known: SourceState | None) -> SourceState:
    """A source is STALE until its first success; a restart announces nothing."""
    pace = source.pace
    return SourceState(
        source=source.name,
        # Of single events some answer at every look at least: that is when it can be missed.
        interval_s=min(pace.slowest_s, pace.discovery_s) if pace.by_event else pace.slowest_s,
        paces=tuple((tier.within_s, tier.interval_s) for tier in pace.tiers),
        announced=None if known is None else known.announced,
    )


async def run_service(
    settings: Settings,
    stop: trio.Event,
    *,
    clock: Clock | None = None,
    task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run until `stop` is set, then stop in order; started() means that it serves.

    Resource handling: all that is opened here is closed here, also when cancelled, each step
    within its deadline; what could not be written by then is spilled (see pipeline.write).

    Args:
        stop: ends the service, in order.
        clock: all time is read from it; None for the machine's own clocks.

    Raises: OddsServiceError for what the user can mend (settings, database); an exception group
    for a crash of a core task.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    async with open_bridge() as faults, AsyncExitStack() as opened:
        check_names(settings.sources)
        if not settings.sources:
            log.warning("no_sources", hint="only what is stored is served; name [[sources]]")
        sources = [
            await opened.enter_async_context(open_source(table)) for table in settings.sources
        ]
        async with assemble(settings, sources, faults, clock) as parts:
            await _supervise(parts, stop, task_status)


async def _supervise(parts: Parts, stop: trio.Event, task_status: trio.TaskStatus[Running]) -> None:
    shutdown = parts.settings.shutdown
    writing, scraping = trio.CancelScope(), trio.CancelScope()
    written = trio.Event()
    async with trio.open_nursery() as core:
        core.start_soon(_write, parts.writer, writing, written)
        server = await core.start(_serve, parts, core)
        metrics = await core.start(_measure, parts, server)
        async with trio.open_nursery() as intake:
            intake.start_soon(detect_observations, parts.fetched, parts.detector, parts.queue)
            intake.start_soon(_scrape, parts, scraping)
            await server.set_serving(True)
            task_status.started(Running(parts, server, metrics))
            log.info("serving", address=server.address, events=len(parts.cache.events))
            await stop.wait()
            log.info("stopping", pending_changes=parts.queue.pending_changes)
            await server.set_serving(False)
            # Left to right: the scrapers close their ends, detect applies what they had fetched,
            # the writer drains. One deadline for all; after it the rest is spilled.
            deadline = trio.current_time() + shutdown.drain_s
            scraping.cancel()
            intake.cancel_scope.deadline = deadline
        parts.queue.close()
        writing.deadline = deadline
        await written.wait()
        parts.feed.close()
        await server.stop(shutdown.grace_s)
        core.cancel_scope.cancel()
    log.info("stopped", durable_revision=parts.feed.durable_revision,
             head_revision=parts.feed.head_revision)  # fmt: skip
    if parts.writer.lost:
        raise StorageError(parts.writer.lost)


async def _scrape(parts: Parts, scope: trio.CancelScope) -> None:
    with scope, parts.fetched_send:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch_clock, parts.clock, list(parts.scrapers.values()))
            nursery.start_soon(judge_by_clock, parts.detector)
            nursery.start_soon(_forget, parts)
            withdrawn = await withdraw_unasked(parts.changed_asks, parts.detector)
            if parts.changed_asks:
                nursery.start_soon(remember_asks, parts.asks, withdrawn, parts.writer, parts.store)
            for scraper in parts.scrapers.values():
                nursery.start_soon(scraper.run)


async def _forget(parts: Parts) -> None:
    kept = parts.settings.retention
    policy = PurgePolicy(
        over=timedelta(hours=kept.over_hours), unconfirmed=timedelta(hours=kept.unconfirmed_hours)
    )
    days = kept.history_days
    retention = Retention(
        history=None if days is None else timedelta(days=days), runs=timedelta(days=kept.runs_days)
    )
    clock, aged = parts.clock, RetentionTime(parts.stored.last_detected_at)

    def retention_time() -> datetime:
        boot_s = clock.boot_s()
        return aged.at(clock.wall_at(boot_s), boot_s)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(purge_by_clock, parts.cache, parts.detector, policy, parts.clock)
        nursery.start_soon(retain_by_clock, parts.store, parts.writer, retention, retention_time)


async def _write(writer: Writer, scope: trio.CancelScope, done: trio.Event) -> None:
    with scope:
        await writer.run()
    done.set()


async def _serve(
    parts: Parts, core: trio.Nursery, *, task_status: trio.TaskStatus[RpcServer]
) -> None:
    refresher = Refresher(
        parts.cache, parts.detector, parts.writer, parts.queue, parts.scrapers, core
    )
    await serve_grpc(
        RpcParts(
            cache=parts.cache,
            feed=parts.feed,
            gate=TrioGate(core),
            status=parts.status,
            refresh=refresher.refresh,
            store=parts.store,
            epochs=parts.stored.epochs,
            settings=parts.settings.server,
            now=parts.clock.wall,
            clocks=parts.clock.reading,
        ),
        task_status=task_status,
    )


async def _measure(parts: Parts, server: RpcServer, *, task_status: trio.TaskStatus[str]) -> None:
    """Serve metrics, where they are asked for; to the end, so that a drain can be watched."""
    settings = parts.settings.metrics
    if not settings.listen:
        task_status.started("")
        return
    await serve_metrics(
        settings,
        lambda: parts.readings(server.report(parts.detector.log_time())),
        task_status=task_status,
    )


async def stop_on_signals(stop: trio.Event, at_once: trio.CancelScope) -> None:
    """Set `stop` at the first SIGINT or SIGTERM, cancel `at_once` at the second.

    Returns only when cancelled.
    """
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for number in signals:
            log.info("signal", signal=signal.Signals(number).name, again=stop.is_set())
            if stop.is_set():
                at_once.cancel()
            stop.set()


async def run_until_signalled(settings: Settings) -> None:
    """run_service, stopped by signals: in order by the first one, at once by a second."""
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop_on_signals, stop, nursery.cancel_scope)
        await run_service(settings, stop)
        nursery.cancel_scope.cancel()
