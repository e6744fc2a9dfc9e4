"""The state of a source after fetches and by the clock, and the changes that are announced."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from odds_service.detection.source_changes import after_fetch, compare_states, judge
from odds_service.model.change import ChangeKind
from odds_service.model.observation import Completeness, Observation, Scope
from odds_service.model.source import (
    DOWN_AFTER_FAILURES,
    STALE_AFTER_INTERVALS,
    SourceReason,
    SourceState,
    SourceStatus,
)
from tests.support.observations import NOON, observe

INTERVAL_S = 60.0
STARTING = SourceState(source="toa", interval_s=INTERVAL_S)
UP = replace(
    STARTING,
    status=SourceStatus.UP,
    announced=SourceStatus.UP,
    reason="",
    last_success_at=NOON,
    success_boot_s=100.0,
)


def failed(problem: str, event_id: str | None = None) -> Observation:
    """Return a failed fetch of one event or of a whole listing."""
    events = None if event_id is None else frozenset({event_id})
    found = observe([], 1, scope=Scope(events=events), completeness=Completeness.FAILED)
    return replace(found, reason="in words", problems={problem: 1})


def test_a_success_ends_the_failures() -> None:
    bad = replace(UP, consecutive_failures=4, reason="timeout", detail="in words")
    good = after_fetch(bad, replace(observe([], 1), observed_boot_s=160.0, quota_left=7), 160.0)
    assert (good.consecutive_failures, good.reason, good.detail) == (0, "", "")
    assert (good.last_success_at, good.success_boot_s) == (NOON + timedelta(minutes=1), 160.0)
    assert good.quota_left == 7


@pytest.mark.parametrize(
    ("state", "observation", "failures"),
    [
        (UP, failed("timeout"), 1),
        (UP, failed("timeout", "e"), 1),
        (UP, failed("wrong_shape"), 1),
        (UP, failed("wrong_shape", "e"), 0),  # the source's other events can be read
        (STARTING, failed("wrong_shape", "e"), 1),
    ],
)
def test_failures_are_counted_unless_one_event_alone_is_at_fault(
    state: SourceState, observation: Observation, failures: int
) -> None:
    after = after_fetch(state, observation, 100.0)
    assert after.consecutive_failures == failures
    assert (after.reason, after.detail) == (observation.failure, "in words")


@pytest.mark.parametrize(
    ("state", "age_s", "storage_behind", "status", "reason"),
    [
        (UP, 0.0, False, SourceStatus.UP, ""),
        (UP, 0.0, True, SourceStatus.UP, ""),
        (UP, STALE_AFTER_INTERVALS * INTERVAL_S, False, SourceStatus.UP, ""),
        (UP, 1e3, False, SourceStatus.STALE, SourceReason.NO_SUCCESS),
        (UP, 1e3, True, SourceStatus.STALE, SourceReason.STORAGE_BEHIND),
        (STARTING, 1e3, True, SourceStatus.STALE, SourceReason.STARTING),
        (
            replace(UP, consecutive_failures=DOWN_AFTER_FAILURES, reason="timeout"),
            0.0, False, SourceStatus.DOWN, "timeout",
        ),
    ],
)  # fmt: skip
def test_time_and_failures_give_a_status_and_its_reason(
    state: SourceState, age_s: float, storage_behind: bool, status: SourceStatus, reason: str
) -> None:
    judged = judge(state, 100.0 + age_s, storage_behind=storage_behind)
    assert (judged.status, judged.reason) == (status, reason)


def test_only_a_status_that_differs_from_the_announced_one_is_a_change() -> None:
    assert compare_states(UP, replace(UP, quota_left=3)) is None
    down = compare_states(UP, replace(UP, status=SourceStatus.DOWN))
    assert down is not None
    assert (down.kind, down.after.announced) == (ChangeKind.SOURCE_DOWN, SourceStatus.DOWN)


def test_a_restart_announces_nothing() -> None:
    assert compare_states(STARTING, replace(STARTING, detail="in words")) is None
    restarted = replace(STARTING, announced=SourceStatus.UP)
    assert compare_states(restarted, replace(restarted, status=SourceStatus.UP)) is None
    up = compare_states(STARTING, replace(STARTING, status=SourceStatus.UP))
    assert up is not None
    assert up.kind is ChangeKind.SOURCE_UP
