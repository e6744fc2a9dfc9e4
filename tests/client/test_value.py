"""The value of bets against closing odds: methods, moved lines, and what has no value."""

import math
from collections.abc import Mapping
from datetime import timedelta

import pytest

from odds_service.client.value import Bet, CloseMethod, Missing, Valued, value_against_close
from odds_service.client.values import ClosedEvent, ClosingOdds
from odds_service.model.event import Event, EventStatus
from odds_service.model.margins import MarginMethod, probabilities
from odds_service.model.market import AtStart, Market, MarketKey, MarketStatus, Outcome
from tests.support.observations import NOON

H2H = MarketKey("h2h")
START = NOON + timedelta(hours=3)


def totals(line: str) -> MarketKey:
    return MarketKey("totals", line)


def closing(
    bookmaker: str, key: MarketKey, prices: Mapping[str, float | None], *, offered: bool = True,
    age_s: float = 30.0,
) -> ClosingOdds:  # fmt: skip
    outcomes = tuple(Outcome(name, name, price) for name, price in prices.items())
    return ClosingOdds(
        bookmaker=bookmaker,
        source="toa",
        market=Market(key, MarketStatus.OPEN, outcomes, 1, NOON),
        confirmed_at=START - timedelta(seconds=age_s),
        age_s=age_s,
        offered=offered,
        at_start=AtStart.OFFERED if offered else AtStart.NOT_KNOWN,
        looked_at=START - timedelta(seconds=age_s),
    )


def closed(*odds: ClosingOdds, sport: str = "basketball") -> ClosedEvent:
    event = Event(
        id="e", sport=sport, competition="league", home="A", away="B", start_time=START,
        status=EventStatus.IN_PLAY, source_ids={"toa": "e"},
    )  # fmt: skip
    return ClosedEvent(event=event, odds=odds)


def bet(key: MarketKey, outcome: str, price: float = 2.0, event_id: str = "e") -> Bet:
    return Bet(placed_at=NOON, event_id=event_id, key=key, outcome=outcome, price=price)


def valued(
    own: Bet, *odds: ClosingOdds, by: MarginMethod = MarginMethod.PROPORTIONAL,
    sport: str = "basketball",
) -> Valued:  # fmt: skip
    (found,) = value_against_close([own], [closed(*odds, sport=sport)], by)
    return found


@pytest.mark.parametrize("method", MarginMethod)
def test_each_bookmaker_s_close_without_its_margin(method: MarginMethod) -> None:
    prices = {"home": 1.8, "draw": 3.6, "away": 4.5}
    found = valued(
        bet(H2H, "draw", 4.0), closing("b1", H2H, prices), closing("b2", H2H, prices), by=method
    )
    chance = probabilities([1.8, 3.6, 4.5], method)[1]
    assert [close.bookmaker for close in found.closes] == ["b1", "b2"]
    close = found.closes[0]
    assert (close.method, close.price, close.lines) == (CloseMethod.EXACT, 3.6, ())
    assert close.probability == pytest.approx(chance)
    assert close.fair_price == pytest.approx(1 / chance)
    assert close.value == pytest.approx(4.0 * chance - 1)
    assert close.overround == pytest.approx(1 / 1.8 + 1 / 3.6 + 1 / 4.5 - 1)
    assert found.reason is None


def test_a_moved_line_is_interpolated_between_the_nearest_two() -> None:
    found = valued(
        bet(totals("2.5"), "over"),
        closing("b1", totals("2"), {"over": 1.5, "under": 2.6}),
        closing("b1", totals("3"), {"over": 2.4, "under": 1.6}),
        closing("b1", totals("9"), {"over": 20.0, "under": 1.01}),
    )
    (close,) = found.closes
    low, high = (2.6 / 4.1, 1.6 / 4.0)
    middle = (math.log(low / (1 - low)) + math.log(high / (1 - high))) / 2
    assert (close.method, close.lines, close.price) == (
        CloseMethod.INTERPOLATED, ("2", "3"), None,
    )  # fmt: skip
    assert close.probability == pytest.approx(1 / (1 + math.exp(-middle)))
    assert high < close.probability < low


