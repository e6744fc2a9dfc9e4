"""The spill file of a stop, and the start that reads it."""

import pytest

from odds_service.errors import StorageError
from odds_service.feed import ChangeFeed
from odds_service.model.change import Change, Commit
from odds_service.pipeline.channels import WriteQueue
from odds_service.pipeline.write import Writer
from odds_service.store import WriteGroup
from tests.support.databases import DatabasePlace, Place, PostgresPlace
from tests.support.places import on_databases
from tests.support.stories import SERIES, Story, random_series

pytestmark = pytest.mark.logs_errors  # a refused change is an error to be looked at

ALL = 10**9


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
        # Their revisions will go to other changes, so they can never be stored.
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
    if isinstance(place, PostgresPlace):  # there the name identifies the owner
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
