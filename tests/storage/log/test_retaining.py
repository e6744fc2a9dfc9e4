"""Retention: old changes, ended events and records of pulls go."""

from datetime import UTC, datetime, timedelta

import pytest

from odds_service.errors import BelowFloor
from odds_service.model.change import (
    EventChange,
)
from odds_service.model.event import EventStatus
from odds_service.store import Retention, StartedEvents, WriteGroup
from tests.storage.reads.test_as_of import shown
from tests.support.databases import DatabasePlace, Place
from tests.support.observations import NOON, cached, fold
from tests.support.places import on_databases
from tests.support.stories import SERIES, Story, random_series

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


async def test_ended_events_leave_and_the_past_is_answered_as_before(place: Place) -> None:
    story = Story(SERIES[:5] + random_series(21, 60))
    ended = {c.event_id for c in story.log if isinstance(c, EventChange)} - story.events.keys()
    assert ended
    now = story.log[-1].detected_at + 2 * DAY
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
        closing = await store.closing_odds(sorted(story.events))
        done = await store.retain(Retention(events=DAY), now)
        assert done.events == len(ended)
        assert (await store.retain(Retention(events=DAY), now)).events == 0
        started = await store.started_events(StartedEvents(before=now + 999 * DAY), None, ALL)
        assert {event.id for event in started} == story.events.keys()
        if isinstance(place, DatabasePlace):
            for table in ("events", "event_sources", "odds_current"):
                found = {name for (name,) in place.sql(f"SELECT event_id FROM {table}")}  # noqa: S608
                assert found <= story.events.keys(), table
        assert await store.history(0, ALL, ALL) == story.log
        for revision in range(len(story.log) + 1):
            assert shown(await store.odds_at(revision)) == fold(story.log[:revision]), revision
        assert await store.closing_odds(sorted(story.events)) == closing
        assert await store.closing_odds(sorted(ended)) == []
        assert (await store.verify()).faults == []
        # An event that returns is new, and its former life stays in the past.
        story.look(SERIES[0])
        await store.write(WriteGroup(story.batches[-1:]))
        assert (await store.verify()).faults == []
        for revision in range(0, len(story.log) + 1, 7):
            assert shown(await store.odds_at(revision)) == fold(story.log[:revision]), revision
    async with place.begun() as (store, again):
        assert cached({e.event.id: e for e in again.events}) == cached(story.events)
        # Once the history has left as well, nothing of them remains.
        await store.retain(Retention(history=DAY), now + 30 * DAY)
        if isinstance(place, DatabasePlace):
            orphans = (
                "SELECT count(*) FROM snapshots WHERE event_id NOT IN (SELECT event_id FROM events)"
            )
            assert place.value(orphans) == "0"


@pytest.mark.logs_errors  # a refused change
async def test_an_ended_event_stays_while_letters_belong_to_it(place: Place) -> None:
    story = Story(SERIES[:5])
    end, *others = (c for c in story.log if isinstance(c, EventChange)
                    and c.after.status is EventStatus.ENDED)  # fmt: skip
    (added,) = (c for c in story.log if isinstance(c, EventChange)
                and c.event_id == end.event_id and c.before is None)  # fmt: skip
    now = datetime.now(UTC) + 100 * DAY
    async with place.begun() as (store, _):
        place.refuse(f"revision = {added.revision + 1} AND kind > 0")
        assert await store.write(WriteGroup(story.batches)) == 1
        done = await store.retain(Retention(events=DAY, letters=None), now)
        assert done.events == len(others)
        done = await store.retain(Retention(events=DAY, letters=90 * DAY), now)
        assert (done.events, done.letters) == (0, 1)
        assert (await store.retain(Retention(events=DAY), now)).events == 1
    async with place.begun() as (_, again):
        assert end.event_id not in {entry.event.id for entry in again.events}


@pytest.mark.logs_errors  # refused changes
async def test_old_letters_go_and_their_places_stay(place: Place) -> None:
    story = Story(SERIES + random_series(8, 30))
    kept_at = datetime.now(UTC)
    async with place.begun() as (store, _):
        place.refuse("market = 'totals'")
        refused = await store.write(WriteGroup(story.batches))
        (letter, *_) = await store.dead_letters()
        policy = Retention(letters=90 * DAY, events=None)
        assert (await store.retain(policy, kept_at + 89 * DAY)).letters == 0
        assert await store.count_dead_letters() == refused > 1
        assert (await store.odds_at(0)).unstored == 0
        assert (await store.retain(policy, kept_at + 91 * DAY)).letters == refused
        assert await store.count_dead_letters() == 0
        page = await store.history_page(0, ALL, ALL)
        assert len(page.unstored) == refused
        assert (await store.odds_at(0)).unstored == refused
        assert "no such letter" in await store.retry_dead_letter(letter.letter_id)
        assert (await store.verify()).faults == []
    async with place.begun() as (_, again):
        assert again.dead_letters == 0
        assert all(key.market != "totals" for entry in again.events
                   for odds in entry.bookmakers.values() for key in odds.markets)  # fmt: skip


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
