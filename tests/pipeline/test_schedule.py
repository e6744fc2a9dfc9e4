"""The schedule: earliest deadline first, no overlap, later after failures."""

import random
from collections.abc import Hashable

from msgspec import Struct

from odds_service.pipeline.schedule import JITTER, MAX_BACKOFF_INTERVALS, Schedule


class Job(Struct, frozen=True):
    key: Hashable
    interval_s: float


def schedule_of(*jobs: Job) -> Schedule[Job]:
    schedule: Schedule[Job] = Schedule(random.Random(1))
    schedule.update(jobs, 0.0)
    return schedule


def test_a_pull_is_out_until_it_has_finished() -> None:
    job = Job("a", 10)
    schedule = schedule_of(job)
    assert schedule.take(0) is job
    assert schedule.take(100) is None
    assert schedule.next_due() is None
    schedule.finished(job, 0, 0, None)
    due = schedule.next_due()
    assert due is not None
    assert abs(due - 10) <= 10 * JITTER
    assert schedule.take(due - 0.001) is None
    assert schedule.take(due) is job


def test_the_most_urgent_first_and_each_at_its_pace() -> None:
    fast, slow = Job("fast", 1), Job("slow", 10)
    schedule = schedule_of(slow, fast)
    now, taken = 0.0, {"fast": 0, "slow": 0}
    while now < 100:
        job = schedule.take(now)
        if job is None:
            now = schedule.next_due() or now
            continue
        taken[str(job.key)] += 1
        schedule.finished(job, now, 0, None)
    assert 90 <= taken["fast"] <= 110
    assert 9 <= taken["slow"] <= 11


def test_failures_back_off_to_a_bound_and_the_source_may_ask_for_more() -> None:
    job = Job("a", 10)
    schedule = schedule_of(job)
    waits = []
    for failures in range(10):
        assert schedule.take(1e9) is job
        schedule.finished(job, 0, failures, None)
        waits.append(schedule.next_due() or 0)
    assert max(waits) <= 10 * MAX_BACKOFF_INTERVALS * (1 + JITTER)
    assert waits[4] > 3 * waits[1]
    schedule.take(1e9)
    schedule.finished(job, 0, 0, 500.0)
    assert schedule.next_due() == 500.0


def test_dropped_pulls_go_and_new_ones_come() -> None:
    schedule = schedule_of(Job("a", 10), Job("b", 10))
    running = schedule.take(0)
    assert running is not None
    schedule.update([Job("c", 10)], 5)
    schedule.finished(running, 0, 0, None)
    assert schedule.take(1e9) == Job("c", 10)
    assert schedule.take(1e9) is None
    schedule.update([Job("c", 3)], 6)
    schedule.finished(Job("c", 10), 6, 0, None)
    assert schedule.take(1e9) == Job("c", 3)  # its new pace holds from then on


def test_a_pull_dropped_and_back_while_it_runs_does_not_overlap_itself() -> None:
    job = Job("a", 10)
    schedule = schedule_of(job)
    assert schedule.take(0) is job
    schedule.update([], 1)
    schedule.update([job], 2)
    assert schedule.take(1e9) is None
    schedule.finished(job, 0, 0, None)
    assert schedule.take(1e9) is job
    assert schedule.take(1e9) is None
