"""Best prices: from live legs only, of equal outcomes only, with everything left out named."""

from datetime import timedelta

import pytest

from odds_service.model.market import Market, MarketKey, MarketStatus, Outcome
from odds_service.model.overround import (
    BestMarket,
    Exclusion,
    Quote,
    Standing,
    best_markets,
    best_of_market,
    standing,
)
from odds_service.model.snapshot import BookmakerOdds, Reading
from odds_service.model.source import SourceState, SourceStatus
from tests.support.observations import NOON

H2H = MarketKey("h2h")
OVER_2_5 = MarketKey("totals", "2.5")


def quote(
    bookmaker: str,
    prices: dict[str, float | None],
    *,
    status: MarketStatus = MarketStatus.OPEN,
    standing: Standing = Standing.LIVE,
    minute: float = 0,
    inactive: str = "",
) -> Quote:
    outcomes = tuple(Outcome(key, key, price, key != inactive) for key, price in prices.items())
    return Quote("toa", bookmaker, status, outcomes, NOON + timedelta(minutes=minute), standing)


def only(quotes: list[Quote], key: MarketKey = H2H) -> BestMarket:
    (best,) = best_of_market(key, quotes)
    return best


def test_the_highest_price_of_each_outcome_and_the_booksums() -> None:
    best = only([quote("a", {"home": 2.0, "away": 1.9}), quote("b", {"home": 1.8, "away": 2.1})])
    assert [(leg.outcome, leg.price, leg.bookmaker) for leg in best.prices] == [
        ("home", 2.0, "a"),
        ("away", 2.1, "b"),
    ]
    assert best.overrounds["toa", "a"] == pytest.approx(1 / 2.0 + 1 / 1.9 - 1)
    assert best.overrounds["toa", "b"] == pytest.approx(1 / 1.8 + 1 / 2.1 - 1)
    assert best.combined_overround == pytest.approx(1 / 2.0 + 1 / 2.1 - 1)
    assert (best.combined_overround or 0.0) < 0  # an arbitrage
    assert best.exclusions == {}


@pytest.mark.parametrize(
    ("left_out", "reason"),
    [
        (quote("x", {"home": 9.0, "away": 9.0}, status=MarketStatus.SUSPENDED), 1),
        (quote("x", {"home": 9.0, "away": 9.0}, standing=Standing.STALE), 2),
        (quote("x", {"home": 9.0, "away": None}), 3),
        (quote("x", {"home": 9.0, "away": 9.0}, inactive="home"), 3),
        (quote("x", {"home": 9.0, "away": 9.0}), 3),  # a booksum of 0.22 lacks an outcome
        (quote("x", {"home": 9.0, "away": 9.0}, standing=Standing.ABSENT), 4),
    ],
)
def test_a_leg_that_is_not_live_is_left_out_and_named(left_out: Quote, reason: int) -> None:
    best = only([quote("a", {"home": 2.0, "away": 1.8}), left_out])
    assert {leg.bookmaker for leg in best.prices} == {"a"}
    assert best.exclusions == {("toa", "x"): Exclusion(reason)}
    assert list(best.overrounds) == [("toa", "a")]


def test_two_and_three_way_odds_are_never_compared() -> None:
    two, three = best_of_market(
        H2H,
        [
            quote("a", {"home": 2.0, "draw": 3.4, "away": 3.6}),
            quote("b", {"home": 1.5, "away": 2.4}),
        ],
    )
    assert {two.outcomes, three.outcomes} == {("home", "away"), ("home", "draw", "away")}
    for best in (two, three):
        assert best.combined_overround is not None
        assert best.combined_overround > 0
        assert len({leg.bookmaker for leg in best.prices}) == 1


@pytest.mark.parametrize("keys", [("over",), ("a scorer", "another"), ("home", "draw")])
def test_outcomes_that_may_lack_others_have_prices_and_no_overround(keys: tuple[str, ...]) -> None:
    best = only([quote("a", dict.fromkeys(keys, 1.9)), quote("b", dict.fromkeys(keys, 2.0))])
    assert {leg.bookmaker for leg in best.prices} == {"b"}
    assert best.combined_overround is None
    assert best.overrounds == {}


def test_of_equal_prices_the_one_confirmed_last_stands() -> None:
    older = quote("a", {"over": 1.9, "under": 1.9}, minute=1)
    newer = quote("z", {"over": 1.9, "under": 1.9}, minute=2)
    for order in ([older, newer], [newer, older]):
        best = only(order, OVER_2_5)
        assert {leg.bookmaker for leg in best.prices} == {"z"}
        assert best.oldest_confirmed_at == newer.confirmed_at


