"""Delays by source, tier and stage: counted exactly, whatever was delivered together."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odds_service.delays import (
    DETECTED_SENT,
    MOST_SOURCE_S,
    OBSERVED_DETECTED,
    OBSERVED_SENT,
    RECENT_MARKS,
    SOURCE_OBSERVED,
    SOURCE_SENT,
    Delays,
    Histogram,
    Parcel,
    joined_parcel,
)
from odds_service.model.change import ChangeKind, Commit, MarketChange, Timing
from odds_service.model.market import Market, MarketKey, MarketStatus, Outcome
from odds_service.serving.deliveries import Deliveries
from odds_service.status import DELAY_BUCKETS_S, DelayReport
from tests.support.examples import examples
from tests.support.observations import NOON

OUTCOMES: Final = (Outcome("home", "Home", 2.0),)
TIMING: Final = Timing("toa", "hour", 100.0, 100.2)


def changed(
    revision: int,
    told: datetime | None,
    kind: ChangeKind = ChangeKind.PRICES,
    detected_at: datetime = NOON,
) -> MarketChange:
    market = Market(MarketKey("h2h"), MarketStatus.OPEN, OUTCOMES, revision, NOON, told)
    return MarketChange(
        revision, kind, "", "e", "toa", "b", revision, NOON, detected_at, None, market
    )


def counts(delays: Delays, tier: str = "hour") -> dict[str, int]:
    return {each.stage: sum(each.buckets) for each in delays.report("toa", tier)}


def mean_s(delays: Delays, stage: str) -> float:
    (found,) = [each for each in delays.report("toa", "hour") if each.stage == stage]
    return found.total_s / sum(found.buckets)


def test_a_commit_counts_from_the_sources_time_and_from_the_observation() -> None:
    delays, told = Delays(), NOON - timedelta(seconds=4)
    delays.detected(Commit([changed(1, told), changed(2, told), changed(3, None)], timing=TIMING))
    assert counts(delays) == {SOURCE_OBSERVED: 2, OBSERVED_DETECTED: 3}
    assert mean_s(delays, SOURCE_OBSERVED) == pytest.approx(4)
    assert mean_s(delays, OBSERVED_DETECTED) == pytest.approx(0.2)


def test_a_commit_that_no_pull_made_counts_nothing() -> None:
    delays = Delays()
    commit = Commit([changed(1, NOON)])
    delays.detected(commit)
    assert counts(delays) == {}
    assert delays.parcel(commit.changes, [commit]) is None


@pytest.mark.parametrize("kind", [ChangeKind.ADDED, ChangeKind.REMOVED])
def test_the_sources_time_of_a_new_market_is_no_delay(kind: ChangeKind) -> None:
    delays = Delays()
    delays.detected(Commit([changed(1, NOON - timedelta(hours=3), kind)], timing=TIMING))
    assert counts(delays) == {OBSERVED_DETECTED: 1}


def test_a_foreign_clock_is_counted_apart_and_never_as_0() -> None:
    delays = Delays()
    times = [
        NOON + timedelta(microseconds=1),
        NOON - timedelta(seconds=MOST_SOURCE_S + 1),
        NOON,
        NOON - timedelta(seconds=MOST_SOURCE_S),
    ]
    commit = Commit([changed(n, told) for n, told in enumerate(times, 1)], timing=TIMING)
    delays.detected(commit)
    assert delays.foreign("toa") == (1, 1)
    assert delays.foreign("other") == (0, 0)
    assert counts(delays)[SOURCE_OBSERVED] == 2
    parcel = delays.parcel(commit.changes, [commit])
    assert parcel is not None
    parcel.begin(101.0)
    parcel.count()
    assert counts(delays)[SOURCE_SENT] == 2
    assert counts(delays)[OBSERVED_SENT] == 4


def test_what_is_sent_counts_for_each_reader() -> None:
    delays, deliveries = Delays(), Deliveries()
    told = NOON - timedelta(seconds=4)
    commits = [
        Commit([changed(1, told), changed(2, None)], timing=TIMING),
        Commit([changed(3, None, detected_at=NOON + timedelta(seconds=1))]),
    ]
    parcel = delays.parcel([c for commit in commits for c in commit.changes], commits)
    assert parcel is not None
    for now_s in (100.21, 100.25, 130.0):
        deliveries.delivered(parcel, now_s)
    deliveries.count()
    assert counts(delays) == {DETECTED_SENT: 6, OBSERVED_SENT: 6, SOURCE_SENT: 3}
    assert mean_s(delays, DETECTED_SENT) == pytest.approx((0.01 + 0.05 + 29.8) / 3)
    assert mean_s(delays, OBSERVED_SENT) == pytest.approx((0.21 + 0.25 + 30) / 3)
    assert mean_s(delays, SOURCE_SENT) == pytest.approx((4.21 + 4.25 + 34) / 3)


shares = st.lists(
    st.tuples(st.floats(0, 50), st.integers(1, 5)), min_size=1, max_size=4
)  # begin, changes


@given(
    parcels=st.lists(shares, min_size=1, max_size=3),
    sends=st.lists(st.tuples(st.integers(0, 2), st.floats(50, 300)), max_size=30),
    count_after=st.integers(0, 30),
)
@settings(max_examples=examples(100))
def test_shared_counting_equals_counting_each_delivery(
    parcels: Sequence[Sequence[tuple[float, int]]],
    sends: Sequence[tuple[int, float]],
    count_after: int,
) -> None:
    """Deliveries in any order, of any parcels, also with a count in between."""
    shared, alone, deliveries = Histogram(), Histogram(), Deliveries()
    made = [
        Parcel([(shared, begun, times) for begun, times in each], 50.0) for each in parcels
    ]  # fmt: skip
    at = 50.0
    for number, (place, step) in enumerate(sends):
        at += step / 10
        chosen = place % len(made)
        deliveries.delivered(made[chosen], at)
        for begun, times in parcels[chosen]:
            alone.add(at - begun, times)
        if number == count_after:
            deliveries.count()
    deliveries.count()
    assert shared.buckets == alone.buckets
    assert shared.total_s == pytest.approx(alone.total_s, rel=1e-6, abs=1e-6)


def test_parcels_that_nobody_counts_are_counted_before_they_are_many() -> None:
    histogram, deliveries = Histogram(), Deliveries()
    for _ in range(1_000):
        deliveries.delivered(Parcel([(histogram, 0.0, 1)], 0.0), 1.0)
    assert 700 < sum(histogram.buckets) < 1_000
    deliveries.count()
    assert sum(histogram.buckets) == 1_000


def test_parcels_are_joined_as_if_all_were_sent_at_once() -> None:
    histogram = Histogram()
    parts = [Parcel([(histogram, begun, 1)], begun) for begun in (3.0, 1.0, 2.0)]
    assert joined_parcel([None, None]) is None
    assert joined_parcel([None, parts[0]]) is parts[0]
    whole = joined_parcel([*parts, None])
    assert whole is not None
    assert whole.begun_s == 1.0
    whole.begin(4.0)
    whole.count()
    assert sum(histogram.buckets) == 3
    assert histogram.total_s == pytest.approx(6)


def test_percentiles_are_of_the_last_marks_and_absent_without_any() -> None:
    delays = Delays()
    slow = Timing("toa", "hour", 0.0, 50.0)
    delays.detected(Commit([changed(1, None)], timing=slow))
    (found,) = delays.report("toa", "hour")
    assert found.percentile_s(99) == pytest.approx(30 + 30 * 0.99)
    for _ in range(RECENT_MARKS):
        delays.mark()
    delays.mark()
    (found,) = delays.report("toa", "hour")
    assert sum(found.buckets) == 1
    assert sum(found.recent) == 0
    assert found.percentile_s(99) is None


@given(delays_s=st.lists(st.floats(0, 20_000), min_size=1, max_size=50))
@settings(max_examples=examples(100))
def test_a_percentile_lies_in_the_bucket_of_the_exact_one(delays_s: list[float]) -> None:
    histogram = Histogram()
    for delay_s in delays_s:
        histogram.add(delay_s)
    report = DelayReport("s", histogram.buckets, histogram.total_s, histogram.buckets)
    ranked = sorted(delays_s)
    for percent in (50, 90, 99):
        told = report.percentile_s(percent)
        assert told is not None
        exact = ranked[-(-len(ranked) * percent // 100) - 1]
        bucket = bisect_left(DELAY_BUCKETS_S, exact)
        lower = DELAY_BUCKETS_S[bucket - 1] if bucket else 0.0
        assert lower <= told <= DELAY_BUCKETS_S[bucket] + 1e-9


def test_a_percentile_beyond_the_last_bound_is_that_bound() -> None:
    buckets = [0] * len(DELAY_BUCKETS_S) + [5]
    assert DelayReport("s", buckets, 1e6, buckets).percentile_s(50) == DELAY_BUCKETS_S[-1]
