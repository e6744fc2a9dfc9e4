"""The state of the service as plain values, for GetStatus and metrics."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from odds_service.clock import ClockState
from odds_service.model.observation import UnmappedSample
from odds_service.model.source import SourceState

# Upper bounds in seconds; one more bucket, without a bound, holds the rest.
DELAY_BUCKETS_S: Final = (
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0, 60.0, 120.0, 300.0, 900.0, 3_600.0, 21_600.0,
)  # fmt: skip


class DelayReport(Struct, frozen=True):
    """The delays of one stage, such as `observed_sent`; see delays.STAGES.

    Attributes:
        buckets: The changes by delay since the start, not cumulative; see DELAY_BUCKETS_S.
        total_s: The sum of their delays, in seconds.
        recent: The buckets of the last ten minutes, in which percentiles are looked for.
    """

    stage: str
    buckets: list[int]
    total_s: float
    recent: list[int]

    def percentile_s(self, percent: float) -> float | None:
        """Return a percentile of the recent delays in seconds, interpolated within its bucket.

        Beyond the last bound it is that bound, so "at least". None if there is no recent delay.
        """
        count = sum(self.recent)
        if not count:
            return None
        rank, below = count * percent / 100, 0
        lower = 0.0
        for bound, inside in zip(DELAY_BUCKETS_S, self.recent, strict=False):
            if inside and below + inside >= rank:
                return lower + (bound - lower) * (rank - below) / inside
            below += inside
            lower = bound
        return lower


class TierFreshness(Struct, frozen=True, kw_only=True):
    """The freshness of one tier: `fresh` of its `pulls` succeeded within the last `target_s`.

    Attributes:
        in_time: The successes since the start that came within the target after the previous one.
            A first success is measured from the time at which its pull became known.
        late: The successes since the start that came later than that.
        delays: The delays of its odds, by stage; stages without any are left out.
    """

    tier: str
    target_s: float
    pulls: int
    fresh: int
    in_time: int
    late: int
    delays: list[DelayReport] = []


class SourceReport(Struct, frozen=True, kw_only=True):
    """One source, for operators.

    Attributes:
        problems: Name -> count since the start.
        mapped: The number of markets read since the start that have a canonical name.
        unmapped: The number of markets read since the start that have none.
        unmapped_names: The source's most frequent names of unmapped markets -> count.
        new_events: The number of events new to the source that were taken since the start.
        new_events_left_out: The number of those that were left out, above the bound, once an
            answer.
        changes: The number of changes in known events since the start.
        answers_left_out: The number of answers left out since the start, above the bound of
            changes.
        clock_ahead: The changes that the source dates after their observation.
        clock_behind: The changes that the source dates over a day before it.
    """

    state: SourceState
    kind: str
    next_due_at: datetime | None
    pulls: int
    failures: int
    problems: dict[str, int]
    latency_s: float | None
    freshness: list[TierFreshness] = []
    mapped: int = 0
    unmapped: int = 0
    unmapped_names: dict[str, int] = {}
    new_events: int = 0
    new_events_left_out: int = 0
    changes: int = 0
    answers_left_out: int = 0
    success_age_s: float | None = None
    clock_ahead: int = 0
    clock_behind: int = 0


class UnmappedReport(Struct, frozen=True, kw_only=True):
    """The markets of one sport that a source gives a name which nothing maps.

    Attributes:
        sport: The canonical sport; empty if the source does not tell.
        count: The number of them that were read since the start.
        samples: The latest, the latest first.
    """

    source: str
    sport: str
    name: str
    count: int
    last_seen_at: datetime
    samples: tuple[UnmappedSample, ...] = ()


class ChannelFill(Struct, frozen=True):
    """The fill of a bounded channel, in a unit such as observations or changes."""

    name: str
    fill: int
    capacity: int
    unit: str


class WriterReport(Struct, frozen=True, kw_only=True):
    """The state of the writer and its queue.

    Attributes:
        state: `idle`, `writing`, `retrying` (see reason) or `draining` (the service is stopping).
        lag_s: The age of the oldest change that is not durable, in seconds.
        dead_letters: The number of dead letters kept.
        bridged_s: The seconds until the queue is full at the present rate of changes; None while
            nothing changes.
        groups: The number of committed transactions.
        confirmations: The number of stored confirmations of snapshots.
        runs_dropped: The number of scrape runs dropped because the database was away too long.
    """

    state: str
    reason: str
    lag_s: float
    pending_changes: int
    retries: int
    dead_letters: int
    bridged_s: float | None
    groups: int = 0
    confirmations: int = 0
    runs_dropped: int = 0


# Of a process that writes nothing.
IDLE_WRITER: Final = WriterReport(
    state="idle", reason="", lag_s=0.0, pending_changes=0, retries=0, dead_letters=0, bridged_s=None
)


class ClockReport(Struct, frozen=True, kw_only=True):
    """The clocks; see clock.ClockState.

    Attributes:
        lead_s: The seconds by which the log's stamps are ahead of the wall clock.
        holds: Whether the stamps wait for the wall clock.
    """

    state: ClockState = ClockState()
    lead_s: float = 0.0
    holds: bool = False


class Disk(Struct, frozen=True):
    """The file system of a place, `database` or `spill`, as far as this machine can see it.

    Attributes:
        free_bytes: The bytes that this process may still use.
        size_bytes: The size of the file system.
    """

    place: str
    free_bytes: int
    size_bytes: int


class StorageReport(Struct, frozen=True, kw_only=True):
    """The size of the database, measured once a minute.

    Attributes:
        parts: Part -> its bytes: files of SQLite, tables of PostgreSQL, and the spill.
        disks: The file systems that can be seen; that of a PostgreSQL server cannot.
        growth_bytes_per_day: The growth over `growth_span_s`, scaled to a day; None in the first
            hour after a start. Negative if the database shrank.
        growth_span_s: The seconds that the growth was measured over, a day at most.
    """

    measured_at: datetime
    parts: dict[str, int]
    disks: list[Disk]
    growth_bytes_per_day: float | None = None
    growth_span_s: float = 0.0

    @property
    def total_bytes(self) -> int:
        return sum(self.parts.values())

    @property
    def full_in_days(self) -> float | None:
        """Days until the growth fills the database's disk; None if unknown or if it does not."""
        growth = self.growth_bytes_per_day
        free = [disk.free_bytes for disk in self.disks if disk.place == "database"]
        return free[0] / growth if free and growth is not None and growth > 0 else None


