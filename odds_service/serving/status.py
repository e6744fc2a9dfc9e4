"""GetStatus: the state of the service and of the server."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Final

from google.protobuf.duration_pb2 import Duration

from odds_service.filters.selection import Selection
from odds_service.model.snapshot import EventOdds
from odds_service.serving.context import Context
from odds_service.serving.hub import Subscriber
from odds_service.serving.server_context import ServerContext
from odds_service.status import (
    BusReport,
    ClockReport,
    DelayReport,
    LoopReport,
    ServiceStatus,
    SourceReport,
    StorageReport,
    WriterReport,
)
from odds_service.wire.encode import source_message
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import timestamp

SUBSCRIBERS_LISTED: Final = 100  # those furthest behind


async def get_status(
    server: ServerContext, _request: pb.GetStatusRequest, _context: Context
) -> bytes:
    """Answer with revisions, sources, queues, storage and subscribers.

    A restricted caller sees its sources, and counts of the odds that it may see. Only operators see
    who the subscribers are, and the usage of each token.
    """
    service = await server.ask(_ask, server.parts.status)
    feed = server.parts.feed
    view = server.parts.cache.view()
    selection = server.selection(pb.Filter())
    entries = [each for each in view.events.values() if selection.takes_event(each.event)]
    carried = Counter(source for entry in entries for source in entry.sources)
    subscribers = sorted(server.hub.subscribers, key=lambda each: each.position)
    return pb.GetStatusResponse(
        version=service.version,
        uptime=_duration(service.now - service.started_at),
        epoch=server.epoch,
        head_revision=view.cursor.revision,
        durable_revision=view.durable_revision,
        oldest_revision=feed.oldest_revision,
        sources=[
            _source(report, carried)
            for report in service.sources
            if selection.takes_source(report.state.source)
        ],
        channels=[
            pb.ChannelStatus(
                name=channel.name,
                fill=channel.fill,
                capacity=channel.capacity,
                unit=channel.unit,
            )
            for channel in service.channels
        ],
        writer=_writer(service.writer),
        subscriber_count=len(subscribers),
        subscribers=[
            _subscriber(server, each, service) for each in subscribers[:SUBSCRIBERS_LISTED]
        ],
        events=len(entries),
        bookmakers=sum(
            selection.takes_bookmaker(*key) for entry in entries for key in entry.bookmakers
        ),
        markets=_markets(selection, entries) if selection.hides else service.markets,
        clock=_clock(service.clock),
        storage=_storage(service.storage),
        loop=_loop(service.loop),
        log_lines_lost=service.log_lines_lost,
        usage=_usage(server) if server.grant.admin else (),
        node=_node(service.bus, names=server.grant.admin),
    ).SerializeToString()


def _markets(selection: Selection, entries: Iterable[EventOdds]) -> int:
    return sum(
        len(odds.markets)
        for entry in entries
        for key, odds in entry.bookmakers.items()
        if selection.takes_bookmaker(*key)
    )


def _usage(server: ServerContext) -> list[pb.TokenUsage]:
    reports = [usage.report() for _, usage in sorted(server.usages.items())]
    return [
        pb.TokenUsage(
            name=each.name, calls=each.calls, changes=each.changes, refreshes=each.refreshes
        )
        for each in reports
    ]


async def _ask(status: Callable[[], ServiceStatus]) -> ServiceStatus:
    return status()


def _clock(clock: ClockReport) -> pb.ClockStatus:
    state = clock.state
    return pb.ClockStatus(
        jumps=state.jumps,
        last_jump_s=state.last_jump_s,
        last_jump_at=None if state.last_jump_at is None else timestamp(state.last_jump_at),
        waiting=state.waiting,
        sleeps=state.sleeps,
        slept_s=state.slept_s,
        log_lead_s=clock.lead_s,
        log_holds=clock.holds,
    )


def _loop(loop: LoopReport) -> pb.LoopStatus:
    return pb.LoopStatus(
        stalls=loop.stalls,
        stalled_s=loop.stalled_s,
        longest_s=loop.longest_s,
        last_task=loop.last_task,
        last_place=loop.last_place,
        last_at=None if loop.last_at is None else timestamp(loop.last_at),
        pauses=loop.pauses,
        paused_s=loop.paused_s,
    )


def _node(bus: BusReport | None, *, names: bool) -> pb.NodeStatus | None:
    """Return the node's side of the bus; with `names` of hosts, and texts that may hold some."""
    if bus is None:
        return None
    return pb.NodeStatus(
        role=bus.role,
        state=bus.state,
        reason=bus.reason if names else "",
        messages=bus.messages,
        pending_changes=bus.pending_changes,
        capacity=bus.capacity,
        acknowledged=bus.acknowledged,
        ack_total_s=bus.ack_total_s,
        tails_rewritten=bus.tails_rewritten,
        sequence=bus.sequence,
        sequence_lag=bus.sequence_lag,
        lag_s=bus.lag_s,
        clock_ahead_s=bus.clock_ahead_s,
        rebuilds=bus.rebuilds,
        upstream=bus.upstream if names else "",
        upstream_age_s=bus.upstream_age_s,
        fenced=bus.fenced,
    )


