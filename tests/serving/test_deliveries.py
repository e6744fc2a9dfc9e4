"""The ages of odds in answers, and the regular count of deliveries."""

import asyncio
from bisect import bisect_left
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odds_service.delays import CONFIRMED_ANSWERED, Delays, Histogram, Parcel
from odds_service.model.snapshot import EventSource, Reading
from odds_service.serving.deliveries import AnswerAges, Deliveries
from odds_service.status import DELAY_BUCKETS_S
from tests.support.examples import examples
from tests.support.observations import NOON

NOW_S: Final = 5_000.0
CARRIED: Final = {
    (source, tier): EventSource(source, "1", None, 1, tier=tier)
    for source in ("one", "two")
    for tier in ("in_play", "day", "")
}


@given(
    looks=st.lists(
        st.tuples(
            st.sampled_from(sorted(CARRIED)),
            st.sampled_from([0.0, 4_000.0, 4_999.9, 5_000.5]),
            st.integers(1, 3),
        )
    )
)
@settings(max_examples=examples(100))
def test_odds_are_counted_by_tier_and_age_and_those_without_a_tier_are_not(
    looks: list[tuple[tuple[str, str], float, int]],
) -> None:
    delays, deliveries = Delays(), Deliveries()
    ages = AnswerAges(delays, Reading(NOON, NOW_S))
    for place, confirmed_s, bookmakers in looks:
        ages.add(CARRIED[place], confirmed_s, bookmakers)
    parcel = ages.parcel(70.0)
    for _ in range(3):
        if parcel is not None:
            deliveries.delivered(parcel, 70.0)
    deliveries.count()
    for source, tier in CARRIED:
        buckets, total_s = [0] * (len(DELAY_BUCKETS_S) + 1), 0.0
        for place, confirmed_s, bookmakers in looks:
            if place == (source, tier) and tier:
                age_s = max(0.0, NOW_S - confirmed_s)
                buckets[bisect_left(DELAY_BUCKETS_S, age_s)] += 3 * bookmakers
                total_s += 3 * bookmakers * age_s
        told = delays.report(source, tier)
        if not any(buckets):
            assert told == []
            continue
        (delay,) = told
        assert (delay.stage, delay.buckets) == (CONFIRMED_ANSWERED, buckets)
        assert delay.total_s == pytest.approx(total_s)


def test_odds_of_an_event_that_nobody_carries_and_of_the_past_are_not_counted() -> None:
    ages = AnswerAges(Delays(), Reading(NOON, NOW_S))
    ages.add(None, 4_000.0, 1)
    assert ages.parcel(70.0) is None
    past = AnswerAges(Delays(), Reading(NOON))
    past.add(CARRIED["one", "day"], 4_000.0, 1)
    assert past.parcel(70.0) is None


async def _counted(histogram: Histogram) -> None:
    while not any(histogram.buckets):  # noqa: ASYNC110  # a count announces itself to nobody
        await asyncio.sleep(0.01)


def test_deliveries_are_counted_without_a_further_one_and_at_the_end() -> None:
    histogram, deliveries = Histogram(), Deliveries()

    async def main() -> None:
        counting = asyncio.create_task(deliveries.count_regularly())
        deliveries.delivered(Parcel([(histogram, 0.0, 2)], 0.0), 1.0)
        await asyncio.wait_for(_counted(histogram), 60)
        assert sum(histogram.buckets) == 2
        deliveries.delivered(Parcel([(histogram, 0.0, 2)], 0.0), 1.0)
        counting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await counting

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())
    assert sum(histogram.buckets) == 4