def test_without_a_live_leg_there_is_no_price_and_no_overround() -> None:
    best = only([quote("a", {"home": 2.0, "away": 1.9}, standing=Standing.STALE)])
    assert best.prices == ()
    assert best.combined_overround is None
    assert best.oldest_confirmed_at is None


def odds(bookmaker: str, markets: list[MarketKey], price: float) -> BookmakerOdds:
    outcomes = (Outcome("home", "H", price), Outcome("away", "A", price))
    shown = {key: Market(key, MarketStatus.OPEN, outcomes, 1, NOON) for key in markets}
    return BookmakerOdds(1, "e", "toa", bookmaker, NOON, NOON, None, shown)


def test_lay_markets_are_no_offer_and_lines_are_markets_of_their_own() -> None:
    keys = [H2H, MarketKey("h2h_lay"), MarketKey("spreads", "-1.5"), MarketKey("spreads", "-2")]
    found = best_markets([odds("a", keys, 1.9), odds("b", [H2H], 2.0)], lambda _: Standing.LIVE)
    assert [best.key for best in found] == sorted(set(keys) - {MarketKey("h2h_lay")})


@pytest.mark.parametrize(
    ("state", "confirmed_s_ago", "expected"),
    [
        (SourceStatus.UP, 0, Standing.LIVE),
        (SourceStatus.UP, 180, Standing.LIVE),
        (SourceStatus.UP, 181, Standing.STALE),
        (SourceStatus.STALE, 0, Standing.STALE),
        (SourceStatus.DOWN, 0, Standing.STALE),
    ],
)
def test_standing_by_source_and_age(
    state: SourceStatus, confirmed_s_ago: float, expected: Standing
) -> None:
    source = SourceState(source="toa", interval_s=60.0, status=state)
    now = NOON + timedelta(seconds=confirmed_s_ago)
    assert standing(odds("a", [H2H], 2.0), source, Reading(now), NOON) is expected


def test_odds_of_an_event_that_is_missing_are_absent_and_of_no_source_stale() -> None:
    shown = odds("a", [H2H], 2.0)
    missing = BookmakerOdds(
        1, "e", "toa", "a", NOON + timedelta(minutes=1), NOON, None, shown.markets
    )
    source = SourceState(source="toa", interval_s=60.0, status=SourceStatus.UP)
    assert standing(missing, source, Reading(NOON), NOON) is Standing.ABSENT
    assert standing(shown, None, Reading(NOON), NOON) is Standing.STALE


def test_odds_of_what_is_near_are_stale_sooner() -> None:
    paces = ((0.0, 10.0), (3_600.0, 60.0), (None, 900.0))
    source = SourceState(source="toa", interval_s=60.0, paces=paces, status=SourceStatus.UP)
    shown = odds("a", [H2H], 2.0)

    def after(seconds: float, starts_in_s: float) -> Standing:
        now = NOON + timedelta(seconds=seconds)
        return standing(shown, source, Reading(now), now + timedelta(seconds=starts_in_s))

    assert [after(30, -60), after(31, -60)] == [Standing.LIVE, Standing.STALE]
    assert [after(180, 3_600), after(181, 3_600)] == [Standing.LIVE, Standing.STALE]
    assert [after(2_700, 3_601), after(2_701, 3_601)] == [Standing.LIVE, Standing.STALE]


def test_what_overlaps_is_compared_but_never_summed() -> None:
    """Of a double chance's outcomes two come true: their booksum is about 2 and says nothing."""
    prices: dict[str, float | None] = {"home_draw": 1.4, "home_away": 1.3, "draw_away": 1.6}
    best = only([quote("a", prices), quote("b", prices)], MarketKey("double_chance"))
    assert len(best.prices) == 3
    assert best.combined_overround is None
    assert best.overrounds == {}


def test_a_combination_of_which_one_comes_true_is_summed() -> None:
    prices: dict[str, float | None] = {
        "over_yes": 2.1, "over_no": 6.4, "under_yes": 9.0, "under_no": 3.5
    }  # fmt: skip
    best = only([quote("a", prices)], MarketKey("totals_btts", "2.5"))
    assert best.combined_overround == pytest.approx(1 / 2.1 + 1 / 6.4 + 1 / 9 + 1 / 3.5 - 1)
