"""The doors of the service: the gRPC API and the metrics, opened onto its parts."""

from collections.abc import Awaitable, Callable
from functools import partial

import trio

from odds_service.assembly import Parts
from odds_service.bridge import TrioGate
from odds_service.http.opening import http_doors
from odds_service.ingest import WATCH_ELSEWHERE, Refresh
from odds_service.metrics.serve import serve_metrics
from odds_service.model.reload import Reloaded
from odds_service.reporting import readings, service_status, unmapped_markets
from odds_service.rpc.server import GrpcDoor
from odds_service.serving.parts import ServingParts
from odds_service.serving.server import Opens, Server, serve
from odds_service.sources.markets.types import market_types


async def serve_api(
    parts: Parts,
    core: trio.Nursery,
    reload: Callable[[], Awaitable[Reloaded]],
    refresh: Refresh,
    *,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until the server is stopped; started() hands over one that takes calls.

    Args:
        parts: The parts that calls read and refresh.
        core: The nursery for work started by calls in the Trio thread; a crash there ends the
            service.
        reload: Reads the settings again.
        refresh: Fetches an event now.
        task_status: Receives the server.
    """
    read, now = partial(readings, parts), parts.detector.log_time
    opens: list[Opens] = [GrpcDoor, *http_doors(parts.settings.http, read, now)]
    await serve(
        ServingParts(
            cache=parts.cache,
            feed=parts.feed,
            gate=TrioGate(core),
            status=partial(service_status, parts),
            refresh=refresh,
            reload=reload,
            guard=parts.guards["server"],
            store=parts.store,
            settings=parts.settings.server,
            now=parts.clock.wall,
            clocks=parts.clock.reading,
            delays=parts.delays,
            market_types=market_types(),
            unmapped=partial(unmapped_markets, parts),
            watch_elsewhere="" if parts.bus is None else WATCH_ELSEWHERE,
        ),
        opens,
        task_status=task_status,
    )


async def serve_readings(
    parts: Parts,
    server: Server,
    *,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve metrics until cancelled, so during the drain too; return at once if they are off.

    Args:
        parts: The parts to measure.
        server: The server that reports its calls and streams.
        task_status: Receives the address, empty if metrics are off.
    """
    await serve_metrics(
        parts.settings.metrics,
        lambda: readings(parts, server.report(parts.detector.log_time())),
        parts.guards.get("metrics"),
        ready=lambda: server.ready,
        task_status=task_status,
    )