def _duration(span: timedelta) -> Duration:
    duration = Duration()
    duration.FromTimedelta(span)
    return duration


def _source(report: SourceReport, carried: Counter[str]) -> pb.SourceStatus:
    due, latency_s = report.next_due_at, report.latency_s
    return pb.SourceStatus(
        state=source_message(report.state),
        interval=_duration(timedelta(seconds=report.state.interval_s)),
        next_due=None if due is None else timestamp(due),
        latency=None if latency_s is None else _duration(timedelta(seconds=latency_s)),
        pulls=report.pulls,
        failures=report.failures,
        problems=report.problems,
        events=carried[report.state.source],
        freshness=[
            pb.FreshnessStatus(
                tier=tier.tier,
                target=_duration(timedelta(seconds=tier.target_s)),
                pulls=tier.pulls,
                fresh=tier.fresh,
                in_time=tier.in_time,
                late=tier.late,
                delays=[_delay(each) for each in tier.delays],
            )
            for tier in report.freshness
        ],
        markets_mapped=report.mapped,
        markets_unmapped=report.unmapped,
        unmapped=report.unmapped_names,
        new_events=report.new_events,
        new_events_left_out=report.new_events_left_out,
        changes=report.changes,
        answers_left_out=report.answers_left_out,
        clock_ahead=report.clock_ahead,
        clock_behind=report.clock_behind,
    )


def _delay(report: DelayReport) -> pb.DelayStatus:
    return pb.DelayStatus(
        stage=report.stage,
        count=sum(report.buckets),
        recent=sum(report.recent),
        p50_s=report.percentile_s(50),
        p90_s=report.percentile_s(90),
        p99_s=report.percentile_s(99),
    )


def _storage(report: StorageReport | None) -> pb.StorageStatus | None:
    if report is None:
        return None
    return pb.StorageStatus(
        measured_at=timestamp(report.measured_at),
        bytes=report.total_bytes,
        parts=report.parts,
        growth_bytes_per_day=report.growth_bytes_per_day,
        growth_span=_duration(timedelta(seconds=report.growth_span_s)),
        disks=[
            pb.DiskStatus(place=disk.place, free_bytes=disk.free_bytes, size_bytes=disk.size_bytes)
            for disk in report.disks
        ],
        full_in_days=report.full_in_days,
    )


_WRITER_STATES: Final = {
    "idle": pb.WRITER_STATE_IDLE,
    "writing": pb.WRITER_STATE_WRITING,
    "retrying": pb.WRITER_STATE_RETRYING,
    "draining": pb.WRITER_STATE_DRAINING,
}


def _writer(report: WriterReport) -> pb.WriterStatus:
    return pb.WriterStatus(
        state=_WRITER_STATES.get(report.state, pb.WRITER_STATE_UNSPECIFIED),
        lag_s=report.lag_s,
        pending_changes=report.pending_changes,
        bridged_s=report.bridged_s,
        reason=report.reason,
        retries=report.retries,
        dead_letters=report.dead_letters,
    )


def _subscriber(
    server: ServerContext, subscriber: Subscriber, service: ServiceStatus
) -> pb.SubscriberStatus:
    feed, position = server.parts.feed, subscriber.position
    return pb.SubscriberStatus(
        revision=position,
        lag_changes=max(0, feed.head_revision - position),
        lag_s=server.hub.lag_s(position, service.log_time or service.now),
        connected_at=timestamp(subscriber.connected_at),
        replaying=subscriber.replaying,
        peer=subscriber.peer if server.grant.admin else "",
    )
