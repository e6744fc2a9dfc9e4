"""Rows that the database refuses: found, kept, retried, dropped; spills; and damage found."""

import pytest

from odds_service.errors import StorageError
from odds_service.feed import ChangeFeed
from odds_service.model.change import Change, Commit
from odds_service.pipeline.channels import WriteQueue
from odds_service.pipeline.write import Writer
from odds_service.store import Store, WriteGroup
from tests.support.databases import DatabasePlace, Place, PostgresPlace
from tests.support.observations import cached
from tests.support.places import on_databases
from tests.support.stories import SERIES, Story, random_series

pytestmark = pytest.mark.logs_errors  # a refused change is an error to be looked at

ALL = 10**9


async def stored(store: Store, story: Story, place: Place, condition: str) -> list[int]:
    """Write a story of which the database refuses some; gives the refused revisions."""
    place.refuse(condition)
    refused = await store.write(WriteGroup(story.batches))
    page = await store.history_page(0, ALL, ALL)
    assert len(page.unstored) == refused
    assert page.changes == [c for c in story.log if c.revision not in page.unstored]
    return page.unstored


@pytest.mark.parametrize(
    "condition",
    [
        "revision = 1 AND kind > 0",
        "revision = 5 AND kind > 0",
        "market = 'totals'",
        "kind = 6 OR kind = 8",
    ],
)
async def test_refused_rows_are_found_and_kept_and_the_rest_is_stored(
    place: Place, condition: str
) -> None:
    story = Story(SERIES + random_series(5, 30))
    async with place.begun() as (store, _):
        refused = await stored(store, story, place, condition)
        assert refused
        letters = await store.dead_letters()
        assert [letter.revision for letter in letters] == refused
        assert [letter.change for letter in letters] == [
            c for c in story.log if c.revision in refused
        ]
        assert all("refused" in letter.reason for letter in letters)
        assert (await store.verify()).unstored == len(refused)
        assert await store.count_dead_letters() == len(refused)
        # The same group again, after a lost reply: nothing is kept twice.
        assert await store.write(WriteGroup(story.batches)) == 0
        assert await store.count_dead_letters() == len(refused)
    async with place.begun() as (_, again):
        assert again.dead_letters == len(refused)
        assert again.revision == len(story.log)


async def test_a_letter_is_stored_in_its_place_once_the_database_takes_it(place: Place) -> None:
    story = Story(SERIES + random_series(6, 30))
    async with place.begun() as (store, _):
        refused = await stored(store, story, place, "market = 'totals'")
        first, *rest = await store.dead_letters()
        why = await store.retry_dead_letter(first.letter_id)
        assert "refused" in why
        (again, *_) = await store.dead_letters()
        assert again.attempts == 2
        place.accept()
        for letter in (first, *rest):
            assert await store.retry_dead_letter(letter.letter_id) == ""
        assert "no such letter" in await store.retry_dead_letter(first.letter_id)
        assert refused
        assert await store.dead_letters() == []
        assert await store.history(0, ALL, ALL) == story.log
        assert (await store.verify()).faults == []
    async with place.begun() as (_, warm):
        pass
    assert cached({entry.event.id: entry for entry in warm.events}) == cached(story.events)


@pytest.mark.parametrize(
    "condition",
    [
        "market = 'totals'",
        "kind = 6",
        "kind = 8",
        "kind = 5",
        "kind > 0 AND revision % 3 = 0",
        "kind > 0 AND revision % 7 = 0",
        "kind > 0",
    ],
)
async def test_a_start_and_past_odds_have_what_was_served_though_it_was_refused(
    place: Place, condition: str
) -> None:
    story = Story(SERIES + random_series(11, 30))
    async with place.begun() as (store, _):
        assert await stored(store, story, place, condition)
        for revision, events in story.then:
            past = await store.odds_at(revision)
            assert past.unstored == 0
            assert cached({e.event.id: e for e in past.events}) == cached(events), revision
    async with place.begun() as (_, again):
        warm = {entry.event.id: entry for entry in again.events}
    assert cached(warm) == cached(story.events)
    assert {e: entry.event for e, entry in warm.items()} == {
        e: entry.event for e, entry in story.events.items()
    }
    assert {e: set(entry.sources) for e, entry in warm.items()} == {
        e: set(entry.sources) for e, entry in story.events.items()
    }


async def test_a_dropped_letter_leaves_its_place_open(place: Place) -> None:
    story = Story(SERIES)
    async with place.begun() as (store, _):
        refused = await stored(store, story, place, "revision = 4 AND kind > 0")
        (letter,) = await store.dead_letters()
        assert await store.drop_dead_letter(letter.letter_id)
        assert not await store.drop_dead_letter(letter.letter_id)
        page = await store.history_page(0, ALL, ALL)
        assert page.unstored == refused == [4]


