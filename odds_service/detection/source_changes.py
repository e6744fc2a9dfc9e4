"""States of sources after fetches and with the passage of time, and their announced changes."""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from odds_service.model.change import ChangeKind
from odds_service.model.observation import Completeness, Observation
from odds_service.model.source import (
    UNREADABLE_KINDS,
    Overload,
    SourceReason,
    SourceState,
    SourceStatus,
    judged_status,
)

_UP: Final = SourceStatus.UP
_KINDS: Final = {
    SourceStatus.UP: ChangeKind.SOURCE_UP,
    SourceStatus.STALE: ChangeKind.SOURCE_STALE,
    SourceStatus.DOWN: ChangeKind.SOURCE_DOWN,
}


class SourceDifference(Struct, frozen=True, gc=False):
    """A difference between a source's status and the one announced last."""

    kind: ChangeKind
    before: SourceState
    after: SourceState


def after_fetch(state: SourceState, observation: Observation, boot_s: float) -> SourceState:
    """Return a source's state after a fetch, with an unchanged status; see judge().

    Args:
        state: the state before the fetch.
        observation: the result of the fetch.
        boot_s: the time by the boot clock, in seconds.
    """
    if observation.completeness is Completeness.FAILED:
        failures = state.consecutive_failures
        if not (_is_of_one_event(observation) and _is_up(state, boot_s)):
            failures += 1
        state = replace(
            state,
            consecutive_failures=failures,
            reason=observation.failure,
            detail=observation.reason,
        )
    else:
        state = replace(
            state,
            last_success_at=observation.observed_at,
            success_boot_s=observation.observed_boot_s,
            consecutive_failures=0,
            reason="",
            detail=observation.reason,
        )
    if observation.quota_left is not None:
        state = replace(state, quota_left=observation.quota_left)
    return state


def judge(
    state: SourceState,
    boot_s: float,
    *,
    storage_behind: bool,
    bus_behind: bool = False,
    overload: Overload | None = None,
) -> SourceState:
    """Return a source's state with the status that follows from its age and failures.

    Args:
        state: the state with its previous status.
        boot_s: the time by the boot clock, in seconds.
        storage_behind: True while fetching waits for the database.
        bus_behind: True while fetching waits for the bus.
        overload: the bound that the source exceeds; it is STALE meanwhile, even if it answers.
    """
    reason, detail = state.reason, state.detail
    status = judged_status(state, boot_s)
    overloaded = overload is not None and state.consecutive_failures == 0
    held = storage_behind or bus_behind
    if overload is not None and overloaded and not (held and status is not _UP):
        status, reason, detail = SourceStatus.STALE, overload.reason, overload.detail
    elif status is SourceStatus.STALE and state.last_success_at is not None:
        if storage_behind:
            reason = SourceReason.STORAGE_BEHIND
            detail = "the write queue is full: fetching waits for the database"
        elif bus_behind:
            reason = SourceReason.BUS_BEHIND
            detail = "the outbox is full: fetching waits for the bus"
        elif state.consecutive_failures == 0:
            reason = SourceReason.NO_SUCCESS
            detail = f"no success since {state.last_success_at.isoformat(timespec='seconds')}"
    elif status is SourceStatus.UP and state.consecutive_failures == 0:
        reason = ""
    return replace(state, status=status, reason=reason, detail=detail if reason else "")


def compare_states(before: SourceState, after: SourceState) -> SourceDifference | None:
    """Return the difference to announce, or None.

    A restart is not a change: a source that is STALE because it has just started is not announced.

    Args:
        before: the state in the cache.
        after: the new state.
    """
    status = after.status
    if status is after.announced or (status is SourceStatus.STALE and after.announced is None):
        return None
    return SourceDifference(_KINDS[status], before, replace(after, announced=status))


def _is_of_one_event(observation: Observation) -> bool:
    """Return whether a fetch failed because the answer for one event was unreadable.

    Such a failure does not count towards DOWN while other events are readable.
    """
    scope = observation.scope
    return scope.events is not None and not UNREADABLE_KINDS.isdisjoint(observation.problems)


def _is_up(state: SourceState, boot_s: float) -> bool:
    """Return whether fetches succeed often enough for the source to be UP."""
    return judged_status(state, boot_s) is SourceStatus.UP
