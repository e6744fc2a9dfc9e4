"""The budget: credits spread over the day, by real costs, across sleeps and moved clocks."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odds_service.sources.budget import DAY_S, RENEWAL_S, Budget


def test_a_days_credits_are_spread_over_the_day() -> None:
    budget = Budget(concurrency=1, quota_per_day=240)
    starts, now = [], 0.0
    while now < 2 * DAY_S:
        now = max(now, budget.opens_at(now, 10))
        if now >= 2 * DAY_S:
            break
        budget.start(now, 10)
        budget.end()
        starts.append(now)
    days = [sum(at // DAY_S == day for at in starts) for day in (0, 1)]
    assert days == [24, 24]
    gaps = [later - sooner for sooner, later in pairwise(starts)]
    assert min(gaps) == pytest.approx(3_600)
    assert max(gaps) == pytest.approx(3_600)


def test_a_start_in_mid_day_has_the_rest_of_the_days_credits() -> None:
    budget = Budget(concurrency=1, quota_per_day=100, day_offset_s=DAY_S * 0.75)
    starts, now = 0, 0.0
    while (now := max(now, budget.opens_at(now, 1))) < DAY_S * 0.25:
        budget.start(now, 1)
        budget.end()
        starts += 1
    assert starts == 25


def test_what_the_source_says_is_left_goes_before() -> None:
    budget = Budget(concurrency=1, quota_per_day=1_000)
    budget.told(0, 10)
    for _ in range(5):
        at = budget.opens_at(0, 2)
        budget.start(max(0, at), 2)
    assert budget.opens_at(10, 2) >= DAY_S * 0.99
    budget.told(20, 1)
    lone = Budget(concurrency=1)
    lone.told(20, 1)
    assert lone.opens_at(20, 2) == 20 + RENEWAL_S
    lone.start(20 + RENEWAL_S, 2)  # tried again: it may have been renewed
    assert lone.opens_at(20 + RENEWAL_S, 2) == 20 + 2 * RENEWAL_S
    lone.told(20 + RENEWAL_S, 500)
    assert lone.opens_at(20 + RENEWAL_S, 2) <= 20 + RENEWAL_S


@pytest.mark.parametrize(("real", "starts"), [(0, 100), (1, 100), (4, 25), (7, 15)])
def test_the_days_credits_are_counted_by_what_requests_really_cost(real: int, starts: int) -> None:
    budget = Budget(concurrency=1, quota_per_day=100)
    made, now = 0, 0.0
    while (now := max(now, budget.opens_at(now, 1))) < DAY_S and made < 100:
        budget.start(now, 1)
        budget.end()
        budget.cost(now, 1, real)
        made += 1
    assert made == starts


def test_what_is_left_is_counted_by_real_costs_until_it_is_told_again() -> None:
    budget = Budget(concurrency=1)
    budget.told(0, 10)
    budget.start(0, 6)
    budget.cost(1, 6, 2)
    assert budget.quota_left == 8
    assert budget.opens_at(1, 8) <= 1 < budget.opens_at(1, 9)


def test_a_sleep_counts_towards_a_hold_and_brings_the_new_days_credits() -> None:
    budget = Budget(concurrency=1, quota_per_day=10, day_offset_s=100 * DAY_S)
    budget.start(0.0, 10.0)
    budget.end()
    budget.hold(3_600.0)
    assert budget.opens_at(1.0, 10.0) >= DAY_S
    budget.moved(1.0, 101 * DAY_S, slept_s=DAY_S)
    assert budget.opens_at(1.0, 10.0) <= 1.0 + 3_600.0


def test_a_day_that_comes_twice_gives_its_credits_once() -> None:
    budget = Budget(concurrency=1, quota_per_day=10, day_offset_s=100 * DAY_S)
    budget.start(0.0, 10.0)
    budget.end()
    budget.moved(1.0, 99 * DAY_S, slept_s=0.0)
    assert budget.opens_at(1.0, 10.0) > 3_600.0


def test_requests_start_a_gap_apart_in_the_order_they_were_booked() -> None:
    budget = Budget(concurrency=1, requests_per_s=4.0)
    assert [budget.request(now) for now in (0.0, 0.0, 0.1, 5.0, 5.2)] == [0, 0.25, 0.5, 5, 5.25]


@given(
    st.floats(1, 500),
    st.lists(st.tuples(st.floats(0, 7_200), st.floats(0.5, 20)), min_size=1, max_size=150),
    st.floats(0, DAY_S - 1),
)
@settings(max_examples=100, deadline=None)
def test_no_day_has_more_than_its_credits(
    per_day: float, asked: list[tuple[float, float]], offset_s: float
) -> None:
    budget = Budget(concurrency=1_000, quota_per_day=per_day, day_offset_s=offset_s)
    spent: dict[int, float] = {}
    now = 0.0
    for wait_s, cost in asked:
        now += wait_s
        if cost > per_day or budget.opens_at(now, cost) > now:
            continue
        budget.start(now, cost)
        day = int((now + offset_s) // DAY_S)
        spent[day] = spent.get(day, 0.0) + cost
    assert all(of_day <= per_day + 1e-6 for of_day in spent.values())


def test_a_budget_goes_on_under_other_settings() -> None:
    old = Budget(concurrency=1, requests_per_s=1, quota_per_day=100)
    for _ in range(50):
        old.start(0.0, 1)
        old.end()
    old.told(0.0, 40)
    old.hold(120.0)
    new = Budget(concurrency=2, quota_per_day=200)
    new.take_over(old, 0.0)
    assert new.quota_left == 40
    assert new.opens_at(0.0, 1) == 120.0
    assert new.opens_at(0.0, 41) == RENEWAL_S
    spent, fresh = Budget(concurrency=1, quota_per_day=10), Budget(concurrency=1, quota_per_day=20)
    for _ in range(10):
        spent.start(0.0, 1)
        spent.end()
    fresh.take_over(spent, 0.0)
    assert fresh.opens_at(0.0, 1) == DAY_S  # nothing of the day's credits is left


def test_a_raised_quota_is_used_at_once() -> None:
    old, new = Budget(concurrency=1, quota_per_day=1), Budget(concurrency=1, quota_per_day=10)
    new.take_over(old, 0.0)
    assert new.opens_at(0.0, 1) <= 0.0
