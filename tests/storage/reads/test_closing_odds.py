"""Closing odds, and the last look at an event before its start."""

import tracemalloc
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
import pytest

from odds_service.model.change import (
    ChangeKind,
    Commit,
    MarketChange,
    Reason,
    SourceChange,
)
from odds_service.model.market import AtStart, MarketKey, MarketStatus
from odds_service.model.scrape_run import ScrapeRun
from odds_service.model.source import SourceState, SourceStatus
from odds_service.storage.closing import Step, last_offers
from odds_service.storage.schema import odds_history
from odds_service.store import ClosingOdds, WriteGroup
from tests.support.databases import DatabasePlace, Place
from tests.support.observations import NOON, Offer, Prices
from tests.support.places import on_databases
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
    assert b.at_start is AtStart.NOT_KNOWN  # the last look was an hour before
    assert c.at_start is AtStart.NOT_KNOWN  # it had been removed two hours before
    assert b.looked_at == b.confirmed_at == NOON + timedelta(hours=5)
    assert c.looked_at == NOON + timedelta(hours=4)
    assert not b.offered
    assert not c.offered
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


def add_state(story: Story, status: SourceStatus) -> None:
    """Tell a status of the source a minute after noon."""
    state = SourceState(
        source="toa", interval_s=60.0, status=status, reason="", last_success_at=NOON
    )
    tell(story, state, NOON + timedelta(minutes=1))


def tell(story: Story, state: SourceState, at: datetime) -> None:
    kind = {SourceStatus.UP: ChangeKind.SOURCE_UP, SourceStatus.STALE: ChangeKind.SOURCE_STALE}.get(
        state.status, ChangeKind.SOURCE_DOWN
    )
    told = SourceChange(len(story.log) + 1, kind, state.reason, "toa", at, at, None, state)
    story.log.append(told)
    story.batches.append(Commit([told]))


async def closing_after(
    place: Place,
    runs: list[ScrapeRun],
    state: SourceState | None = None,
    seen_before: float | None = None,
) -> ClosingOdds:
    """Return the closing odds of an event seen six hours before its start and an hour after.

    With `seen_before`, the source shows another event so many minutes before the start.
    """
    story = Story()
    of_event: Offer = {"e": {"b": {H2H: {"home": 2.0}}}}
    story.look(of_event)
    if state is not None:
        tell(story, state, NOON + timedelta(minutes=1))
    if seen_before is not None:
        story.look_at(360 - seen_before, {**of_event, "other": of_event["e"]})
    story.look_at(420, of_event)
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches, list(story.confirmed.values()), runs))
        (closing,) = await store.closing_odds(["e"])
    assert closing.looked_at == closing.confirmed_at
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
    ("status", "success_before", "seen_before", "age"),
    [
        # Three intervals: not later than this, as the source answered within them.
        (SourceStatus.UP, 350, 2, timedelta(minutes=3)),
        (SourceStatus.UP, 350, None, timedelta(hours=6)),  # perhaps the service was stopped
        (SourceStatus.DOWN, 50, None, timedelta(minutes=50)),
    ],
)
async def test_where_pulls_are_not_kept_any_more_the_sources_state_bounds_the_last_look(
    place: Place,
    status: SourceStatus,
    success_before: float,
    seen_before: float | None,
    age: timedelta,
) -> None:
    state = SourceState(
        source="toa", interval_s=60.0, status=status, reason="",
        last_success_at=START - timedelta(minutes=success_before),
    )  # fmt: skip
    closing = await closing_after(place, [pull(-60)], state, seen_before)
    assert START - closing.confirmed_at == age
    assert closing.at_start is (AtStart.OFFERED if seen_before else AtStart.NOT_KNOWN)


class Watched(NamedTuple):
    """Closing odds of one market, offered at six and three hours before the start.

    Attributes:
        gone_before: minutes before the start at which a look finds it suspended; None if none does.
        pulls: minutes before the start of the successful pulls.
        status: the last status of the source that the log tells before the start.
        at_start: the expected answer.
    """

    gone_before: float | None
    pulls: tuple[float, ...]
    status: SourceStatus
    at_start: AtStart


UP, STALE, DOWN = SourceStatus.UP, SourceStatus.STALE, SourceStatus.DOWN