class LoopReport(Struct, frozen=True, kw_only=True):
    """Stalls of the Trio thread since the start; see watchdog.

    Attributes:
        stalls: The times that it stood for more than a second.
        stalls_by_task: The same by the task that ran then.
        stalled_s: The total length of those that have ended, in seconds.
        longest_s: The length of the longest, in seconds.
        last_task: The task of the last stall.
        last_place: Its innermost function, as `module:function:line`.
        last_at: The wall clock at the last stall.
        pauses: The times that the whole process did not run: stopped, or starved of CPU.
        paused_s: The total length of the pauses, in seconds.
    """

    stalls: int = 0
    stalls_by_task: dict[str, int] = {}
    stalled_s: float = 0.0
    longest_s: float = 0.0
    last_task: str = ""
    last_place: str = ""
    last_at: datetime | None = None
    pauses: int = 0
    paused_s: float = 0.0


class BusReport(Struct, frozen=True, kw_only=True):
    """A node's side of the log on the bus; see bus.outbox and replica.follower.

    Attributes:
        role: `ingest` or `read`.
        state: Of an ingest node `standby`, `taking_over`, `sending` or `retrying`; of a read node
            `starting`, `following`, `catching_up`, `rebuilding` or `away`.
        reason: The trouble behind the state; empty without one.
        messages: The messages stored or applied since the start.
        pending_changes: Of an ingest node, the changes that the bus has not acknowledged.
        capacity: The number of them from which scraping holds.
        acknowledged: The appends that the bus has acknowledged.
        ack_total_s: The sum of their delays, in seconds.
        tails_rewritten: The times that a tail which the bus had lost was written again.
        sequence: The last sequence stored or applied.
        sequence_lag: Of a read node, the messages of the log that it has not applied.
        lag_s: The age of the newest message applied, in seconds; None before the first.
        clock_ahead_s: This node's wall clock less that of the ingest node, as of the promptest
            recent message; None if unknown.
        rebuilds: The times that the odds were loaded from the database again.
        upstream: The name of the active ingest node; empty if unknown.
        upstream_age_s: The seconds since it was last heard of; None if never.
        fenced: Whether another node took the log over from this one.
    """

    role: str
    state: str
    reason: str = ""
    messages: int = 0
    pending_changes: int = 0
    capacity: int = 0
    acknowledged: int = 0
    ack_total_s: float = 0.0
    tails_rewritten: int = 0
    sequence: int = 0
    sequence_lag: int = 0
    lag_s: float | None = None
    clock_ahead_s: float | None = None
    rebuilds: int = 0
    upstream: str = ""
    upstream_age_s: float | None = None
    fenced: bool = False


