"""The composition root of a read node: its nursery tree, and its order of starting and stopping.

log on the bus ─► follower (a thread of its own) ─► cache + feed ─► server (another thread)
                     │                                                │
                     └─ database, where the log does not go on        └─ database, for history
"""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import structlog
import trio
from msgspec import Struct

from odds_service.bridge import TrioGate, open_bridge
from odds_service.clock import Clock
from odds_service.config import Settings
from odds_service.http.opening import http_doors
from odds_service.loop_thread import SWITCH_INTERVAL_S
from odds_service.metrics.serve import serve_metrics
from odds_service.pipeline.sizes import measure_by_clock
from odds_service.pipeline.watch_clock import watch_clock
from odds_service.replica.parts import ReadParts, assemble_reader
from odds_service.replica.reporting import node_readings, node_status
from odds_service.replica.upstream import RemoteRefresher
from odds_service.rpc.server import GrpcDoor
from odds_service.serving.parts import ServingParts
from odds_service.serving.server import Opens, Server, serve
from odds_service.sources.markets.types import market_types
from odds_service.watchdog import watched

# A change is numbered at most this long before the message that carries it is composed.
_NUMBERED: Final = timedelta(seconds=0.5)

log = structlog.get_logger(__name__)


class Reading(Struct, frozen=True):
    """A started read node and its addresses; `metrics` is empty if metrics are off."""

    parts: ReadParts
    server: Server
    metrics: str = ""

    @property
    def address(self) -> str:
        return self.server.address


async def run_read_node(
    settings: Settings,
    stop: trio.Event,
    *,
    clock: Clock | None = None,
    task_status: trio.TaskStatus[Reading] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run until `stop` is set, then stop in order.

    started() is called once the doors are open. Health checks report NOT_SERVING until the node
    has caught up with the log.

    Args:
        settings: The checked settings, with the role `read`.
        stop: The event that ends the node in order.
        clock: The source of all time; None for the machine's own clocks.
        task_status: Receives the parts and the addresses.

    Raises:
        OddsServiceError: A fault that the user can fix, in the settings or the database.
        ExceptionGroup: A core task crashed.

    Cancellation: Everything opened here is closed, each step within its deadline.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with watched() as watchdog:
        async with (
            open_bridge() as faults,
            assemble_reader(settings, faults, watchdog, clock) as parts,
        ):
            await supervise(parts, stop, task_status=task_status)


async def supervise(
    parts: ReadParts,
    stop: trio.Event,
    *,
    task_status: trio.TaskStatus[Reading] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run the parts of a read node until `stop` is set; see run_read_node."""
    async with trio.open_nursery() as core:
        gate = TrioGate(core)
        server = await core.start(_serve_api, parts, gate)
        parts.watchdog.set_stalled = server.set_stalled
        metrics = await core.start(_serve_readings, parts, server)
        async with trio.open_nursery() as stages:
            stages.start_soon(watch_clock, parts.clock, ())
            stages.start_soon(measure_by_clock, parts.store, parts.sizes, parts.delays, parts.clock)
            stages.start_soon(parts.following.run, gate, parts.store, server)
            task_status.started(Reading(parts, server, metrics))
            log.info("serving", address=server.address, events=len(parts.cache.view().events))
            await stop.wait()
            log.info("stopping")
            await server.set_serving(False)
            parts.following.request_stop()
            stages.cancel_scope.cancel()
        parts.feed.close()
        await server.stop(parts.settings.shutdown.grace_s)
        core.cancel_scope.cancel()
    log.info("stopped", head_revision=parts.feed.head_revision)


async def _serve_api(
    parts: ReadParts,
    gate: TrioGate,
    *,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until the server is stopped; started() hands over one that takes calls."""
    settings = parts.settings
    read = partial(node_readings, parts)
    opens: list[Opens] = [GrpcDoor, *http_doors(settings.http, read, parts.clock.wall)]
    refresher = RemoteRefresher(parts.following.ask_refresh, parts.feed)
    await serve(
        ServingParts(
            cache=parts.cache,
            feed=parts.feed,
            gate=gate,
            status=partial(node_status, parts),
            refresh=refresher.refresh,
            guard=parts.guards["server"],
            store=parts.store,
            settings=settings.server,
            now=parts.clock.wall,
            clocks=parts.clock.reading,
            delays=parts.delays,
            market_types=market_types(),
            behind_wait_s=settings.bus.behind_wait_s,
            settled=_settled(parts),
        ),
        opens,
        task_status=task_status,
    )


def _settled(parts: ReadParts) -> Callable[[], datetime]:
    """Return a function that tells up to when this node has all changes."""

    def settled() -> datetime:
        follower = parts.following.follower
        sent_at = None if follower is None else follower.sent_at
        if sent_at is None:
            return parts.feed.last_detected_at or datetime.min.replace(tzinfo=UTC)
        return min(sent_at - _NUMBERED, parts.clock.wall())

    return settled


async def _serve_readings(
    parts: ReadParts,
    server: Server,
    *,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve metrics until cancelled; return at once if they are off."""
    await serve_metrics(
        parts.settings.metrics,
        lambda: node_readings(parts, server.report(parts.clock.wall())),
        parts.guards.get("metrics"),
        ready=lambda: server.ready,
        task_status=task_status,
    )