@pytest.mark.parametrize(
    "case",
    [
        Watched(None, (100, 1), UP, AtStart.OFFERED),
        Watched(None, (100, 3), UP, AtStart.OFFERED),  # three intervals
        Watched(None, (100, 3.1), UP, AtStart.NOT_KNOWN),
        Watched(None, (100, -1), UP, AtStart.NOT_KNOWN),  # stopped at the start
        Watched(None, (100, 1), STALE, AtStart.NOT_KNOWN),
        Watched(None, (100, 1), DOWN, AtStart.NOT_KNOWN),
        Watched(60, (100, 60, 1), UP, AtStart.NOT_OFFERED),
        Watched(2, (100, 2), UP, AtStart.NOT_OFFERED),
        Watched(60, (100, 60, -1), UP, AtStart.NOT_KNOWN),  # it may have been resumed
        Watched(60, (100, 60, 1), DOWN, AtStart.NOT_KNOWN),
    ],
)
async def test_a_market_is_known_at_the_start_only_if_somebody_looked(
    place: Place, case: Watched
) -> None:
    story = Story(every_s=60)
    book: dict[MarketKey, Prices] = {H2H: {"home": 2.0}}
    story.look({"e": {"b": book}})
    add_state(story, case.status)
    moved: dict[MarketKey, Prices] = {H2H: {"home": 2.1}}
    story.look_at(180, {"e": {"b": moved}})
    if case.gone_before is not None:
        story.look_at(60 * 6 - case.gone_before, {"e": {"b": {H2H: {"home": None}}}})
    runs = [pull(361), *map(pull, case.pulls), pull(-60)]
    story.look_at(60 * 7, {"e": {"b": moved}})
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches, list(story.confirmed.values()), runs))
        (closing,) = await store.closing_odds(["e"])
    assert closing.at_start is case.at_start
    assert closing.offered is (case.at_start is AtStart.OFFERED)
    looks = [minutes for minutes in case.pulls if minutes >= 0]
    assert closing.looked_at == START - timedelta(minutes=min(looks))
    assert closing.market.outcomes[0].price == 2.1
    assert closing.opening is not None
    assert closing.opening.outcomes[0].price == 2.0
    assert closing.opening.changed_at == NOON


@pytest.mark.parametrize("reason", [Reason.NO_LONGER_ASKED, Reason.PURGED, Reason.UNREADABLE])
async def test_odds_that_went_without_a_look_are_not_known_at_the_start(
    place: Place, reason: str
) -> None:
    story = Story()
    story.look({"e": {"b": {H2H: {"home": 2.0}}}})
    add_state(story, SourceStatus.UP)
    story.look_at(300, {"e": {"b": {}}})
    *others, last = story.batches
    changes = [msgspec.structs.replace(change, reason=reason) for change in last.changes]
    batches = [*others, msgspec.structs.replace(last, changes=changes)]
    async with place.begun() as (store, _):
        await store.write(WriteGroup(batches, list(story.confirmed.values()), [pull(361), pull(1)]))
        (closing,) = await store.closing_odds(["e"])
    assert closing.at_start is AtStart.NOT_KNOWN


def test_a_market_whose_first_change_is_not_kept_has_no_opening_odds() -> None:
    def step(revision: int, price: float, *, added: bool = False) -> Step[float]:
        return Step(("h2h",), revision, NOON + timedelta(minutes=revision), price, added)

    steps = [step(1, 2.0, added=True), step(2, 2.1), step(3, 2.2)]
    (whole,) = last_offers(steps, START).values()
    assert (whole.opening, whole.origin) == (2.0, 2.2)
    (cut,) = last_offers(steps[1:], START).values()
    assert (cut.opening, cut.origin) == (None, 2.2)


@on_databases
async def test_an_event_with_many_changes_is_not_held_as_a_whole(place: DatabasePlace) -> None:
    story = Story(every_s=60)
    for price in (2.0, 2.1):
        story.look({"e": {"b": {H2H: {"home": price}}}})
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches, list(story.confirmed.values())))
        last = int(place.value("SELECT max(revision) FROM odds_history WHERE kind = 2"))
        names = ", ".join(column.name for column in odds_history.c if column.name != "revision")
        for step in range(14):  # twice as many each time
            place.sql(
                f"INSERT INTO odds_history (revision, {names}) SELECT revision + {2**step}, {names}"  # noqa: S608  # names of ours
                f" FROM odds_history WHERE revision >= {last}"
            )
        tracemalloc.start()
        try:
            (closing,) = await store.closing_odds(["e"])
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert closing.market.outcomes[0].price == 2.1
    assert peak < 6 * 2**20  # all rows at once take more than twice as much
