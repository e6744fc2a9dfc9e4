"""A start in steps: the fence, the former owner's surplus, the new epoch, the load."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from odds_service.bridge import open_bridge
from odds_service.errors import ForeignSurplus, StorageError, StorageUnavailable, Superseded
from odds_service.model.change import Commit
from odds_service.storage.epoch_order import held_of, later_epochs
from odds_service.store import Store, WriteGroup
from tests.support.databases import DatabasePlace, Place
from tests.support.observations import cached
from tests.support.places import on_databases
from tests.support.stories import SERIES, Story, random_series

ALL = 10**9


def long_story() -> Story:
    return Story(SERIES + random_series(5, 40))


def length_of(batches: Sequence[Commit]) -> int:
    return sum(len(batch.changes) for batch in batches)


async def test_a_start_in_steps_returns_what_begin_returns(place: Place) -> None:
    story = long_story()
    async with place.begun() as (store, first):
        await store.write(WriteGroup(story.batches))
    async with open_bridge(), place.opened() as store:
        fence = await store.fence()
        assert (fence.old_epoch, fence.epochs) == (first.epoch, first.epochs)
        assert fence.durable_revision == len(story.log)
        assert fence.last_detected_at == story.log[-1].detected_at
        assert fence.database_id == first.database_id
        opened = await store.open_epoch()
        assert opened == [*first.epochs, (fence.epoch, len(story.log) + 1)]
        loaded = await store.load()
        assert (loaded.epoch, loaded.epochs) == (fence.epoch, opened)
    async with place.begun() as (store, begun):
        assert begun.events == loaded.events
        assert begun.ghosts == loaded.ghosts
        assert begun.sources == loaded.sources
        assert cached({e.event.id: e for e in begun.events}) == cached(story.events)
        assert begun.epochs == [*loaded.epochs, (begun.epoch, len(story.log) + 1)]


async def test_the_surplus_is_stored_under_the_old_epoch(place: Place) -> None:
    story = long_story()
    head, tail = story.batches[:5], story.batches[5:]
    async with place.begun() as (store, first):
        await store.write(WriteGroup(head))
    async with open_bridge(), place.opened() as store:
        await store.fence()
        # It begins before the durable revision, in the middle of a batch too.
        assert await store.store_surplus(first.epoch, [head[-1], *tail[:10]]) == 0
        assert await store.store_surplus(first.epoch, tail[:10]) == 0
        assert await store.store_surplus(first.epoch, []) == 0
        await store.open_epoch()
        # More of it appeared on the bus before the new epoch did.
        assert await store.store_surplus(first.epoch, tail) == 0
        opened = await store.open_epoch()
        stored = await store.load()
        assert opened == stored.epochs == [(first.epoch, 1), (stored.epoch, len(story.log) + 1)]
        assert cached({e.event.id: e for e in stored.events}) == cached(story.events)
        assert await store.history(0, ALL, ALL) == story.log
        assert (await store.verify()).faults == []
        assert await store.count_dead_letters() == 0


async def test_a_hole_before_or_in_the_surplus_is_an_error_with_both_numbers(place: Place) -> None:
    story = long_story()
    async with place.begun() as (store, first):
        await store.write(WriteGroup(story.batches[:1]))
    durable = story.batches[0].last_revision
    async with open_bridge(), place.opened() as store:
        await store.fence()
        begins = story.batches[2].first_revision
        with pytest.raises(StorageError, match=f"at revision {begins}, .* ends at {durable}"):
            await store.store_surplus(first.epoch, story.batches[2:])
        last = story.batches[1].last_revision
        with pytest.raises(StorageError, match=rf"revision \d+ after {last}$"):
            await store.store_surplus(first.epoch, [story.batches[1], *story.batches[3:]])
        assert (await store.fence()).durable_revision == durable


@pytest.mark.logs_errors  # the refusal
async def test_a_refused_change_of_the_surplus_is_a_letter_of_the_old_epoch(place: Place) -> None:
    story = long_story()
    async with place.begun() as (store, first):
        await store.write(WriteGroup(story.batches[:3]))
    durable = story.batches[2].last_revision
    place.refuse(f"revision = {durable + 2} AND kind <> 0")
    async with open_bridge(), place.opened() as store:
        await store.fence()
        assert await store.store_surplus(first.epoch, story.batches[3:]) == 1
        await store.open_epoch()
        (letter,) = await store.dead_letters()
        assert (letter.epoch, letter.revision) == (first.epoch, durable + 2)
        place.accept()
        assert await store.retry_dead_letter(letter.letter_id) == ""
        assert (await store.load()).revision == len(story.log)


async def test_the_former_owner_is_barred_from_the_fence_on(place: Place) -> None:
    story = long_story()
    async with place.begun() as (old, _):
        await old.write(WriteGroup(story.batches[:2]))
        async with place.opened(owner=False) as new:  # as if it had the lock
            fence = await new.fence()
            for late in (
                old.write(WriteGroup(story.batches[2:])),
                old.put_asks({}),
                old.store_surplus(fence.old_epoch, story.batches[2:]),
                old.open_epoch(),
                old.load(),
                old.renew(),
            ):
                with pytest.raises(Superseded):
                    await late
            assert (await new.fence()).durable_revision == story.batches[1].last_revision


async def test_an_owner_that_died_before_it_told_its_epoch_does_not_cut_the_former_one(
    place: Place,
) -> None:
    story = long_story()
    async with place.begun() as (store, first):
        await store.write(WriteGroup(story.batches[:2]))
    async with open_bridge(), place.opened() as store:
        await store.fence()
        ((_, one), (second, empty)) = await store.open_epoch()
        assert empty == story.batches[1].last_revision + 1
    async with open_bridge(), place.opened() as store:
        await store.fence()
        await store.store_surplus(first.epoch, story.batches[2:])
        opened = await store.open_epoch()
        beyond = len(story.log) + 1
        third = opened[-1][0]
        assert opened == [(first.epoch, one), (second, beyond), (third, beyond)]


async def test_a_surplus_that_does_not_continue_the_log_is_foreign(place: Place) -> None:
    story = long_story()
    async with place.begun() as (store, first):
        await store.write(WriteGroup(story.batches[:2]))
    async with place.begun() as (store, _):  # a service without the bus went on
        await store.write(WriteGroup(story.batches[2:4]))
    async with open_bridge(), place.opened() as store:
        before = await store.fence()
        with pytest.raises(ForeignSurplus, match="went on at revision"):
            await store.store_surplus(first.epoch, story.batches[4:])
        with pytest.raises(ForeignSurplus, match="does not know epoch x"):
            await store.store_surplus("x", story.batches[4:])
        # What is known is no surplus.
        assert await store.store_surplus("x", story.batches[:4]) == 0
        assert (await store.fence()).durable_revision == before.durable_revision


async def test_a_reader_sees_one_moment_and_opens_nothing(place: Place) -> None:
    story = long_story()
    async with open_bridge(), place.opened() as store, place.opened(owner=False) as reader:
        with pytest.raises(StorageUnavailable, match="no service has begun"):
            await reader.warm()
        fence = await store.fence()
        with pytest.raises(StorageUnavailable, match="no service has begun"):
            await reader.warm()
        await store.open_epoch()
        await store.write(WriteGroup(story.batches))
        warm, loaded = await reader.warm(), await store.load()
        assert warm == loaded
        assert (warm.epoch, warm.revision) == (fence.epoch, len(story.log))
        assert warm.database_id == fence.database_id
        assert warm.last_detected_at == story.log[-1].detected_at
        assert cached({e.event.id: e for e in warm.events}) == cached(story.events)
        await store.write(WriteGroup())  # still the owner
        assert await reader.warm() == warm


async def test_renewals_need_no_fence_before_the_first(place: Place) -> None:
    async with open_bridge(), place.opened() as store:
        await store.renew()
        await store.fence()
        await store.renew()
        place.take_over()
        with pytest.raises(Superseded):
            await store.renew()


@pytest.mark.parametrize("of_spill", [4, 12])
async def test_a_spill_after_the_surplus_is_known_or_goes_on(place: Place, of_spill: int) -> None:
    story = long_story()
    surplus = story.batches[2:8]
    async with place.begun() as (store, first):
        await store.write(WriteGroup(story.batches[:2]))
        store.spill(story.batches[2 : 2 + of_spill])
    async with open_bridge(), place.opened() as store:
        await store.fence()
        await store.store_surplus(first.epoch, surplus)
        opened = await store.open_epoch()
        stored = await store.load()
        reached = max(8, 2 + of_spill)
        assert stored.revision == story.batches[reached - 1].last_revision
        assert opened[-1] == (stored.epoch, stored.revision + 1)
        assert (stored.replayed, stored.misfits) == (
            length_of(story.batches[2 : 2 + of_spill]), 0
        )  # fmt: skip
        assert await store.history(0, ALL, ALL) == story.log[: stored.revision]
        assert await store.count_dead_letters() == 0
        assert not place.has_spill()
        await store.write(WriteGroup(story.batches[reached:]))
        assert (await store.verify()).faults == []


@asynccontextmanager
async def others_go_on(
    place: DatabasePlace, story: Story, spilled: Sequence[Commit]
) -> AsyncIterator[Store]:
    """Store two commits, and spill others; yield the store of the next owner, without the spill.

    It has the commits up to the eighth. The spill comes back at the end.
    """
    async with place.begun() as (store, first):
        await store.write(WriteGroup(story.batches[:2]))
        store.spill(spilled)
    path = place.spill()
    assert path is not None
    away = path.rename(path.with_suffix(".away"))
    async with open_bridge(), place.opened() as store:
        await store.fence()
        await store.store_surplus(first.epoch, story.batches[2:8])
        await store.open_epoch()
        yield store
    away.rename(path)


@pytest.mark.logs_errors  # the changes that nobody has
@on_databases
@pytest.mark.parametrize("in_steps", [False, True])
async def test_an_old_owners_spill_comes_back_after_others_went_on(
    place: DatabasePlace, in_steps: bool
) -> None:
    """It comes back to its machine: what the history has is no letter, the rest is."""
    story = long_story()
    async with others_go_on(place, story, story.batches[2:12]) as store:
        known = (await store.load()).revision
    async with open_bridge(), place.opened() as store:
        if in_steps:
            await store.fence()
            await store.open_epoch()
            stored = await store.load()
        else:
            stored = await store.begin()
        lost = story.batches[8:12]
        assert (stored.replayed, stored.misfits) == (0, length_of(lost))
        letters = await store.dead_letters()
        assert [letter.change for letter in letters] == [c for b in lost for c in b.changes]
        assert stored.revision == known
    assert place.spill() is None


@on_databases
async def test_an_old_owners_spill_that_the_history_has_leaves_no_letter(
    place: DatabasePlace,
) -> None:
    story = long_story()
    async with others_go_on(place, story, story.batches[1:6]) as store:
        await store.write(WriteGroup(story.batches[8:]))
    async with place.begun() as (store, stored):
        assert (stored.replayed, stored.misfits, stored.dead_letters) == (0, 0, 0)
        assert await store.history(0, ALL, ALL) == story.log
    assert place.spill() is None


def test_held_revisions_end_with_the_epoch_and_with_the_log() -> None:
    known = [("a", 1), ("b", 11), ("c", 11), ("d", 21)]
    assert held_of(known, "a", 25) == range(1, 11)
    assert not held_of(known, "b", 25)
    assert held_of(known, "c", 25) == range(11, 21)
    assert held_of(known, "d", 25) == range(21, 26)
    assert not held_of(known, "d", 20)
    assert not held_of(known, "x", 25)


def test_only_empty_epochs_make_way() -> None:
    assert later_epochs([("a", 1), ("b", 11)], "b", 30) == []
    assert later_epochs([("a", 1), ("b", 11), ("c", 11)], "a", 10) == ["b", "c"]
    with pytest.raises(ForeignSurplus, match="at revision 11 in epoch b"):
        later_epochs([("a", 1), ("b", 11), ("c", 13)], "a", 12)