def test_one_line_only_is_shifted_by_the_slope_of_others() -> None:
    others = (
        closing("b2", totals("2"), {"over": 1.5, "under": 2.6}),
        closing("b2", totals("3"), {"over": 2.4, "under": 1.6}),
    )
    alone = closing("b1", totals("3"), {"over": 2.4, "under": 1.6})
    found = valued(bet(totals("2"), "over"), alone, *others)
    one, other = found.closes
    assert (one.bookmaker, one.method, one.lines) == ("b1", CloseMethod.SHIFTED, ("3",))
    assert other.method is CloseMethod.EXACT
    assert one.probability == pytest.approx(other.probability)
    found = valued(bet(totals("2"), "over"), alone)
    assert found.closes == ()
    assert found.reason is Missing.LINE_MOVED
    assert found.missing == {("toa", "b1"): Missing.LINE_MOVED}


def test_a_line_that_went_before_the_start_is_not_the_close() -> None:
    found = valued(
        bet(totals("2.5"), "under"),
        closing("b1", totals("2.5"), {"over": 1.9, "under": 1.9}, offered=False, age_s=9_000),
        closing("b1", totals("2"), {"over": 1.5, "under": 2.6}),
        closing("b1", totals("3"), {"over": 2.4, "under": 1.6}),
    )
    (close,) = found.closes
    assert close.method is CloseMethod.INTERPOLATED
    assert close.offered
    withdrawn = closing("b1", H2H, {"home": 1.9, "away": 1.9}, offered=False, age_s=60)
    (close,) = valued(bet(H2H, "home"), withdrawn).closes
    assert (close.method, close.offered, close.age_s) == (CloseMethod.EXACT, False, 60)


def test_a_handicap_is_interpolated_for_either_side() -> None:
    lines = [
        closing("b1", MarketKey("spreads", line), {"home": home, "away": away})
        for line, home, away in (("-3.5", 1.8, 2.0), ("-5.5", 2.0, 1.8))
    ]
    chances = [
        valued(bet(MarketKey("spreads", "-4.5"), side), *lines).closes[0].probability
        for side in ("home", "away")
    ]
    assert chances == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    ("key", "outcome", "prices", "by", "reason"),
    [
        (H2H, "draw", {"home": 1.9, "away": 1.9}, "power", Missing.NO_SUCH_OUTCOME),
        (H2H, "home", {"home": 1.9, "away": None}, "power", Missing.INCOMPLETE),
        (MarketKey("scorer"), "x", {"x": 1.9, "y": 9.0}, "power", Missing.NOT_EXCLUSIVE),
        (H2H, "home", {"home": 2.1, "away": 2.1}, "shin", Missing.NO_MARGIN),
    ],
)
def test_what_has_no_value_has_a_reason(
    key: MarketKey, outcome: str, prices: dict[str, float | None], by: str, reason: Missing
) -> None:
    found = valued(bet(key, outcome), closing("b1", key, prices), by=MarginMethod(by))
    assert (found.closes, found.reason) == ((), reason)
    assert found.missing == {("toa", "b1"): reason}


def test_two_way_prices_of_a_market_with_a_draw_are_incomplete() -> None:
    odds = closing("b1", H2H, {"home": 1.5, "away": 4.0})
    assert valued(bet(H2H, "home"), odds, sport="soccer").reason is Missing.INCOMPLETE
    assert valued(bet(H2H, "home"), odds, sport="tennis").reason is None


def test_prices_at_the_edge() -> None:
    found = valued(bet(H2H, "home", 1.01), closing("b1", H2H, {"home": 1.01, "away": 26.0}))
    assert 0.9 < found.closes[0].probability < 1
    odds = closing("b1", H2H, {"home": 2.1, "away": 2.1})
    assert valued(bet(H2H, "home"), odds).closes[0].overround < 0


def test_other_markets_unknown_events_and_bets_in_play_have_no_close() -> None:
    odds = closing("b1", H2H, {"home": 1.9, "away": 1.9})
    assert valued(bet(totals("2.5"), "over"), odds).reason is Missing.NO_SUCH_OUTCOME
    assert valued(bet(H2H, "home", event_id="x"), odds).reason is Missing.NO_CLOSING_ODDS
    late = Bet(placed_at=START, event_id="e", key=H2H, outcome="home", price=2.0)
    assert valued(late, odds).reason is Missing.AFTER_START


def test_a_bet_has_a_zone_and_a_price() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Bet(placed_at=NOON.replace(tzinfo=None), event_id="e", key=H2H, outcome="home", price=2.0)
    with pytest.raises(ValueError, match="no price"):
        bet(H2H, "home", 1.0)
