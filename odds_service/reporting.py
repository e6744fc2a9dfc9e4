"""The state of the running parts as plain values, for GetStatus and for metrics."""

from msgspec.structs import replace

from odds_service import __version__
from odds_service.assembly import Parts
from odds_service.clock import later
from odds_service.delays import Delays
from odds_service.line_queue import lost_prints
from odds_service.metrics.families import Readings, readings_of
from odds_service.pipeline.channels import OBSERVATIONS_WAITING
from odds_service.status import (
    ChannelFill,
    ClockReport,
    RpcReport,
    ServiceStatus,
    SourceReport,
    UnmappedReport,
)


def service_status(parts: Parts) -> ServiceStatus:
    """Return the status of the service. Call it in the Trio thread."""
    view = parts.cache.view()
    waiting = parts.fetched.statistics().current_buffer_used
    boot_s = parts.clock.boot_s()
    wall, log_clock = parts.clock.wall_at(boot_s), parts.detector.log_clock
    return ServiceStatus(
        version=__version__,
        started_at=later(wall, parts.started_s - boot_s),
        now=wall,
        sources=[
            _with_delays(scraper.report(view.sources[name]), parts.delays)
            for name, scraper in parts.scrapers.items()
        ],
        channels=[
            ChannelFill("fetched", waiting, OBSERVATIONS_WAITING, "observations"),
            ChannelFill("write", parts.queue.pending_changes, parts.queue.capacity, "changes"),
        ],
        writer=parts.writer.report(),
        events=len(view.events),
        markets=view.count_markets(),
        late_events=parts.detector.counts.late_events,
        duplicate_events=parts.detector.counts.duplicate_events,
        log_time=log_clock.time(wall, boot_s),
        clock=ClockReport(
            state=parts.clock.state,
            lead_s=log_clock.lead_s(wall, boot_s),
            holds=log_clock.holds(wall, boot_s),
        ),
        storage=parts.sizes.report,
        loop=parts.watchdog.report,
        log_lines_lost=lost_prints(),
        bus=None if parts.bus is None else parts.bus.report(),
        workers=() if parts.workers is None else parts.workers.report(),
    )


def unmapped_markets(parts: Parts) -> list[UnmappedReport]:
    """Return the unmapped markets of the present sources. Call it in the Trio thread."""
    return [
        report
        for name, scraper in parts.scrapers.items()
        for report in scraper.counts.unmapped.report(name)
    ]


def _with_delays(report: SourceReport, delays: Delays) -> SourceReport:
    source = report.state.source
    ahead, behind = delays.foreign(source)
    tiers = [
        replace(tier, delays=delays.report(source, tier.tier)) for tier in report.freshness
    ]  # fmt: skip
    return replace(report, freshness=tiers, clock_ahead=ahead, clock_behind=behind)


def readings(parts: Parts, rpc: RpcReport) -> Readings:
    """Return the readings behind the metrics. Call it in the Trio thread."""
    return readings_of(
        parts.cache.view(),
        service_status(parts),
        rpc,
        oldest_revision=parts.feed.oldest_revision,
        asyncio_faults=parts.faults.count,
        wal_bytes=parts.store.wal_bytes,
    )
