"""Pages of the log, and the revision of a time."""

from datetime import timedelta

from odds_service.store import LogRows, Store, WriteGroup
from tests.support.databases import DatabasePlace, Place
from tests.support.observations import NOON
from tests.support.places import on_databases
from tests.support.stories import SERIES, Story

ALL = 10**9
DAY = timedelta(days=1)


async def test_a_time_finds_its_revision(place: Place) -> None:
    story = Story(SERIES)
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
        for at in (NOON - DAY, NOON, NOON + timedelta(seconds=90), NOON + DAY):
            expected = sum(change.detected_at <= at for change in story.log)
            assert await store.revision_at(at) == expected


async def _pages(store: Store, after: int, limit: int = ALL) -> list[tuple[list[int], int]]:
    """Return the revisions of each kind of page after a revision, with the page's end."""
    page = await store.history_page(after, ALL, limit)
    rows: list[LogRows] = [await store.log_rows(after, ALL, limit)]
    assert [c.revision for c in await store.history(after, ALL, limit)] == [
        change.revision for change in page.changes
    ]
    found = [([row[0] for row in each.rows], each.upto) for each in rows]
    return [([change.revision for change in page.changes], page.upto), *found]


async def test_no_page_reaches_beyond_the_log(place: Place) -> None:
    story = Story(SERIES)
    head = len(story.log)
    async with place.begun() as (store, _):
        assert await _pages(store, 0) == [([], 0)] * 2
        await store.write(WriteGroup(story.batches))
        assert await _pages(store, 3) == [(list(range(4, head + 1)), head)] * 2
        assert await _pages(store, head) == [([], head)] * 2
        assert await _pages(store, head + 5) == [([], head + 5)] * 2  # nor does it go back
        assert (await store.source_rows(0, ALL)).upto == head


@on_databases
async def test_rows_beyond_the_durable_revision_do_not_count(place: DatabasePlace) -> None:
    story = Story(SERIES)
    durable = len(story.log) - 3
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
        place.sql(f"UPDATE feed_state SET durable_revision = {durable}")  # noqa: S608  # ours
        assert await _pages(store, 0) == [(list(range(1, durable + 1)), durable)] * 2
        assert await _pages(store, 2, 2) == [([3, 4], 4)] * 2
        assert await _pages(store, durable) == [([], durable)] * 2
