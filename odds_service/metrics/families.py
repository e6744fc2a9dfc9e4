"""The metrics, with their names, labels and help texts, built from a reading of the service.

Labels have few values: names of sources, channels and methods, states, codes, and kinds of problem
(the MAX_PROBLEMS most frequent of each source; the rest count as `other`). A label never contains a
peer, an event or text from outside.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final

from msgspec import Struct
from prometheus_client.core import (
    GaugeHistogramMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from odds_service.cache import CacheView
from odds_service.metrics.building import counter, gauge
from odds_service.metrics.bus import bus_families
from odds_service.metrics.workers import worker_families
from odds_service.model.source import SourceStatus
from odds_service.status import (
    DELAY_BUCKETS_S,
    LATENCY_BUCKETS_S,
    CallReport,
    ChannelFill,
    ClockReport,
    LoopReport,
    RpcReport,
    ServiceStatus,
    SourceReport,
    StorageReport,
    SubscriberReport,
    UsageReport,
    WriterReport,
)

MAX_PROBLEMS: Final = 50
OTHER: Final = "other"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")  # a kind may come from a source's own error code
LAG_CHANGES: Final = (0, 10, 100, 1_000, 10_000, 100_000)
LAG_S: Final = (0.0, 0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0)
_WRITER_STATES: Final = ("idle", "writing", "retrying", "draining")


class Readings(Struct, frozen=True, kw_only=True):
    """The input of the metrics.

    Attributes:
        source_events: Source -> its number of events.
        wal_bytes: See store.Store.wal_bytes.
    """

    status: ServiceStatus
    head_revision: int
    durable_revision: int
    oldest_revision: int
    bookmakers: int
    source_events: dict[str, int]
    rpc: RpcReport
    asyncio_faults: int
    wal_bytes: int | None = None


def readings_of(
    view: CacheView,
    status: ServiceStatus,
    rpc: RpcReport,
    *,
    oldest_revision: int,
    asyncio_faults: int,
    wal_bytes: int | None = None,
) -> Readings:
    """Return the readings of a process that serves the odds of a view."""
    entries = view.events.values()
    return Readings(
        status=status,
        head_revision=view.cursor.revision,
        durable_revision=view.durable_revision,
        oldest_revision=oldest_revision,
        bookmakers=sum(len(entry.bookmakers) for entry in entries),
        source_events=Counter(source for entry in entries for source in entry.sources),
        rpc=rpc,
        asyncio_faults=asyncio_faults,
        wal_bytes=wal_bytes,
    )


def families(read: Readings) -> Iterator[Metric]:
    """Yield all metrics, in the order in which data passes through the service."""
    status = read.status
    yield gauge("odds_build_info", "The running version.", [((status.version,), 1)], "version")
    yield from _sources(status.sources, read)
    yield from _freshness(status.sources)
    yield from _delays(status.sources)
    yield from _channels(status.channels)
    yield counter("odds_detect_late_events", "Outdated events, left out.", status.late_events)
    duplicates = "Events that occur twice in one answer; the first one counts."
    yield counter("odds_detect_duplicate_events", duplicates, status.duplicate_events)
    yield from _writer(status.writer)
    wal = [] if read.wal_bytes is None else [((), read.wal_bytes)]
    text = "Size of SQLite's -wal file; grows while another program reads for long."
    yield gauge("odds_storage_wal_bytes", text, wal)
    yield from _storage(status.storage)
    yield gauge("odds_head_revision", "The newest change.", read.head_revision)
    durable = "The last change that is stored; its rate is the changes stored a second."
    yield gauge("odds_durable_revision", durable, read.durable_revision)
    oldest = "The oldest change in memory; readers of older ones read the database."
    yield gauge("odds_oldest_revision", oldest, read.oldest_revision)
    yield gauge("odds_cache_events", "Events in the cache.", status.events)
    held = "Odds of one bookmaker for one event, in the cache."
    yield gauge("odds_cache_bookmakers", held, read.bookmakers)
    yield gauge("odds_cache_markets", "Markets in the cache.", status.markets)
    yield from _subscribers(read.rpc.subscribers)
    encoded = "Pieces of the log encoded, each once for all its readers."
    yield counter("odds_encoded_pieces", encoded, read.rpc.encoded)
    yield from _calls(read.rpc.calls)
    yield from _usage(read.rpc.usage)
    faults = "Errors that reached asyncio's handler: each is a bug."
    yield counter("odds_asyncio_faults", faults, read.asyncio_faults)
    yield from bus_families(status.bus)
    yield from worker_families(status.workers)
    yield from _clock(status.clock)
    yield from _loop(status.loop)
    lost = "Log lines that found the log's reader stalled, and were left out."
    yield counter("odds_log_lines_lost", lost, status.log_lines_lost)


def _clock(clock: ClockReport) -> Iterator[Metric]:
    state = clock.state
    yield counter("odds_clock_jumps", "Jumps of the wall clock, either way.", state.jumps)
    yield counter("odds_clock_sleeps", "Times that the machine slept.", state.sleeps)
    yield counter("odds_clock_slept_seconds", "Total time that the machine slept.", state.slept_s)
    lead = "Lead of the log's time over the wall clock; normally 0."
    yield gauge("odds_clock_log_lead_seconds", lead, clock.lead_s)
    holds = "1 while the log's time stands still, because it is over a day ahead."
    yield gauge("odds_clock_log_holds", holds, clock.holds)


def _loop(loop: LoopReport) -> Iterator[Metric]:
    tasks = {OTHER: 0} | loop.stalls_by_task  # a counter that is there from the start
    stalls = [((task,), count) for task, count in tasks.items()]
    text = "Times that the Trio thread stood for over a second, by the task that ran."
    yield counter("odds_loop_stalls", text, stalls, "task")
    stood = "Total time of stalls that have ended."
    yield counter("odds_loop_stalled_seconds", stood, loop.stalled_s)
    yield counter("odds_loop_pauses", "Times that the whole process did not run.", loop.pauses)
    paused = "Total time that the whole process did not run."
    yield counter("odds_loop_paused_seconds", paused, loop.paused_s)


def _sources(sources: Sequence[SourceReport], read: Readings) -> Iterator[Metric]:
    def by_source(name: str, text: str, values: Iterable[tuple[str, float | None]]) -> Metric:
        told = [((source,), value) for source, value in values if value is not None]
        return gauge(f"odds_source_{name}", text, told, "source")

    named = [(report.state.source, report) for report in sources]
    yield gauge(
        "odds_source_info", "The kind of plug-in.",
        [((name, report.kind), 1) for name, report in named], "source", "kind",
    )  # fmt: skip
    yield gauge(
        "odds_source_state", "1 for the current state.",
        [
            ((name, each.name.lower()), each is report.state.status)
            for name, report in named for each in SourceStatus
        ],
        "source", "state",
    )  # fmt: skip
    pulls = [((name,), report.pulls) for name, report in named]
    yield counter("odds_source_pulls", "Fetches begun.", pulls, "source")
    failures = [((name,), report.failures) for name, report in named]
    yield counter("odds_source_failures", "Fetches that failed as a whole.", failures, "source")
    problems = [
        ((name, problem), count) for name, report in named
        for problem, count in _bounded(report.problems).items()
    ]  # fmt: skip
    text = "Problems by name: kinds of failures, and parts that could not be read."
    yield counter("odds_source_problems", text, problems, "source", "problem")
    read_markets = [
        ((name, result), count) for name, report in named
        for result, count in (("mapped", report.mapped), ("unmapped", report.unmapped))
    ]  # fmt: skip
    text = "Markets read, with and without a canonical counterpart; GetStatus has their names."
    yield counter("odds_source_markets", text, read_markets, "source", "result")
    new_events = [
        ((name, result), count) for name, report in named
        for result, count in (
            ("taken", report.new_events), ("left_out", report.new_events_left_out)
        )
    ]  # fmt: skip
    text = "Events new to the source, taken or left out above the limit."
    yield counter("odds_source_new_events", text, new_events, "source", "result")
    changes = [((name,), report.changes) for name, report in named]
    yield counter("odds_source_changes", "Changes in known events.", changes, "source")
    left_out = [((name,), report.answers_left_out) for name, report in named]
    text = "Answers left out, since the source makes too many changes."
    yield counter("odds_source_answers_left_out", text, left_out, "source")
    yield by_source(
        "consecutive_failures", "Failures in a row.",
        [(name, report.state.consecutive_failures) for name, report in named],
    )  # fmt: skip
    yield by_source(
        "last_pull_seconds", "Duration of the last fetch.",
        [(name, report.latency_s) for name, report in named],
    )  # fmt: skip
    yield by_source(
        "interval_seconds", "Interval of the slowest regular fetch.",
        [(name, report.state.interval_s) for name, report in named],
    )  # fmt: skip
    yield by_source(
        "last_success_age_seconds", "Time since the last success; absent before the first.",
        [(name, report.success_age_s) for name, report in named],
    )  # fmt: skip
    yield by_source(
        "quota_left", "Requests left, if the source reports it.",
        [(name, report.state.quota_left) for name, report in named],
    )  # fmt: skip
    yield by_source(
        "events", "Events in the cache that the source carries.",
        [(name, read.source_events.get(name, 0)) for name, _ in named],
    )  # fmt: skip


def _freshness(sources: Sequence[SourceReport]) -> Iterator[Metric]:
    tiers = [
        ((report.state.source, tier.tier), tier) for report in sources for tier in report.freshness
    ]
    labels = ("source", "tier")
    text = "Target for the age of odds in a tier."
    targets = [(key, tier.target_s) for key, tier in tiers]
    yield gauge("odds_source_tier_target_seconds", text, targets, *labels)
    pulls = [(key, tier.pulls) for key, tier in tiers]
    yield gauge("odds_source_tier_pulls", "Regular fetches of a tier.", pulls, *labels)
    fresh = [(key, tier.fresh) for key, tier in tiers]
    text = "Regular fetches of a tier that last succeeded within the target."
    yield gauge("odds_source_tier_fresh_pulls", text, fresh, *labels)
    in_time = [(key, tier.in_time) for key, tier in tiers]
    text = "Successes within the target since the previous success."
    yield counter("odds_source_tier_in_time", text, in_time, *labels)
    late = [(key, tier.late) for key, tier in tiers]
    yield counter("odds_source_tier_late", "Successes past the target.", late, *labels)


def _delays(sources: Sequence[SourceReport]) -> Iterator[Metric]:
    delays = HistogramMetricFamily(
        "odds_delay_seconds", "Delays of odds from one point of their way to another.",
        labels=("source", "tier", "stage"),
    )  # fmt: skip
    bounds = [*(str(bound) for bound in DELAY_BUCKETS_S), "+Inf"]
    for report in sources:
        for tier in report.freshness:
            for each in tier.delays:
                counts = zip(bounds, accumulate(each.buckets), strict=True)
                key = (report.state.source, tier.tier, each.stage)
                delays.add_metric(key, list(counts), each.total_s)
    yield delays
    foreign = [
        ((report.state.source, way), count)
        for report in sources
        for way, count in (("ahead", report.clock_ahead), ("behind", report.clock_behind))
    ]
    text = "Changes without a delay, since the source's clock differs from ours."
    yield counter("odds_delay_foreign_clock", text, foreign, "source", "clock")


def _storage(storage: StorageReport | None) -> Iterator[Metric]:
    parts = [] if storage is None else [((name,), size) for name, size in storage.parts.items()]
    text = "Size of the database, by file or table."
    yield gauge("odds_storage_bytes", text, parts, "part")
    growth = None if storage is None else storage.growth_bytes_per_day
    text = "Growth of the database, told from up to a day; absent in the first hour."
    grown = [] if growth is None else [((), growth)]
    yield gauge("odds_storage_growth_bytes_per_day", text, grown)
    disks = [] if storage is None else storage.disks
    text = "Room left where the database grows, or the spill; absent if it cannot be seen."
    free = [((disk.place,), disk.free_bytes) for disk in disks]
    yield gauge("odds_disk_free_bytes", text, free, "place")
    sizes = [((disk.place,), disk.size_bytes) for disk in disks]
    yield gauge("odds_disk_size_bytes", "Size of that file system.", sizes, "place")


def _bounded(problems: dict[str, int]) -> dict[str, int]:
    named: Counter[str] = Counter()
    for name, count in problems.items():
        named[name if _NAME.fullmatch(name) else OTHER] += count
    kept = Counter(dict(named.most_common(MAX_PROBLEMS)))
    kept[OTHER] += named.total() - kept.total()
    return +kept  # drops `other` if it is 0


def _channels(channels: Sequence[ChannelFill]) -> Iterator[Metric]:
    fills = [((each.name, each.unit), each.fill) for each in channels]
    yield gauge("odds_channel_fill", "Items that wait in a channel.", fills, "channel", "unit")
    bounds = [((each.name, each.unit), each.capacity) for each in channels]
    text = "Capacity of a channel; when full, it stalls the previous stage."
    yield gauge("odds_channel_capacity", text, bounds, "channel", "unit")


def _writer(writer: WriterReport) -> Iterator[Metric]:
    states = [((state,), state == writer.state) for state in _WRITER_STATES]
    yield gauge("odds_writer_state", "1 for the current state.", states, "state")
    yield gauge("odds_writer_lag_seconds", "Age of the oldest unstored change.", writer.lag_s)
    yield gauge("odds_writer_pending_changes", "Changes not stored yet.", writer.pending_changes)
    bridged = [] if writer.bridged_s is None else [((), writer.bridged_s)]
    text = "Time until the queue is full, at the pace of the last minute."
    yield gauge("odds_writer_bridged_seconds", text, bridged)
    yield counter("odds_writer_retries", "Retried writes.", writer.retries)
    yield counter("odds_writer_groups", "Transactions committed.", writer.groups)
    confirmed = "Stored confirmations of snapshots."
    yield counter("odds_writer_confirmations", confirmed, writer.confirmations)
    dropped = "Records of fetches dropped while the database was away."
    yield counter("odds_writer_runs_dropped", dropped, writer.runs_dropped)
    letters = "Changes that the database refused, kept beside the history."
    yield gauge("odds_dead_letters", letters, writer.dead_letters)


def _subscribers(subscribers: Sequence[SubscriberReport]) -> Iterator[Metric]:
    yield gauge("odds_subscribers", "Open streams of changes.", len(subscribers))
    replaying = sum(each.replaying for each in subscribers)
    yield gauge("odds_subscribers_replaying", "Streams that replay history.", replaying)
    changes = [each.changes for each in subscribers]
    seconds = [each.seconds for each in subscribers]
    most = "Lag of the slowest stream."
    yield gauge("odds_subscriber_lag_max_changes", most, max(changes, default=0))
    yield gauge("odds_subscriber_lag_max_seconds", most, max(seconds, default=0))
    how = "Number of streams at most this far behind the newest change"
    yield _distribution("odds_subscriber_lag_changes", f"{how}, in changes.", changes, LAG_CHANGES)
    yield _distribution("odds_subscriber_lag_seconds", f"{how}, by its age.", seconds, LAG_S)


def _distribution(name: str, text: str, values: Sequence[float], bounds: Sequence[float]) -> Metric:
    counts = [(str(float(bound)), float(sum(v <= bound for v in values))) for bound in bounds]
    return GaugeHistogramMetricFamily(
        name, text, buckets=[*counts, ("+Inf", len(values))], gsum_value=sum(values)
    )


def _calls(calls: Sequence[CallReport]) -> Iterator[Metric]:
    """Yield the metrics of calls, under the names that ready-made gRPC dashboards expect."""
    service = "odds.v1.OddsService"
    named = [(each, ("server_stream" if each.streams else "unary", service, each.method))
             for each in calls]  # fmt: skip
    labels = ("grpc_type", "grpc_service", "grpc_method")
    started = [(key, each.started) for each, key in named]
    yield counter("grpc_server_started", "Calls received.", started, *labels)
    handled = [((*key, code), count) for each, key in named for code, count in each.handled.items()]
    text = "Calls that ended, by gRPC's code (CANCELLED: also by a deadline)."
    yield counter("grpc_server_handled", text, handled, *labels, "grpc_code")
    latency = HistogramMetricFamily(
        "grpc_server_handling_seconds", "Duration of unary calls.", labels=labels
    )
    for each, key in named:
        if not each.streams:
            bounds = [*(str(bound) for bound in LATENCY_BUCKETS_S), "+Inf"]
            counts = zip(bounds, accumulate(each.buckets), strict=True)
            latency.add_metric(key, list(counts), each.total_s)
    yield latency


def _usage(usage: Sequence[UsageReport]) -> Iterator[Metric]:
    yield counter(
        "odds_token_calls", "Calls begun, by the name of the token.",
        [((each.name,), each.calls) for each in usage], "token",
    )  # fmt: skip
    yield counter(
        "odds_token_changes", "Changes sent, by the name of the token.",
        [((each.name,), each.changes) for each in usage], "token",
    )  # fmt: skip
    yield counter(
        "odds_token_refreshes", "Refreshes begun, by the name of the token.",
        [((each.name,), each.refreshes) for each in usage], "token",
    )  # fmt: skip
