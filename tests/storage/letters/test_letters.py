"""Changes that the database refuses: found, kept, tried again, dropped."""

import random

import pytest

from odds_service.model.change import Commit
from odds_service.model.market import MarketKey
from odds_service.store import Store, WriteGroup
from tests.support.databases import DatabasePlace, Place
from tests.support.observations import Book, cached, observe, offered
from tests.support.places import on_databases
from tests.support.stories import SERIES, Story, random_series

pytestmark = pytest.mark.logs_errors  # a refused change is an error to be looked at

ALL = 10**9


async def stored(store: Store, story: Story, place: Place, condition: str) -> list[int]:
    """Write changes, some of which the database refuses; return the refused revisions."""
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
    story = Story(SERIES + random_series(11, 15))
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


@on_databases
@pytest.mark.parametrize("left", ["substr(letter, 1, length(letter) - 1)", "substr(letter, 2)"])
async def test_a_damaged_letter_stays_unknown_and_stops_nothing(
    place: DatabasePlace, left: str
) -> None:
    story = Story(SERIES + random_series(6, 30))
    async with place.begun() as (store, _):
        refused = await stored(store, story, place, "market = 'totals'")
        place.accept()
        place.sql(f"UPDATE dead_letters SET letter = {left}")  # noqa: S608  # ours
        letters = await store.dead_letters()
        assert [each.revision for each in letters] == refused
        assert {each.change for each in letters} == {None}
        assert "damaged" in await store.retry_dead_letter(letters[0].letter_id)
        assert (await store.odds_at(len(story.log))).unstored
        assert await store.drop_dead_letter(letters[0].letter_id)
    async with place.begun() as (_, again):
        assert again.revision == len(story.log)
        assert again.dead_letters == len(refused) - 1


async def test_a_dropped_letter_leaves_its_place_open(place: Place) -> None:
    story = Story(SERIES)
    async with place.begun() as (store, _):
        refused = await stored(store, story, place, "revision = 4 AND kind > 0")
        (letter,) = await store.dead_letters()
        assert await store.drop_dead_letter(letter.letter_id)
        assert not await store.drop_dead_letter(letter.letter_id)
        page = await store.history_page(0, ALL, ALL)
        assert page.unstored == refused == [4]


async def test_letters_hold_names_of_any_length_that_a_source_may_send(place: Place) -> None:
    rng = random.Random(5)
    names = ["".join(chr(rng.randrange(0x10000, 0x1F000)) for _ in range(256)) for _ in range(4)]
    event_id, bookmaker, line, participant = names
    book = Book()
    key = MarketKey("player_points", line, participant)
    seen = book.see(observe(offered({event_id: {bookmaker: {key: {"over": 1.9, "under": 1.8}}}})))
    async with place.begun() as (store, _):
        place.refuse("kind > 0")
        commit = Commit(seen.changes, seen.snapshots, seen.event_sources)
        assert await store.write(WriteGroup([commit])) == len(seen.changes)
        past = await store.odds_at(len(seen.changes))
    assert cached({e.event.id: e for e in past.events}) == cached(book.events)
