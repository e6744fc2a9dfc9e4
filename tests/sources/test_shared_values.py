"""Values that markets share behind the gate, from sources that make every value anew."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from msgspec.structs import replace

from odds_service.cache import OddsCache
from odds_service.clock import DrivenClock
from odds_service.feed import ChangeFeed
from odds_service.model.market import Market, MarketKey, ObservedMarket, Outcome
from odds_service.model.observation import Observation, ObservedEvent
from odds_service.model.source import SourceState
from odds_service.pipeline.channels import WriteQueue
from odds_service.pipeline.detect import Detector
from odds_service.reconcile import Reconciler
from odds_service.sources import shared_values
from odds_service.sources.boundary import Gate
from odds_service.sources.market_gate import MarketGate
from odds_service.sources.shared_values import KEPT_S, SharedValues
from tests.support.observations import NOON, Prices, observe, observed_event

POINTS = MarketKey("player_points", "20.5", "Some Player")
BOTH: Prices = {"over": 1.9, "under": 1.95}


def anew(value: Any) -> Any:
    """Return an equal text, price or time that is another object."""
    if isinstance(value, str):
        return value.encode().decode()
    if isinstance(value, float):
        return float(repr(value))
    return None if value is None else value.replace()


def key_anew(key: MarketKey) -> MarketKey:
    return MarketKey(*map(anew, key))


def outcome_anew(outcome: Outcome) -> Outcome:
    return Outcome(anew(outcome.key), anew(outcome.name), anew(outcome.price), outcome.active)


def market_anew(market: ObservedMarket) -> ObservedMarket:
    outcomes = tuple(map(outcome_anew, market.outcomes))
    return ObservedMarket(
        key_anew(market.key), market.status, outcomes, anew(market.source_updated_at)
    )


def event_anew(event: ObservedEvent) -> ObservedEvent:
    """Return an equal event whose markets have no object in common with the given one's."""
    bookmakers = tuple(
        replace(
            shown,
            bookmaker=anew(shown.bookmaker),
            markets={key_anew(key): market_anew(each) for key, each in shown.markets.items()},
        )
        for shown in event.bookmakers
    )
    return replace(event, bookmakers=bookmakers)


def offer(event_id: str = "e", key: MarketKey = POINTS, prices: Prices = BOTH) -> ObservedEvent:
    market = {key: prices}
    event = observed_event(event_id, {"one bookmaker": market, "another bookmaker": market})
    timed = tuple(
        replace(
            shown,
            markets={k: replace(each, source_updated_at=NOON) for k, each in shown.markets.items()},
        )
        for shown in event.bookmakers
    )
    return event_anew(replace(event, bookmakers=timed))


def through(gate: Gate, *events: ObservedEvent) -> Observation:
    problems: Counter[str] = Counter()
    given = observe(list(events))
    passed = gate.check(given, problems, started_at=NOON, observed_at=NOON)
    assert not problems
    assert passed == given
    for shown in (shown for event in passed.events for shown in event.bookmakers):
        assert all(place is market.key for place, market in shown.markets.items())
    return passed


def markets_in(events: Iterable[ObservedEvent]) -> list[ObservedMarket]:
    shown = (shown for event in events for shown in event.bookmakers)
    return [market for each in shown for market in each.markets.values()]


def objects_of(markets: Iterable[ObservedMarket | Market]) -> list[set[int]]:
    """Return the ids of the distinct keys, texts, outcomes, prices and times of markets."""
    markets = list(markets)
    outcomes = [outcome for market in markets for outcome in market.outcomes]
    return [
        {id(market.key) for market in markets},
        {id(part) for market in markets for part in market.key},
        {id(outcome) for outcome in outcomes},
        {id(text) for outcome in outcomes for text in (outcome.key, outcome.name)},
        {id(outcome.price) for outcome in outcomes},
        {id(market.source_updated_at) for market in markets},
    ]


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_equal_values_are_one_object_behind_the_gate() -> None:
    gate = Gate("toa")
    given = [offer("e"), offer("other")]
    assert [len(ids) for ids in objects_of(markets_in(given))] == [4, 12, 8, 16, 8, 4]
    markets = markets_in([*through(gate, *given).events, *through(gate, offer("e")).events])
    assert [len(ids) for ids in objects_of(markets)] == [1, 3, 2, 4, 2, 1]


