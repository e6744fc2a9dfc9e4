"""The last success of a source in the past: pure functions that all stores share."""

from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from odds_service.model.source import STALE_AFTER_INTERVALS, SourceState, SourceStatus

RUNS_SEARCHED: Final = timedelta(hours=1)  # before the time; contains thousands of pulls


def with_success(state: SourceState, answered_at: datetime | None) -> SourceState:
    """Return the state with a success that came after its last announced change."""
    known = state.last_success_at
    if answered_at is None or (known is not None and known >= answered_at):
        return state
    failures = 0 if state.status is SourceStatus.UP else state.consecutive_failures
    return replace(state, last_success_at=answered_at, consecutive_failures=failures)


def earliest_success(state: SourceState, at: datetime, seen_at: datetime) -> datetime:
    """Return a lower bound of the time of a source's last success before a given time.

    An UP source has succeeded within STALE_AFTER_INTERVALS intervals. Any other source last
    succeeded at the time in its state.

    Args:
        state: the source's state at that time.
        at: the time.
        seen_at: a known success; the result is never earlier.
    """
    if state.status is SourceStatus.UP:
        within = timedelta(seconds=STALE_AFTER_INTERVALS * state.interval_s)
        return max(seen_at, at - within)
    if state.last_success_at is not None:
        return max(seen_at, min(state.last_success_at, at))
    return seen_at