class WorkerReport(Struct, frozen=True, kw_only=True):
    """A worker process, in which sources are fetched and read.

    Attributes:
        number: Its number, from 1.
        up: Whether its process runs.
        sources: The number of sources that it holds open, or will.
        restarts: The times that it was started again.
        cpu_s: The processor time of all its processes, in seconds.
        memory_bytes: The most resident memory of the present process so far; 0 if unknown.
    """

    number: int
    up: bool
    sources: int
    restarts: int
    cpu_s: float
    memory_bytes: int


class ServiceStatus(Struct, frozen=True, kw_only=True):
    """The service as a whole; the gRPC server adds revisions and subscribers.

    Attributes:
        log_lines_lost: The number of log lines, and prints, that no reader took in time.
        log_time: The log's own time, from which ages of changes are measured; None for `now`.
        storage: The size of the database; None if it is not known.
        bus: The log on the bus; None in a process without one.
        workers: The worker processes; empty where sources are fetched in this one.
    """

    version: str
    started_at: datetime
    now: datetime
    sources: list[SourceReport]
    channels: list[ChannelFill]
    writer: WriterReport
    events: int
    markets: int
    late_events: int = 0
    duplicate_events: int = 0
    log_time: datetime | None = None
    clock: ClockReport = ClockReport()
    storage: StorageReport | None = None
    loop: LoopReport = LoopReport()
    log_lines_lost: int = 0
    bus: BusReport | None = None
    workers: Sequence[WorkerReport] = ()


# Upper bounds in seconds; one more bucket, without a bound, holds the rest.
LATENCY_BUCKETS_S: Final = (
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip


class CallReport(Struct, frozen=True, kw_only=True):
    """Counts of one method since the start.

    Streams last as long as their readers want, so their `buckets` is empty and their `total_s` 0.

    Attributes:
        handled: Name of a gRPC code -> number of calls that ended with it.
        buckets: Calls by duration, not cumulative; see LATENCY_BUCKETS_S.
        total_s: The total duration of all calls, in seconds.
    """

    method: str
    streams: bool
    started: int
    handled: dict[str, int]
    buckets: list[int]
    total_s: float


class SubscriberReport(Struct, frozen=True):
    """The lag of a stream of changes behind the head, in changes and in seconds."""

    changes: int
    seconds: float
    replaying: bool


class UsageReport(Struct, frozen=True):
    """The use of the server under one configured name: calls, changes sent, refreshes."""

    name: str
    calls: int
    changes: int
    refreshes: int


class RpcReport(Struct, frozen=True):
    """The state of the gRPC server; `encoded` counts pieces of the log, shared ones once."""

    calls: list[CallReport]
    subscribers: list[SubscriberReport]
    encoded: int
    usage: list[UsageReport] = []
