"""The state of the service as plain values, for GetStatus and metrics."""

from datetime import datetime
from typing import Final

from msgspec import Struct

from odds_service.clock import ClockState
from odds_service.model.source import SourceState


class TierFreshness(Struct, frozen=True, kw_only=True):
    """The freshness of one tier: `fresh` of its `pulls` succeeded within the last `target_s`.

    Attributes:
        in_time: The successes since the start that came within the target after the previous one.
            A first success is measured from the time at which its pull became known.
        late: The successes since the start that came later than that.
    """

    tier: str
    target_s: float
    pulls: int
    fresh: int
    in_time: int
    late: int


class SourceReport(Struct, frozen=True, kw_only=True):
    """One source, for operators.

    Attributes:
        problems: Name -> count since the start.
        mapped: The number of markets read since the start that have a canonical name.
        unmapped: The number of markets read since the start that have none.
        unmapped_names: The source's most frequent names of unmapped markets -> count.
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
    success_age_s: float | None = None


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


class ClockReport(Struct, frozen=True, kw_only=True):
    """The clocks; see clock.ClockState.

    Attributes:
        lead_s: The seconds by which the log's stamps are ahead of the wall clock.
        holds: Whether the stamps wait for the wall clock.
    """

    state: ClockState = ClockState()
    lead_s: float = 0.0
    holds: bool = False


class ServiceStatus(Struct, frozen=True, kw_only=True):
    """The service as a whole; the gRPC server adds revisions and subscribers.

    Attributes:
        log_time: The log's own time, from which ages of changes are measured; None for `now`.
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
