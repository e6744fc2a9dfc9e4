"""The steady clock and the stamps of the log, over jumps of the wall clock and sleeps."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odds_service.clock import FOLLOW_AFTER_S, DrivenClock, SteadyClock, SystemClock, later
from odds_service.stamps import HOLD_LEAD_S, LogClock
from tests.support.clock import ManualClock

NOON = datetime(2026, 8, 4, 12, tzinfo=UTC)
HOUR_S, DAY_S = 3_600.0, 86_400.0
JUMPS = [HOUR_S, -HOUR_S, 400 * DAY_S, -400 * DAY_S, 3_653 * DAY_S]


def ticking(clock: SteadyClock, manual: ManualClock, seconds: int) -> None:
    for _ in range(seconds):
        manual.run(1.0)
        clock.look()


@pytest.mark.parametrize("jump_s", JUMPS)
def test_a_jump_is_believed_once_it_has_stood(jump_s: float) -> None:
    manual = ManualClock(NOON)
    clock = SteadyClock(manual)
    manual.jump(jump_s)
    assert clock.look().jump_s == jump_s
    ticking(clock, manual, int(FOLLOW_AFTER_S) - 1)
    assert clock.wall() == NOON + timedelta(seconds=FOLLOW_AFTER_S - 1)
    assert clock.state.waiting
    ticking(clock, manual, 1)
    assert clock.wall() == manual.wall()
    assert (clock.state.jumps, clock.state.waiting) == (1, False)
    ticking(clock, manual, 100)
    assert clock.state.jumps == 1


@pytest.mark.parametrize("jump_s", JUMPS)
def test_a_clock_that_is_wrong_for_some_seconds_is_told_and_never_followed(jump_s: float) -> None:
    manual = ManualClock(NOON)
    clock = SteadyClock(manual)
    manual.jump(jump_s)
    ticking(clock, manual, 3)
    manual.jump(-jump_s)
    ticking(clock, manual, 100)
    assert clock.wall() == manual.wall() == NOON + timedelta(seconds=103)
    assert clock.state.jumps == 2
    assert clock.state.last_jump_s == -jump_s


def test_a_small_correction_is_no_jump_and_followed_at_once() -> None:
    manual = ManualClock(NOON)
    clock = SteadyClock(manual)
    for step_s in (1.5, -1.5, 1.9):
        manual.jump(step_s)
        assert clock.look().jump_s == 0
        assert clock.wall() == manual.wall()
    assert clock.reading().distrust_before_s == float("-inf")


def test_a_sleep_is_no_jump_and_ages_all_that_was_seen() -> None:
    manual = ManualClock(NOON)
    clock = SteadyClock(manual)
    seen_s = clock.boot_s()
    manual.sleep(80 * HOUR_S)
    looked = clock.look()
    assert (looked.jump_s, looked.slept_s) == (0.0, 80 * HOUR_S)
    assert clock.awake_since_s == clock.boot_s()
    assert clock.wall() == manual.wall()
    assert clock.reading().age_s(NOON, seen_s) == 80 * HOUR_S
    assert (clock.state.sleeps, clock.state.slept_s, clock.state.jumps) == (1, 80 * HOUR_S, 0)


def test_a_forward_jump_that_the_boot_clock_does_not_know_of_makes_odds_stale_at_once() -> None:
    manual = ManualClock(NOON)
    clock = SteadyClock(manual)
    seen_s = clock.boot_s()
    manual.run(1.0)
    assert clock.reading().age_s(NOON, seen_s) == 1.0
    manual.jump(HOUR_S)  # a virtual machine that was paused
    assert clock.reading().age_s(NOON, seen_s) == float("inf")
    clock.look()
    assert clock.reading().age_s(NOON, seen_s) == float("inf")
    confirmed_s = clock.boot_s()
    manual.run(1.0)
    assert clock.reading().age_s(NOON, confirmed_s) == 1.0


def test_a_backward_jump_makes_nothing_stale() -> None:
    manual = ManualClock(NOON)
    clock = SteadyClock(manual)
    seen_s = clock.boot_s()
    manual.jump(-HOUR_S)
    clock.look()
    assert clock.reading().age_s(NOON, seen_s) == 0.0


def test_attempts_are_numbered_in_order_by_every_clock() -> None:
    for clock in (SystemClock(), DrivenClock(lambda: NOON), SteadyClock(ManualClock(NOON))):
        numbers = [clock.sequence() for _ in range(100)]
        assert numbers == sorted(set(numbers))


def test_times_stay_within_the_years_that_there_are() -> None:
    assert later(NOON, 1e12).year == 9999
    assert later(NOON, -1e12).year == 1


steps = st.lists(
    st.tuples(
        st.floats(0, 4 * DAY_S),  # of the boot clock, before the stamp
        st.one_of(st.just(0.0), st.floats(-400 * DAY_S, 400 * DAY_S)),  # jump of the wall clock
    ),
    min_size=1,
    max_size=40,
)


@settings(deadline=None)
@given(steps=steps, ahead_s=st.floats(-DAY_S, 400 * DAY_S))
def test_stamps_never_decrease_never_lead_by_more_than_they_did_and_meet_the_clock(
    steps: list[tuple[float, float]], ahead_s: float
) -> None:
    last, wall, boot_s = later(NOON, ahead_s), NOON, 0.0
    log = LogClock(last)
    for run_s, jump_s in steps:
        boot_s += run_s
        wall = later(wall, run_s + jump_s)
        lead_s = max(0.0, (last - wall).total_seconds())
        assert log.lead_s(wall, boot_s) <= lead_s + run_s / 2 + 1e-3
        assert log.holds(wall, boot_s) == (lead_s > HOLD_LEAD_S)
        stamp = log.stamp(wall, boot_s)
        assert stamp.detected_at >= last
        assert stamp.detected_at >= wall
        assert (stamp.wall_at or stamp.detected_at) == wall
        if lead_s > HOLD_LEAD_S:
            assert stamp.detected_at == last + timedelta(microseconds=1)
        last = stamp.detected_at
    # Without more jumps the clock catches up with the log, and they agree from then on.
    lead_s = max(0.0, (last - wall).total_seconds())
    wall, boot_s = later(wall, 2 * lead_s + 1), boot_s + 2 * lead_s + 1
    assert log.stamp(wall, boot_s) == (wall, None)


def test_a_log_that_leads_runs_at_half_the_pace_until_they_meet() -> None:
    log = LogClock(NOON + timedelta(seconds=100))
    assert log.stamp(NOON, 0.0) == (NOON + timedelta(seconds=100), NOON)
    for second in range(1, 200):
        at = NOON + timedelta(seconds=second)
        assert log.stamp(at, float(second)).detected_at == NOON + timedelta(
            seconds=100 + second / 2
        )
    meets = NOON + timedelta(seconds=200)
    assert log.stamp(meets, 200.0) == (meets, None)
