"""The schedule: urgent pulls first, none starved, none overlapping itself or over the budget."""

import random
from collections import deque
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from odds_service.errors import SourceError
from odds_service.model.source import SourceState, event_interval_s
from odds_service.pipeline.schedule import (
    EQUAL_S,
    JITTER,
    Job,
    Schedule,
)
from odds_service.sources.access import MAX_BACKOFF, Access
from odds_service.sources.base import Pace, Tier, steady_tier
from odds_service.status import TierFreshness
from tests.support.examples import examples

TIERS = (
    Tier(name="in_play", within_s=0, interval_s=10, target_s=20),
    Tier(name="hour", within_s=3_600, interval_s=60, target_s=120),
    Tier(name="later", within_s=None, interval_s=900, target_s=1_800),
)


def access_with(concurrency: int = 1_000, requests_per_s: float | None = None) -> Access:
    """Return the access policy of a new source with these limits."""
    access = Access()
    pace = Pace(tiers=TIERS, concurrency=concurrency, requests_per_s=requests_per_s)
    access.keep_to(pace, day_offset_s=0.0)
    return access


def schedule_of(*jobs: Job, tiers: tuple[Tier, ...] = TIERS, concurrency: int = 1_000) -> Schedule:
    schedule = Schedule(tiers, access_with(concurrency), random.Random(1))
    schedule.update(jobs, 0.0)
    return schedule


def steady(*keys: str, interval_s: float = 10) -> Schedule:
    return schedule_of(*(Job(key=key) for key in keys), tiers=(steady_tier(interval_s),))


def due(schedule: Schedule, now: float = 0.0) -> float:
    at = schedule.next_due(now)
    assert at is not None
    return at


def test_a_pull_is_out_until_it_has_finished() -> None:
    schedule = steady("a")
    assert schedule.take(0) == Job(key="a")
    assert schedule.take(100) is None
    assert schedule.next_due(100) is None
    schedule.finished("a", 1, ok=True)
    assert abs(due(schedule) - 10) <= 10 * JITTER
    assert schedule.take(due(schedule) - 0.001) is None
    assert schedule.take(due(schedule)) == Job(key="a")
    assert steady().next_due(0) is None  # nothing is to be fetched


def taken_at(schedule: Schedule, now: float) -> list[str]:
    """Return all jobs that may start at a time."""
    keys = []
    while (job := schedule.take(now)) is not None:
        keys.append(job.key)
    return keys


def test_failures_back_off_to_a_bound_each_pull_for_itself() -> None:
    schedule = steady("good", "bad")
    starts: dict[str, list[float]] = {"good": [], "bad": []}
    now = 0.0
    while now < 400:
        for key in taken_at(schedule, now):
            starts[key].append(now)
            schedule.finished(key, now, ok=key == "good")
        now = due(schedule, now)
    gaps = [later - sooner for sooner, later in pairwise(starts["bad"])]
    assert [round(gap / 10) for gap in gaps[:6]] == [1, 2, 4, 8, 8, 8]
    assert max(gaps) <= 10 * MAX_BACKOFF * (1 + JITTER)
    assert max(b - a for a, b in pairwise(starts["good"])) <= 10 * (1 + JITTER)


def test_dropped_pulls_go_and_new_ones_come() -> None:
    schedule = steady("a", "b")
    running = schedule.take(0)
    assert running is not None
    schedule.update([Job(key="c")], 5)
    schedule.finished(running.key, 6, ok=True)
    assert schedule.take(1e9) == Job(key="c")
    assert schedule.take(1e9) is None


def test_a_pull_dropped_and_back_while_it_runs_does_not_overlap_itself() -> None:
    schedule = steady("a")
    assert schedule.take(0) is not None
    schedule.update([], 1)
    schedule.update([Job(key="a")], 2)
    assert schedule.take(1e9) is None
    schedule.finished("a", 3, ok=True)
    assert schedule.take(1e9) is not None
    assert schedule.take(1e9) is None


