"""What the service tells of itself: plain values for GetStatus and metrics."""

from datetime import datetime
from typing import Final

from msgspec import Struct

from odds_service.clock import ClockState
from odds_service.model.source import SourceState


class TierFreshness(Struct, frozen=True, kw_only=True):
    """How one tier keeps its target: `fresh` of `pulls` succeeded within the last `target_s`.

    in_time, late: successes since the start that came within, or after, the target since the one
    before; a first success is counted from when its pull was known.
    """

    tier: str
    target_s: float
    pulls: int
    fresh: int
    in_time: int
    late: int


class SourceReport(Struct, frozen=True, kw_only=True):
    """One source, seen by an operator. problems: name -> how many since the start.

    mapped, unmapped: markets read since the start that became canonical ones, and that did not;
    unmapped_names: the source's commonest names of the latter -> how many.
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
    """How full a bounded channel is; `unit` says of what (observations, changes)."""

    name: str
    fill: int
    capacity: int
    unit: str


class WriterReport(Struct, frozen=True, kw_only=True):
    """How the way into the database stands.

    state: `idle`, `writing`, `retrying` (reason: why) or `draining` (the service stops).
    lag_s: age of the oldest change that is not durable. dead_letters: how many are kept.
    bridged_s: how long the rest of the queue lasts at the present rate of changes, None while
    nothing changes. groups: transactions that were committed; confirmations: snapshots that were
    seen again unchanged, as far as that is stored.
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
    """How the clocks stand; see clock.ClockState.

    lead_s: how far the log's stamps are ahead of the wall clock. holds: they wait for it.
    """

    state: ClockState = ClockState()
    lead_s: float = 0.0
    holds: bool = False


class ServiceStatus(Struct, frozen=True, kw_only=True):
    """All of it; revisions and subscribers are added by the server, which knows them.

    log_time: the log's own time, which ages of its changes are told by; None: that is `now`.
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


# Upper bounds in seconds; what takes longer is in one bucket more, which has none.
LATENCY_BUCKETS_S: Final = (
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip


class CallReport(Struct, frozen=True, kw_only=True):
    """One method of the API since the start.

    handled: name of gRPC's code -> how many ended so. buckets: how many took how long, by
    LATENCY_BUCKETS_S, not cumulative; total_s is their sum. Both empty for streams, which last
    as long as their readers want.
    """

    method: str
    streams: bool
    started: int
    handled: dict[str, int]
    buckets: list[int]
    total_s: float


class SubscriberReport(Struct, frozen=True):
    """How far a stream of changes is behind the head, in changes and in seconds."""

    changes: int
    seconds: float
    replaying: bool


class RpcReport(Struct, frozen=True):
    """What the gRPC server adds; encoded: pieces of the log, however many streams read them."""

    calls: list[CallReport]
    subscribers: list[SubscriberReport]
    encoded: int
