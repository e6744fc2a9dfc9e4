"""Schedules and retention when the clocks move."""

from datetime import timedelta

from odds_service.pipeline.retention import CATCH_UP, RetentionTime
from odds_service.pipeline.schedule import Job, Schedule
from odds_service.sources.access import Access
from odds_service.sources.base import Pace, Tier
from tests.support.observations import NOON

TIERS = (
    Tier(name="near", within_s=3_600.0, interval_s=10.0, target_s=15.0),
    Tier(name="far", within_s=None, interval_s=1_800.0, target_s=3_600.0),
)


def schedule_of_ten() -> Schedule:
    access = Access()
    access.keep_to(Pace(tiers=TIERS, concurrency=10), day_offset_s=0.0)
    return Schedule(TIERS, access)


def test_after_a_sleep_all_jobs_are_due_the_most_urgent_first() -> None:
    schedule = schedule_of_ten()
    jobs = [Job(key="far", starts_at=1e6), Job(key="near", starts_at=100.0)]
    schedule.update(jobs, 0.0)
    for _ in jobs:
        taken = schedule.take(0.0)
        assert taken is not None
        schedule.finished(taken.key, 0.0, ok=True)
    assert schedule.take(1.0) is None
    schedule.hurry(1.0)
    # What is planned anew stays due.
    schedule.update([Job(key="far", starts_at=2e6), Job(key="near", starts_at=90.0)], 1.0)
    assert [job.key for job in (schedule.take(1.0), schedule.take(1.0)) if job] == ["near", "far"]
    assert schedule.take(1.0) is None


def test_a_job_that_is_out_during_a_sleep_does_not_overlap_itself() -> None:
    schedule = schedule_of_ten()
    schedule.update([Job(key="a")], 0.0)
    assert schedule.take(0.0) is not None
    schedule.hurry(1.0)
    assert schedule.take(1.0) is None


def test_a_clock_that_is_years_ahead_takes_history_out_by_the_day_and_not_at_once() -> None:
    aged = RetentionTime(NOON)
    ahead = NOON + timedelta(days=3_653)
    assert aged.at(ahead, 1_000.0) == NOON + timedelta(days=1)
    assert aged.at(ahead, 4_600.0) == NOON + timedelta(days=1, hours=CATCH_UP)
    assert aged.at(NOON, 5_000.0) == NOON  # set right
    assert aged.at(NOON + timedelta(seconds=60), 5_060.0) == NOON + timedelta(seconds=60)


def test_an_empty_history_is_aged_by_the_wall_clock() -> None:
    assert RetentionTime(None).at(NOON, 5.0) == NOON
