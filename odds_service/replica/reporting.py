"""The state of a read node as plain values, for GetStatus and for metrics."""

from odds_service import __version__
from odds_service.clock import later
from odds_service.config import Role
from odds_service.line_queue import lost_prints
from odds_service.metrics.families import Readings, readings_of
from odds_service.replica.parts import ReadParts
from odds_service.status import (
    IDLE_WRITER,
    BusReport,
    ClockReport,
    RpcReport,
    ServiceStatus,
    SourceReport,
)


def node_status(parts: ReadParts) -> ServiceStatus:
    """Return the status of a read node. Call it in the Trio thread.

    It has no scrapers, queues and writer; their figures are those of one that does nothing.
    """
    view = parts.cache.view()
    boot_s = parts.clock.boot_s()
    wall = parts.clock.wall_at(boot_s)
    return ServiceStatus(
        version=__version__,
        started_at=later(wall, parts.started_s - boot_s),
        now=wall,
        sources=[
            SourceReport(
                state=state,
                kind="",
                next_due_at=None,
                pulls=0,
                failures=0,
                problems={},
                latency_s=None,
            )
            for _, state in sorted(view.sources.items())
        ],
        channels=[],
        writer=IDLE_WRITER,
        events=len(view.events),
        markets=view.count_markets(),
        clock=ClockReport(state=parts.clock.state),
        storage=parts.sizes.report,
        loop=parts.watchdog.report,
        log_lines_lost=lost_prints(),
        bus=bus_report(parts),
    )


def bus_report(parts: ReadParts) -> BusReport:
    """Return a read node's side of the bus."""
    follower, upstream = parts.following.follower, parts.upstream
    told = upstream.state
    role, name = Role.READ.value, "" if told is None else told.node
    if follower is None:
        return BusReport(role=role, state="starting")
    sent_at = follower.sent_at
    return BusReport(
        role=role,
        upstream=name,
        state=follower.state,
        reason=follower.reason,
        messages=follower.applied,
        sequence=follower.sequence,
        sequence_lag=follower.behind,
        lag_s=None if sent_at is None else (parts.clock.wall() - sent_at).total_seconds(),
        clock_ahead_s=follower.lead_s,
        rebuilds=follower.rebuilds,
        upstream_age_s=upstream.age_s,
    )


def node_readings(parts: ReadParts, rpc: RpcReport) -> Readings:
    """Return the readings behind the metrics. Call it in the Trio thread."""
    return readings_of(
        parts.cache.view(),
        node_status(parts),
        rpc,
        oldest_revision=parts.feed.oldest_revision,
        asyncio_faults=parts.faults.count,
    )
