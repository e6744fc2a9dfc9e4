"""Odds as they were at a revision."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odds_service.errors import StorageUnavailable
from odds_service.store import PastOdds, WriteGroup
from tests.support.databases import Place
from tests.support.observations import cached, fold
from tests.support.stories import SERIES, Story, random_series


def shown(past: PastOdds) -> object:
    return cached({entry.event.id: entry for entry in past.events})


@settings(
    max_examples=6, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(seed=st.integers(0, 10**6))
async def test_odds_at_any_revision_are_the_fold_of_the_log_up_to_it(
    place: Place, seed: int
) -> None:
    # The place is cleared after each example: a new database would cost more than the example.
    story = Story(SERIES + random_series(seed, 25))
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
        for revision in {0, 1, len(story.log), *range(2, len(story.log), 5)}:
            past = await store.odds_at(revision)
            assert shown(past) == fold(story.log[:revision])
            assert past.unstored == 0
            if revision:
                assert past.at == story.log[revision - 1].detected_at
        for revision, events in story.then[:: max(1, len(story.then) // 6)]:
            past = await store.odds_at(revision)
            assert {entry.event.id: entry.event for entry in past.events} == {
                event_id: entry.event for event_id, entry in events.items()
            }
            for entry in past.events:
                for key, odds in entry.bookmakers.items():
                    expected = events[entry.event.id].bookmakers[key]
                    assert odds.markets == expected.markets
                    assert odds.snapshot_id == expected.snapshot_id
        one = await store.odds_at(len(story.log) // 2, ["e1"])
        assert {entry.event.id for entry in one.events} <= {"e1"}
        with pytest.raises(StorageUnavailable, match=f"up to {len(story.log)}$"):
            await store.odds_at(len(story.log) + 1)
    place.clear()


@pytest.mark.logs_errors
async def test_odds_at_counts_what_was_refused(place: Place) -> None:
    story = Story(SERIES)
    async with place.begun() as (store, _):
        place.refuse("revision = 5 AND kind > 0")
        assert await store.write(WriteGroup(story.batches)) == 1
        # The dead letter has the change, so the past is complete.
        assert shown(await store.odds_at(3)) == fold(story.log[:3])
        assert (await store.odds_at(3)).unstored == 0
        (letter,) = await store.dead_letters()
        await store.drop_dead_letter(letter.letter_id)
        assert (await store.odds_at(3)).unstored == 1
        assert (await store.odds_at(5)).unstored == 0