@on_databases
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("DELETE FROM odds_history WHERE revision = 4", "history has"),
        ("DELETE FROM odds_current WHERE revision = {live}", "odds_current has nothing"),
        ("UPDATE odds_current SET odds = '[1,[[\"home\",9.0]]]' WHERE revision = {live}", "9.0"),
        ("UPDATE odds_current SET status = 3 WHERE revision = {live}", "odds_current has"),
        ("UPDATE feed_state SET durable_revision = durable_revision - 1", "beyond revision"),
        ("UPDATE events SET ended_revision = 1 WHERE event_id = 'e'", "ended at 1"),
    ],
)
async def test_planted_damage_is_found(place: DatabasePlace, damage: str, says: str) -> None:
    story = Story(SERIES)
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
        assert (await store.verify()).faulty == 0
        live = max(
            market.revision
            for entry in story.events.values()
            for odds in entry.bookmakers.values()
            for market in odds.markets.values()
        )
        place.sql(damage.format(live=live))
        found = await store.verify()
    assert found.faulty >= 1
    assert any(says in fault for fault in found.faults), found.faults


def half_of(story: Story) -> tuple[list[Commit], list[Commit]]:
    middle = len(story.batches) // 2
    return story.batches[:middle], story.batches[middle:]


async def test_a_spill_that_fits_is_stored_before_anything_else(place: Place) -> None:
    story = Story(SERIES + random_series(7, 30))
    first, rest = half_of(story)
    async with place.begun() as (store, _):
        await store.write(WriteGroup(first))
        # The group in hand at the stop may have been stored: the file may overlap.
        store.spill([first[-1], *rest])
        assert place.has_spill()
    async with place.begun() as (store, again):
        assert again.replayed == sum(len(b.changes) for b in (first[-1], *rest))
        assert (again.misfits, again.dead_letters) == (0, 0)
        assert again.revision == len(story.log)
        assert await store.history(0, ALL, ALL) == story.log
        assert (await store.verify()).faulty == 0
    assert not place.has_spill()


@on_databases
async def test_a_spill_that_does_not_fit_becomes_dead_letters(place: DatabasePlace) -> None:
    story = Story(SERIES + random_series(8, 30))
    first, rest = half_of(story)
    async with place.begun() as (store, _):
        await store.write(WriteGroup(first))
        store.spill(rest)
        path = place.spill()
        assert path is not None
        path = path.rename(path.with_suffix(".away"))
    async with place.begun():
        pass  # another start, and so another epoch, without the file
    path.rename(path.with_suffix(".spill"))
    async with place.begun() as (store, again):
        lost: list[Change] = [c for batch in rest for c in batch.changes]
        assert (again.replayed, again.misfits) == (0, len(lost))
        letters = await store.dead_letters()
        assert [letter.change for letter in letters] == lost
        assert await store.history(0, ALL, ALL) == story.log[: len(story.log) - len(lost)]
        # Their revisions are to be given to other changes: they can never be stored.
        why = await store.retry_dead_letter(letters[0].letter_id)
        assert "belongs to another change" in why
    assert place.spill() is None


@on_databases
async def test_a_spill_of_another_database_is_set_aside(place: DatabasePlace) -> None:
    story = Story(SERIES)
    async with place.begun() as (store, _):
        store.spill(story.batches)
    name = place.spill()
    assert name is not None
    place.sql("UPDATE feed_state SET database_id = 'x' || database_id")
    if isinstance(place, PostgresPlace):  # there the name says whose it is
        ((identity,),) = place.sql("SELECT database_id FROM feed_state")
        name.rename(name.with_name(f"odds-service-{identity[:12]}.spill"))
    async with place.begun() as (store, again):
        assert (again.replayed, again.misfits, again.revision) == (0, 0, 0)
    assert place.spill() is None
    assert len(list(place.folder.glob("*.spill.*"))) == 1


@on_databases
@pytest.mark.parametrize("keep", [0.0, 0.02, 0.6, 0.99])
async def test_a_torn_spill_is_an_error_that_names_it_and_stores_no_half(
    place: DatabasePlace, keep: float
) -> None:
    story = Story(SERIES)
    async with place.begun() as (store, _):
        store.spill(story.batches)
    path = place.spill()
    assert path is not None
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.RaisesGroup(
        pytest.RaisesExc(StorageError, match="cannot be read"), flatten_subgroups=True,
        allow_unwrapped=True,
    ):  # fmt: skip
        async with place.begun():
            pytest.fail("it began")
    path.write_bytes(whole)
    async with place.begun() as (store, again):
        assert again.revision == len(story.log)
        assert (await store.verify()).faulty == 0


async def test_the_writers_spill_is_what_the_store_reads(place: Place) -> None:
    story = Story(SERIES)
    async with place.begun() as (store, begun):
        queue, feed = WriteQueue(), ChangeFeed(begun.epoch, 0)
        writer = Writer(store, queue, feed)
        for batch in story.batches:
            with feed.lock:
                feed.append_locked(batch, batch.changes[0].detected_at)
            queue.put(batch)
        place.take_over()
        with pytest.raises(StorageError, match="another process"):
            await writer.run()
    place.hand_back()
    async with place.begun() as (_, again):
        assert again.replayed == len(story.log)