def test_urgency_follows_the_start() -> None:
    job = Job(key="a", starts_at=10_000, priced=True)
    schedule = schedule_of(job)
    names = [schedule.tier_at(job, at).name for at in (0, 6_399, 6_400, 9_999, 10_000, 20_000)]
    assert names == ["later", "later", "hour", "hour", "in_play", "in_play"]
    five_days = 5 * 86_400
    assert schedule.tier_at(job, 10_000 + five_days).name == "in_play"  # a Test match
    assert schedule.tier_at(replace(job, in_play=True), 0).name == "in_play"
    assert schedule.tier_at(Job(key="b"), 0).name == "later"


def test_an_event_that_has_started_and_shows_no_odds_gets_less_urgent() -> None:
    job = Job(key="a", starts_at=10_000)
    schedule = schedule_of(job)
    tiers = [schedule.tier_at(job, at).name for at in (10_000, 10_001, 13_600, 13_601, 40_000)]
    assert tiers == ["in_play", "hour", "hour", "later", "later"]
    assert schedule.tier_at(replace(job, in_play=True), 40_000).name == "in_play"
    assert schedule.take(9_950) is not None
    schedule.finished("a", 9_951, ok=True)
    assert due(schedule) == 10_000  # once at its start
    assert schedule.take(10_000) is not None
    schedule.finished("a", 10_001, ok=True)
    schedule.update([replace(job, priced=True)], 10_002)  # it showed odds
    assert abs(due(schedule) - 10_010) <= 10 * JITTER
    assert schedule.take(10_020) is not None
    schedule.finished("a", 10_020, ok=True)
    schedule.update([job], 10_021)  # none any more
    assert abs(due(schedule) - 10_080) <= 60 * JITTER


@given(starts_at=st.floats(-1e6, 1e6), in_play=st.booleans(), now=st.floats(-1e6, 1e6))
def test_what_is_priced_is_asked_for_as_often_as_its_odds_get_stale(
    starts_at: float, in_play: bool, now: float
) -> None:
    """Otherwise an event in play would be stale most of the time, even from a healthy source."""
    job = Job(key="a", starts_at=starts_at, in_play=in_play, priced=True)
    source = SourceState(
        source="s", interval_s=900, paces=tuple((tier.within_s, tier.interval_s) for tier in TIERS)
    )
    told_start = min(starts_at, now) if in_play else starts_at  # as OddsView has it
    interval_s = event_interval_s(source, told_start - now)
    assert schedule_of(job).tier_at(job, now).interval_s == interval_s


def test_a_pull_is_due_when_its_event_comes_near_not_an_interval_later() -> None:
    schedule = schedule_of(Job(key="a", starts_at=4_000))  # within the hour from 400 on
    assert schedule.take(0) is not None
    schedule.finished("a", 1, ok=True)
    assert due(schedule) == 400
    assert schedule.take(400) is not None
    schedule.finished("a", 401, ok=True)
    assert abs(due(schedule) - 460) <= 60 * JITTER


def test_a_start_that_moves_moves_the_pull() -> None:
    job = Job(key="a", starts_at=1e6)
    schedule = schedule_of(job)
    schedule.take(0)
    schedule.finished("a", 1, ok=True)
    assert due(schedule) > 800
    schedule.update([replace(job, starts_at=2_000)], 2)
    assert abs(due(schedule) - 60) <= 60 * JITTER


def test_the_earliest_deadline_goes_first_and_bookmakers_among_equals() -> None:
    jobs = [
        Job(key="later", bookmakers=9),
        Job(key="one", starts_at=100, bookmakers=1),
        Job(key="three", starts_at=100, bookmakers=3),
        Job(key="live", in_play=True),
    ]
    schedule = schedule_of(*jobs)
    assert taken_at(schedule, 0) == ["live", "three", "one", "later"]


def test_what_was_refreshed_beside_the_schedule_is_due_later() -> None:
    schedule = steady("a")
    schedule.refreshed("a", 3.0, 4.0)
    schedule.refreshed("unknown", 3.0, 4.0)
    assert abs(due(schedule) - 13) <= 10 * JITTER


