"""Odds as they were, closing odds, and what is left of them below the retention floor."""

from datetime import datetime, timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odds_service.errors import BelowFloor
from odds_service.model.change import (
    ChangeKind,
    Commit,
    EventChange,
    MarketChange,
    SourceChange,
)
from odds_service.model.event import EventStatus
from odds_service.model.market import MarketStatus
from odds_service.model.scrape_run import ScrapeRun
from odds_service.model.source import SourceState, SourceStatus
from odds_service.store import ClosingOdds, PastOdds, Retention, WriteGroup
from tests.support.databases import DatabasePlace, Place
from tests.support.observations import NOON, Offer, Prices, cached, fold
from tests.support.places import on_databases
from tests.support.stories import H2H, SERIES, Story, random_series

ALL = 10**9
DAY = timedelta(days=1)


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
        with pytest.raises(BelowFloor):
            await store.odds_at(len(story.log) + 1)
    place.clear()


async def test_a_time_finds_its_revision(place: Place) -> None:
    story = Story(SERIES)
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
        for at in (NOON - DAY, NOON, NOON + timedelta(seconds=90), NOON + DAY):
            expected = sum(change.detected_at <= at for change in story.log)
            assert await store.revision_at(at) == expected


@pytest.mark.logs_errors
async def test_odds_at_counts_what_was_refused(place: Place) -> None:
    story = Story(SERIES)
    async with place.begun() as (store, _):
        place.refuse("revision = 5 AND kind > 0")
        assert await store.write(WriteGroup(story.batches)) == 1
        # The letter tells what the change was: the past is whole.
        assert shown(await store.odds_at(3)) == fold(story.log[:3])
        assert (await store.odds_at(3)).unstored == 0
        (letter,) = await store.dead_letters()
        await store.drop_dead_letter(letter.letter_id)
        assert (await store.odds_at(3)).unstored == 1
        assert (await store.odds_at(5)).unstored == 0


def closing_by_hand(story: Story, event_id: str, start: datetime) -> dict[object, float]:
    """Bookmaker and market -> home price of the last OPEN odds before the start."""
    found: dict[object, float] = {}
    for change in story.log:
        if (
            isinstance(change, MarketChange)
            and change.event_id == event_id
            and change.observed_at < start
            and change.after.status is MarketStatus.OPEN
        ):
            found[change.bookmaker, change.after.key] = change.after.outcomes[0].price or 0
    return found


async def test_closing_odds_are_the_last_open_ones_before_the_start(place: Place) -> None:
    story = Story(every_s=3600)  # the event starts at 18:00, after six looks
    offers = [2.0, 2.1, None, 2.2, 2.3, 2.3, 1.5, 1.4]
    for price in offers:
        shown_by_b: Prices = {"home": price}
        of_event = {"b": {H2H: shown_by_b}}
        story.look({"e": of_event if price == 2.3 else of_event | {"c": {H2H: {"home": 3.0}}}})
    start = NOON + timedelta(hours=6)
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches, list(story.confirmed.values())))
        closing: list[ClosingOdds] = await store.closing_odds(["e", "nobody"])
    assert {
        (each.bookmaker, each.market.key): each.market.outcomes[0].price for each in closing
    } == closing_by_hand(story, "e", start)
    b, c = sorted(closing, key=lambda each: each.bookmaker)
    assert (b.offered, c.offered) == (True, False)  # c had been removed two hours before
    assert b.age_s == 3600
    assert c.confirmed_at == NOON + timedelta(hours=3)
    assert b.start_time == start


START = NOON + timedelta(hours=6)


def pull(
    minutes_before: float, *, listing: str = "soccer_epl", outcome: str = "complete"
) -> ScrapeRun:
    at = START - timedelta(minutes=minutes_before)
    return ScrapeRun(
        source="toa", listing=listing, started_at=at - timedelta(seconds=1), finished_at=at,
        outcome=outcome, reason="", events=1, markets=1, changes=0, problems={},
    )  # fmt: skip


