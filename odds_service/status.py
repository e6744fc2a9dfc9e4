"""The state of the service as plain values, for GetStatus and metrics."""

from datetime import datetime
from typing import Final

from msgspec import Struct

from odds_service.clock import ClockState
from odds_service.model.source import SourceState


class TierFreshness(Struct, frozen=True, kw_only=True):
    """The freshness of one tier: `fresh` of its `pulls` succeeded within the last `target_s`.

    in_time, late: successes since the start that came within the target after the one before, or
    later. A first success is measured from the time that its pull became known.
    """

    tier: str
    target_s: float
    pulls: int
    fresh: int
    in_time: int
    late: int


class SourceReport(Struct, frozen=True, kw_only=True):
    """One source, for operators.

    problems: name -> count since the start. mapped, unmapped: markets read since the start that
    have a canonical name, and those without one. unmapped_names: the source's commonest names for
    the latter -> count.
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

    state: `idle`, `writing`, `retrying` (see reason) or `draining` (the service stops).
    lag_s: age of the oldest change that is not durable. dead_letters: number of kept ones.
    bridged_s: seconds until the queue is full at the present rate of changes, None while nothing
    changes. groups: committed transactions. confirmations: stored confirmations of snapshots.
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

    lead_s: seconds that the log's stamps are ahead of the wall clock. holds: they wait for it.
    """

    state: ClockState = ClockState()
    lead_s: float = 0.0
    holds: bool = False


class ServiceStatus(Struct, frozen=True, kw_only=True):
    """The service as a whole. The server adds revisions and subscribers, which it knows.

    log_time: the log's own time, from which ages of changes are measured; None: `now`.
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

    handled: name of a gRPC code -> calls that ended with it. buckets: calls by duration, see
    LATENCY_BUCKETS_S; not cumulative. total_s: seconds of all calls. Streams last as long as their
    readers want, so for them buckets is empty and total_s is 0.
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


class RpcReport(Struct, frozen=True):
    """The gRPC server's part. encoded: pieces of the log; those that streams share count once."""

    calls: list[CallReport]
    subscribers: list[SubscriberReport]
    encoded: int
