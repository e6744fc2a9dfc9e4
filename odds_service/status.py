"""What the service tells of itself: plain values for GetStatus and metrics."""

from datetime import datetime

from msgspec import Struct

from odds_service.model.source import SourceState


class SourceReport(Struct, frozen=True, kw_only=True):
    """One source, seen by an operator. problems: name -> how many since the start."""

    state: SourceState
    kind: str
    next_due_at: datetime | None
    pulls: int
    failures: int
    problems: dict[str, int]
    latency_s: float | None


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
    nothing changes.
    """

    state: str
    reason: str
    lag_s: float
    pending_changes: int
    retries: int
    dead_letters: int
    bridged_s: float | None


class ServiceStatus(Struct, frozen=True, kw_only=True):
    """All of it; revisions and subscribers are added by the server, which knows them."""

    version: str
    started_at: datetime
    now: datetime
    sources: list[SourceReport]
    channels: list[ChannelFill]
    writer: WriterReport
    events: int
    markets: int