def test_freshness_is_told_by_tier() -> None:
    schedule = schedule_of(Job(key="live", in_play=True), Job(key="other", in_play=True))
    for now, key in ((5, "live"), (40, "other")):
        assert schedule.take(now) is not None
        schedule.finished(key, now, ok=True)
    told = schedule.freshness(45)
    assert told[0] == TierFreshness(
        tier="in_play", target_s=20, pulls=2, fresh=1, in_time=1, late=1
    )
    assert [tier.pulls for tier in told] == [2, 0, 0]


# -- the access policy -----------------------------------------------------------------------------


def test_a_hold_holds_all() -> None:
    schedule = steady("a", "b")
    schedule.access.pull_failed(0, SourceError("rate_limited", "later", retry_after_s=500))
    assert schedule.take(499) is None
    assert due(schedule, 499) == 500
    assert schedule.take(500) is not None


# -- properties ------------------------------------------------------------------------------------

a_job = st.builds(
    Job,
    key=st.sampled_from([f"e{n}" for n in range(12)]),
    starts_at=st.none() | st.floats(-5_000, 9_000),
    in_play=st.booleans(),
    priced=st.booleans(),
    bookmakers=st.integers(0, 3),
)
offers = st.lists(a_job, max_size=12, unique_by=lambda job: job.key)
# What happens next: time goes on, a pull ends (well or not), the offer changes.
steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.floats(0, 400)),
        st.tuples(st.just("end"), st.booleans()),
        st.tuples(st.just("offer"), offers),
    ),
    max_size=60,
)


@given(steps, st.integers(1, 4), st.sampled_from([None, 0.05, 1.0, 20.0]))
@settings(max_examples=examples(50), deadline=None)
def test_never_overlapping_never_over_budget_always_the_most_urgent(
    script: list[tuple[str, object]], concurrency: int, rate: float | None
) -> None:
    access = access_with(concurrency, rate)
    schedule = Schedule(TIERS, access, random.Random(2))
    now = 0.0
    under_way: deque[str] = deque()
    starts: list[float] = []
    for what, value in script:
        if what == "wait":
            assert isinstance(value, float)
            now += value
        elif what == "offer":
            assert isinstance(value, list)
            schedule.update(value, now)
        elif under_way:
            schedule.finished(under_way.popleft(), now, ok=bool(value))
        while (job := schedule.take(now)) is not None:
            assert job.key not in under_way
            under_way.append(job.key)
            starts.append(now)
            assert len(under_way) <= concurrency
            if rate is not None:
                assert len(starts) < 2 or starts[-1] - starts[-2] >= 1 / rate * (1 - 1e-9)
        if len(under_way) < concurrency and (at := schedule.next_due(now)) is not None:
            assert at > now  # whoever sleeps until then does not spin


@given(
    st.lists(st.tuples(st.floats(-2_000, 8_000), st.integers(0, 3)), min_size=1, max_size=30),
    st.floats(1.0, 30.0),
)
@settings(max_examples=examples(25), deadline=None)
def test_nobody_is_starved_however_much_too_much_there_is(
    events: list[tuple[float, int]], service_s: float
) -> None:
    jobs = [
        Job(key=str(n), starts_at=start, bookmakers=bookmakers, priced=n % 2 == 0)
        for n, (start, bookmakers) in enumerate(events)
    ]
    schedule = schedule_of(*jobs, concurrency=1)
    now = 0.0
    last = dict.fromkeys((job.key for job in jobs), 0.0)
    while now < 8_000:
        job = schedule.take(now)
        if job is None:
            now = due(schedule, now)
            continue
        # Due an interval after its last start; then at most its slack, and once all the others.
        slowest = max(tier.target_s for tier in TIERS) * (1 + JITTER)
        assert now - last[job.key] <= slowest + EQUAL_S + (len(jobs) + 1) * service_s
        last[job.key] = now
        now += service_s
        schedule.finished(job.key, now, ok=True)
    for at in last.values():
        assert now - at <= 1_800 * (1 + JITTER) + EQUAL_S + (len(jobs) + 1) * service_s
