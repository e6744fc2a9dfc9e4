"""The revision of a time."""

from datetime import timedelta

from odds_service.store import WriteGroup
from tests.support.databases import Place
from tests.support.observations import NOON
from tests.support.stories import SERIES, Story

DAY = timedelta(days=1)


async def test_a_time_finds_its_revision(place: Place) -> None:
    story = Story(SERIES)
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
        for at in (NOON - DAY, NOON, NOON + timedelta(seconds=90), NOON + DAY):
            expected = sum(change.detected_at <= at for change in story.log)
            assert await store.revision_at(at) == expected
