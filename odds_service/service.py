"""The composition root: the service's nursery tree, and its order of starting and stopping.

    schedule ─► scrape ══► detect ══► write ─► database
                             │
                             └─► cache + feed ─► gRPC server (a thread of its own)

══► is a bounded channel. On an ingest node detect also fills the outbox, which a thread of its own
sends to the other nodes. Everything lives in one nursery tree: a source that crashes is contained
by its scraper; a crash in detect, write or the server ends the service with its traceback.
"""

import sys
from collections.abc import Callable
from functools import partial

import structlog
import trio
from msgspec import Struct

from odds_service.assembly import Parts, assemble
from odds_service.bridge import TrioGate, open_bridge
from odds_service.clock import Clock, SystemClock
from odds_service.config import Role, Settings
from odds_service.doors import serve_api, serve_readings
from odds_service.errors import StorageError
from odds_service.ingest import OwnerBus, ingest_bus
from odds_service.intake import Intake, hold_source
from odds_service.loop_thread import SWITCH_INTERVAL_S
from odds_service.pipeline.detect import detect_observations
from odds_service.pipeline.refresh import Refresher
from odds_service.pipeline.write import Writer
from odds_service.reloading import Reloader
from odds_service.reloads import Reloads
from odds_service.replica.service import run_read_node
from odds_service.serving.server import Server
from odds_service.signals import stop_on_signals
from odds_service.sources.registry import check_names
from odds_service.standby import Standing
from odds_service.watchdog import watched
from odds_service.workers.pool import open_workers

log = structlog.get_logger(__name__)


class Running(Struct, frozen=True):
    """A started service and its addresses; `metrics` is empty if metrics are off."""

    parts: Parts
    server: Server
    metrics: str = ""

    @property
    def address(self) -> str:
        return self.server.address


async def run_until_signalled(
    settings: Settings, load: Callable[[], Settings] | None = None
) -> None:
    """Run a node of any role; stop in order at the first signal, at once at a second.

    A signal before the service serves cancels its start, which closes what is open by then.

    Args:
        settings: The checked settings.
        load: Reads the settings again at a SIGHUP.
    """
    stop, start, reloads = trio.Event(), trio.CancelScope(), Reloads(load)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop_on_signals, stop, nursery.cancel_scope, start, reloads.ask)
        async with trio.open_nursery() as running:
            with start:
                if settings.role is Role.READ:
                    await running.start(run_read_node, settings, stop)
                else:
                    await running.start(partial(run_service, settings, stop, reloads=reloads))
        nursery.cancel_scope.cancel()
    if start.cancelled_caught:
        log.info("stopped", while_starting=True)


async def run_service(
    settings: Settings,
    stop: trio.Event,
    *,
    clock: Clock | None = None,
    reloads: Reloads | None = None,
    task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run until `stop` is set, then stop in order; started() is called once the service serves.

    An ingest node is a standby before, for as long as another one owns the log.

    Args:
        settings: The checked settings, with another role than `read`.
        stop: The event that ends the service in order.
        clock: The source of all time; None for the machine's own clocks.
        reloads: The requests to read the settings again; None to refuse them.
        task_status: Receives the parts and the addresses.

    Raises:
        OddsServiceError: A fault that the user can fix, in the settings or the database.
        ExceptionGroup: A core task crashed.

    Cancellation: Everything opened here is closed, each step within its deadline. Changes that
    cannot be written by then are spilled; see pipeline.write.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with watched() as watchdog:
        async with (
            open_bridge() as faults,
            ingest_bus(settings) as bus,
            open_workers(settings) as workers,
            trio.open_nursery() as holding,
        ):
            check_names(settings.sources)
            if not settings.sources:
                log.warning("no_sources", hint="only what is stored is served; name [[sources]]")
            held = [await holding.start(hold_source, table, workers) for table in settings.sources]
            sources = [each.source for each in held]
            standing = Standing()
            await holding.start(standing.run, settings, (clock or SystemClock()).wall)
            async with assemble(
                settings, sources, faults, watchdog, clock, bus=bus, workers=workers
            ) as parts:
                await standing.close()
                intake, reloads = Intake(parts, held), reloads or Reloads()
                reloader = Reloader(parts, intake, holding, reloads)
                await _supervise(parts, intake, reloader, reloads, stop, task_status)
            intake.release()
            holding.cancel_scope.deadline = trio.current_time() + settings.shutdown.grace_s


async def _supervise(
    parts: Parts,
    intake: Intake,
    reloader: Reloader,
    reloads: Reloads,
    stop: trio.Event,
    task_status: trio.TaskStatus[Running],
) -> None:
    shutdown, bus = parts.settings.shutdown, parts.bus
    writing, scraping, sending = trio.CancelScope(), trio.CancelScope(), trio.CancelScope()
    written, sent = trio.Event(), trio.Event()
    async with trio.open_nursery() as core:
        core.start_soon(_write, parts.writer, writing, written)
        refresher = Refresher(
            parts.cache, parts.detector, parts.writer, parts.queue, parts.scrapers, core
        )
        if bus is not None:
            core.start_soon(_send, bus, sending, sent)
            core.start_soon(bus.answer_refreshes, refresher.refresh, TrioGate(core))
            core.start_soon(bus.tell_state, parts.clock.wall, parts.cache.sources)
        server = await core.start(serve_api, parts, core, reloads.reload, refresher.refresh)
        parts.watchdog.set_stalled = server.set_stalled
        metrics = await core.start(serve_readings, parts, server)
        async with trio.open_nursery() as stages:
            stages.start_soon(detect_observations, parts.fetched, parts.detector, parts.queue)
            stages.start_soon(intake.run, scraping, partial(reloads.serve, reloader.reload))
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
            stages.cancel_scope.deadline = deadline
        parts.queue.close()
        writing.deadline = sending.deadline = deadline
        if bus is not None:
            bus.outbox.close()
            await sent.wait()
        await written.wait()
        parts.feed.close()
        await server.stop(shutdown.grace_s)
        core.cancel_scope.cancel()
    log.info("stopped", durable_revision=parts.feed.durable_revision,
             head_revision=parts.feed.head_revision)  # fmt: skip
    if parts.writer.lost:
        raise StorageError(parts.writer.lost)


async def _write(writer: Writer, scope: trio.CancelScope, done: trio.Event) -> None:
    with scope:
        await writer.run()
    done.set()


async def _send(bus: OwnerBus, scope: trio.CancelScope, done: trio.Event) -> None:
    with scope:
        await bus.run()
    if scope.cancelled_caught:
        log.warning("bus_unsent", changes=bus.outbox.pending_changes)
    done.set()
