"""Odds of a start: equal to those decoded one by one, and equal values are one object each."""

from collections.abc import Iterable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from odds_service.model.market import Market, MarketKey, MarketStatus, Outcome
from odds_service.storage.rows import Unreadable, many_odds
from odds_service.storage.rows.many_odds import ManyOdds
from odds_service.storage.rows.odds import after_text, before_text, market_from
from odds_service.store import WriteGroup
from tests.pipeline.test_detect import Stage
from tests.support.databases import DatabasePlace
from tests.support.observations import NOON, Prices, observe, offered
from tests.support.places import on_databases

TOTALS = MarketKey("totals", "2.5")
BOTH = (Outcome("over", "Over", 1.9), Outcome("under", "Under", 1.95))


def made(number: int) -> Market:
    outcomes = (replace(BOTH[0], price=1.5 + number % 5), BOTH[1])[: 1 + number % 2]
    at = NOON + timedelta(minutes=number % 3)
    claimed = None if number % 4 == 0 else NOON
    return Market(TOTALS, MarketStatus.OPEN, outcomes, number + 1, at, claimed)


def texts_of(market: Market) -> list[tuple[str, int]]:
    """Return a market as texts, each with the revision of its row."""
    texts = [(after_text(market, market.revision, market.changed_at), market.revision)]
    return [*texts, (before_text(market), market.revision + 7)]


@pytest.mark.parametrize("most", [1, 3, 2**16])
def test_markets_are_those_that_are_decoded_alone(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(many_odds, "_MOST_KEPT", most)
    shared = ManyOdds(lambda at: at + timedelta())
    for number in range(200):
        market = made(number)
        for text, revision in texts_of(market):
            decoded = shared.market(TOTALS, text, revision, market.changed_at)
            assert decoded == market == market_from(TOTALS, text, revision, market.changed_at)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "[1]", '[1,"over"]', '[1,[["over"]]]', '[1,[["over","Over","2"]]]', "[9,[]]"],
)
def test_a_text_that_is_no_odds_is_unreadable(text: str) -> None:
    for _ in range(2):
        with pytest.raises(Unreadable):
            ManyOdds(lambda at: at).market(TOTALS, text, 1, NOON)
        with pytest.raises(Unreadable):
            market_from(TOTALS, text, 1, NOON)


def ids_of(markets: Iterable[Market]) -> list[set[int]]:
    """Return the ids of the distinct keys, texts, sets of outcomes, outcomes and times."""
    markets = list(markets)
    outcomes = [outcome for market in markets for outcome in market.outcomes]
    times = [at for market in markets for at in (market.changed_at, market.source_updated_at)]
    return [
        {id(market.key) for market in markets},
        {id(part) for market in markets for part in market.key},
        {id(market.outcomes) for market in markets},
        {id(outcome) for outcome in outcomes},
        {id(text) for outcome in outcomes for text in (outcome.key, outcome.name)},
        {id(at) for at in times if at is not None},
    ]


def test_times_that_do_not_follow_one_another_are_shared() -> None:
    shared = ManyOdds(lambda at: at + timedelta())
    markets = []
    for number in range(30):
        market = made(number)
        text, revision = texts_of(replace(market, source_updated_at=market.changed_at))[number % 2]
        markets.append(shared.market(TOTALS, text, revision, market.changed_at + timedelta()))
    *_, times = ids_of(markets)
    assert len(times) == 3


@on_databases
async def test_equal_values_are_one_object_after_a_start(place: DatabasePlace) -> None:
    one: Prices = {"over": 1.9, "under": 1.95}
    other: Prices = {"over": 2.1, "under": 1.95}
    lines = {MarketKey("totals", line): one for line in ("1.5", "2.5")}
    event = {bookmaker: {**lines, MarketKey("totals", "3.5"): other} for bookmaker in "bc"}
    stage = Stage()
    async with place.begun() as (store, _):
        await stage.detector.observe(observe(offered({"e": event, "f": event})))
        await store.write(WriteGroup(list(stage.feed.read_after(0, 100) or [])))
    async with place.begun() as (_, stored):
        entries = stored.events
    odds = [each for entry in entries for each in entry.bookmakers.values()]
    markets = [market for each in odds for market in each.markets.values()]
    assert len(markets) == 12
    # Texts: totals, three lines, no participant; over, Over, under, Under.
    assert [len(ids) for ids in ids_of(markets)] == [3, 5, 2, 3, 4, 1]
    for entry in entries:
        for whose, each in entry.bookmakers.items():
            assert all(place is market.key for place, market in each.markets.items())
            assert each.event_id is entry.event.id
            assert (each.source is whose[0], each.bookmaker is whose[1]) == (True, True)
    assert len({id(text) for each in odds for text in (each.source, each.bookmaker)}) == 3
    assert len({id(at) for each in odds for at in (each.observed_at, each.confirmed_at)}) == 1