def test_names_are_shared_between_prices() -> None:
    first, second = (offer(prices={"over": price, "under": 1.95}) for price in (1.9, 2.0))
    markets = markets_in(through(Gate("toa"), first, replace(second, source_event_id="f")).events)
    assert {outcome.price for each in markets for outcome in each.outcomes} == {1.9, 1.95, 2.0}
    _, _, outcomes, texts, prices, _ = objects_of(markets)
    assert (len(outcomes), len(texts), len(prices)) == (3, 4, 3)


def test_a_value_of_a_wrong_type_is_wrong_even_beside_an_equal_one() -> None:
    gate = Gate("toa")
    through(gate, offer())
    odd = offer()
    one, other = odd.bookmakers
    (market,) = one.markets.values()
    over, under = market.outcomes
    bad = replace(market, outcomes=(replace(over, active=1), under))
    assert over == bad.outcomes[0]
    odd = replace(odd, bookmakers=(replace(one, markets={market.key: bad}), other))
    problems: Counter[str] = Counter()
    passed = gate.check(observe([odd]), problems, started_at=NOON, observed_at=NOON)
    assert problems == {"bad_market": 1, "bad_observation": 1}
    assert [len(shown.markets) for shown in passed.events[0].bookmakers] == [0, 1]


def test_cached_and_logged_markets_share_their_values() -> None:
    feed = ChangeFeed("e1", 0)
    cache = OddsCache(feed, sources=[SourceState(source="toa", interval_s=1e9)])
    detector = Detector(cache, feed, WriteQueue(10**6), Reconciler(), DrivenClock(lambda: NOON))
    gate = Gate("toa")
    detector.apply(through(gate, offer("e"), offer("other")))
    detector.apply(through(gate, offer("e", prices={"over": 2.1, "under": 1.95})))
    cached = [
        market
        for entry in cache.events.values()
        for odds in entry.bookmakers.values()
        for market in odds.markets.values()
    ]
    assert len(cached) == 4
    assert [len(ids) for ids in objects_of(cached)] == [1, 3, 3, 4, 3, 1]
    for entry in cache.events.values():
        for odds in entry.bookmakers.values():
            assert all(place is market.key for place, market in odds.markets.items())


def gate_with(shared: SharedValues) -> Gate:
    gate = Gate("toa")
    gate._markets = MarketGate(10_000, shared)
    return gate


def test_nothing_is_kept_of_events_that_are_no_longer_shown() -> None:
    clock = Clock()
    shared = SharedValues(clock)
    gate = gate_with(shared)
    (kept,) = {id(market.key) for market in markets_in(through(gate, offer()).events)}
    held = len(shared)
    for number in range(20):  # events that come and go
        of_event = MarketKey("player_points", f"{number}.5", f"Player {number}")
        through(gate, offer(f"e{number}", of_event, {f"Name {number}": 1.5 + number}))
    assert len(shared) > 3 * held
    for _ in range(2):
        clock.now_s += KEPT_S
        (still,) = {id(market.key) for market in markets_in(through(gate, offer()).events)}
        assert still == kept  # what is still shown stays the same object
    assert len(shared) <= 2 * held  # both generations hold only what is still shown
    assert len(shared.keys) == 1
    assert len(shared.orders) == 2


def test_many_values_end_a_generation_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_values, "MOST_VALUES", 100)
    shared = SharedValues(Clock())
    gate = gate_with(shared)
    for number in range(1_000):
        of_event = MarketKey("player_points", f"{number}.5", f"Player {number}")
        through(gate, offer(f"e{number}", of_event))
        assert len(shared) < 900
