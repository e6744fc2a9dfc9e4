"""Retention: old changes, ended events and records of pulls go."""

from datetime import timedelta

import pytest

from odds_service.errors import BelowFloor
from odds_service.model.change import (
    EventChange,
)
from odds_service.model.event import EventStatus
from odds_service.store import Retention, WriteGroup
from tests.storage.reads.test_as_of import shown
from tests.support.databases import DatabasePlace, Place
from tests.support.observations import NOON, cached, fold
from tests.support.places import on_databases
from tests.support.stories import SERIES, Story

ALL = 10**9
DAY = timedelta(days=1)


async def test_retention_takes_out_what_is_old_and_says_where_history_begins(
    place: Place,
) -> None:
    story = Story(SERIES * 4, every_s=6 * 3600)  # a week
    now = NOON + 7 * DAY
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
        done = await store.retain(Retention(history=3 * DAY), now)
        assert done.history or done.partitions
        cutoff = now - 3 * DAY
        if place.engine == "postgresql":
            cutoff = cutoff.replace(hour=0)  # whole days
        floor = sum(change.detected_at < cutoff for change in story.log)
        assert 0 < floor < len(story.log)
        assert await store.oldest_revision() == floor + 1
        assert await store.history(0, ALL, ALL) == story.log[floor:]
        assert shown(await store.odds_at(floor)) == fold(story.log[:floor])
        with pytest.raises(BelowFloor) as below:
            await store.odds_at(floor - 1)
        assert below.value.floor_revision == floor
        with pytest.raises(BelowFloor):
            await store.revision_at(cutoff - timedelta(seconds=1))
        assert await store.revision_at(cutoff + 6 * timedelta(hours=1)) >= floor
        assert (await store.verify()).faults == []
        again = await store.retain(Retention(history=3 * DAY), now)
        assert (again.history, again.partitions) == (0, 0)
    async with place.begun() as (_, warm):
        assert cached({e.event.id: e for e in warm.events}) == cached(story.events)
        assert warm.revision == len(story.log)


async def test_ended_events_and_runs_go_and_a_returning_event_is_new(place: Place) -> None:
    story = Story(SERIES[:5])
    assert any(isinstance(c, EventChange) and c.after.status is EventStatus.ENDED
               for c in story.log)  # fmt: skip
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
        done = await store.retain(Retention(ended=DAY), NOON + 2 * DAY)
        if isinstance(place, DatabasePlace):  # the memory keeps no odds of ended events
            assert done.current > 0
            assert place.value("SELECT count(*) FROM odds_current") == "0"
        assert await store.history(0, ALL, ALL) == story.log
        for revision in range(len(story.log) + 1):
            assert shown(await store.odds_at(revision)) == fold(story.log[:revision])
        story.look(SERIES[5])
        await store.write(WriteGroup(story.batches[-1:]))
        assert (await store.verify()).faults == []
    async with place.begun() as (_, again):
        assert cached({e.event.id: e for e in again.events}) == cached(story.events)


@on_databases
async def test_room_is_made_ahead(place: DatabasePlace) -> None:
    if place.engine != "postgresql":
        pytest.skip("SQLite has no partitions")
    async with place.begun() as (store, _):
        await store.retain(Retention(), NOON)
        names = {name for (name,) in place.sql(
            "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
            "WHERE inhparent = 'odds_history'::regclass")}  # fmt: skip
    assert names == {f"odds_history_p2026080{day}" for day in (4, 5, 6)}