async def closing_after(
    place: Place, runs: list[ScrapeRun], state: SourceState | None = None
) -> ClosingOdds:
    """The closing odds of an event seen six hours before its start and an hour after it."""
    story = Story(every_s=7 * 3600)
    of_event: Offer = {"e": {"b": {H2H: {"home": 2.0}}}}
    story.look(of_event)
    if state is not None:
        revision, at = len(story.log) + 1, NOON + timedelta(minutes=1)
        kind = {SourceStatus.UP: ChangeKind.SOURCE_UP}.get(state.status, ChangeKind.SOURCE_DOWN)
        told = SourceChange(revision, kind, state.reason, "toa", at, at, None, state)
        story.log.append(told)
        story.batches.append(Commit([told]))
    story.look(of_event)
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches, list(story.confirmed.values()), runs))
        (closing,) = await store.closing_odds(["e"])
    assert closing.offered
    return closing


async def test_a_price_seen_again_after_the_start_was_confirmed_at_the_last_look_before(
    place: Place,
) -> None:
    closing = await closing_after(
        place,
        [
            pull(361), pull(100), pull(40), pull(30, outcome="failed"),
            pull(20, listing="nba"), pull(-60),
        ],
    )  # fmt: skip
    assert (closing.confirmed_at, closing.age_s) == (START - timedelta(minutes=40), 2_400)


async def test_without_a_look_in_between_the_closing_odds_are_as_old_as_their_change(
    place: Place,
) -> None:
    closing = await closing_after(place, [pull(361), pull(5, outcome="failed"), pull(-60)])
    assert closing.confirmed_at == NOON


@pytest.mark.parametrize(
    ("status", "success_before", "age"),
    [
        (SourceStatus.UP, 350, timedelta(minutes=3)),  # three intervals: not later than this
        (SourceStatus.DOWN, 50, timedelta(minutes=50)),
    ],
)
async def test_where_pulls_are_not_kept_any_more_the_sources_state_bounds_the_last_look(
    place: Place, status: SourceStatus, success_before: float, age: timedelta
) -> None:
    state = SourceState(
        source="toa", interval_s=60.0, status=status, reason="",
        last_success_at=START - timedelta(minutes=success_before),
    )  # fmt: skip
    closing = await closing_after(place, [pull(-60)], state)
    assert START - closing.confirmed_at == age


async def test_the_sources_of_the_past_are_those_of_then(place: Place) -> None:
    def told(revision: int, status: SourceStatus, minute: int) -> SourceChange:
        kind = ChangeKind.SOURCE_UP if status is SourceStatus.UP else ChangeKind.SOURCE_DOWN
        reason = "" if status is SourceStatus.UP else "timeout"
        at = NOON + timedelta(minutes=minute)
        after = SourceState(
            source="toa", interval_s=60.0, status=status, reason=reason,
            last_success_at=NOON, consecutive_failures=0 if status is SourceStatus.UP else 5,
        )  # fmt: skip
        return SourceChange(revision, kind, reason, "toa", at, at, None, after)

    changes = [
        told(1, SourceStatus.UP, 0), told(2, SourceStatus.DOWN, 10), told(3, SourceStatus.UP, 20),
    ]  # fmt: skip
    async with place.begun() as (store, _):
        await store.write(WriteGroup([Commit([change]) for change in changes]))
        found = {}
        for revision, minute in ((0, -1), (1, 5), (2, 15), (3, 25)):
            states = await store.sources_at(revision, NOON + timedelta(minutes=minute))
            found[revision] = [(state.status, state.reason) for state in states]
        assert found == {
            0: [],
            1: [(SourceStatus.UP, "")],
            2: [(SourceStatus.DOWN, "timeout")],
            3: [(SourceStatus.UP, "")],
        }
        run = msgspec.structs.replace(
            pull(0), started_at=NOON, finished_at=NOON + timedelta(minutes=4)
        )
        await store.write(WriteGroup(runs=[run]))
        (state,) = await store.sources_at(1, NOON + timedelta(minutes=5))
        assert state.last_success_at == NOON + timedelta(minutes=4)


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
