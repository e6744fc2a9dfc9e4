"""Closing odds, and the last look at an event before its start."""

from datetime import datetime, timedelta

import pytest

from odds_service.model.change import (
    ChangeKind,
    Commit,
    MarketChange,
    SourceChange,
)
from odds_service.model.market import MarketStatus
from odds_service.model.scrape_run import ScrapeRun
from odds_service.model.source import SourceState, SourceStatus
from odds_service.store import ClosingOdds, WriteGroup
from tests.support.databases import Place
from tests.support.observations import NOON, Offer, Prices
from tests.support.stories import H2H, Story


def closing_by_hand(story: Story, event_id: str, start: datetime) -> dict[object, float]:
    """Return the home price of the last OPEN odds before the start, by bookmaker and market."""
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
    """Return the closing odds of an event seen six hours before its start and an hour after."""
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
