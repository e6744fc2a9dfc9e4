"""The rules that decide if prices of one match can belong to the same bets."""

from itertools import permutations

import pytest

from odds_service.model.market import MarketKey, MarketStatus, ObservedMarket, Outcome
from odds_service.sources.markets.agreement import Disagreement, disagreements, overround_of
from odds_service.sources.markets.table import table

H2H = MarketKey("h2h")
TOTALS = MarketKey("totals", "2.5")
FAIR = {"home": 2.5, "draw": 3.1, "away": 2.9}


def market(
    key: MarketKey, prices: dict[str, float | None], *, suspended: bool = False
) -> ObservedMarket:
    outcomes = tuple(
        Outcome(name, name, price, active=price is not None) for name, price in prices.items()
    )
    return ObservedMarket(key, MarketStatus.SUSPENDED if suspended else MarketStatus.OPEN, outcomes)


def compared(key: MarketKey, *offers: dict[str, float | None]) -> list[Disagreement]:
    """Return the findings about one market at several bookmakers, named a, b, c."""
    shown = {name: {key: market(key, prices)} for name, prices in zip("abc", offers, strict=False)}
    return disagreements(table(), "soccer", shown)


def reasons(key: MarketKey, *offers: dict[str, float | None]) -> list[str]:
    return [wrong.reason for wrong in compared(key, *offers)]


def test_prices_of_one_opinion_agree_whatever_the_margin() -> None:
    dear: dict[str, float | None] = {name: price * 0.93 for name, price in FAIR.items()}
    assert compared(H2H, {**FAIR}, dear, {**FAIR}) == []


def test_sides_the_wrong_way_round_are_named_once_a_pair() -> None:
    away_first: dict[str, float | None] = {"home": 7.0, "draw": 4.0, "away": 1.5}
    home_first: dict[str, float | None] = {"home": 1.5, "draw": 4.0, "away": 7.0}
    for offers in permutations((away_first, home_first)):
        found = compared(H2H, *offers)
        assert [wrong.reason for wrong in found] == ["distance", "apart"]
        assert {(wrong.key, wrong.bookmakers) for wrong in found} == {(H2H, ("a", "b"))}
    assert "home 7 draw 4 away 1.5" in compared(H2H, away_first, home_first)[0].text.replace(
        "away 1.5 draw 4 home 7", "home 7 draw 4 away 1.5"
    )


def test_another_line_is_seen() -> None:
    assert reasons(TOTALS, {"over": 1.9, "under": 1.9}, {"over": 3.2, "under": 1.33}) == [
        "distance",
        "apart",
    ]


def test_nothing_in_common_is_seen() -> None:
    assert reasons(TOTALS, {"over": 1.9, "under": 1.9}, {"yes": 1.9, "no": 1.9}) == ["outcomes"]


def test_one_side_alone_is_compared_by_what_its_price_allows() -> None:
    """Over at 1.85 may be a probability of 0.42 to 0.54; an under at half of it is too unlikely."""
    both: dict[str, float | None] = {"over": 1.95, "under": 1.85}
    assert reasons(TOTALS, both, {"over": 1.85}) == []
    assert reasons(TOTALS, both, {"over": 2.05}) == []
    assert reasons(TOTALS, both, {"over": 1.4}) == ["apart"]
    assert reasons(TOTALS, both, {"over": 3.0}) == ["apart"]


def test_the_rest_of_unequal_lists_is_not_compared() -> None:
    key = MarketKey("correct_score")
    short: dict[str, float | None] = {"0:0": 4.0, "1:0": 4.0, "other": 1.5}
    long: dict[str, float | None] = {"0:0": 4.0, "1:0": 4.0, "0:1": 4.0, "other": 4.0}
    assert reasons(key, short, long) == []
    assert reasons(key, short, short | {"other": 9.0}) == ["distance"]


def test_what_overlaps_is_compared_but_never_summed() -> None:
    """In a double chance two of three outcomes come true, so its booksum is about 2."""
    key = MarketKey("double_chance")
    offer: dict[str, float | None] = {"home_draw": 1.37, "home_away": 1.3, "draw_away": 1.55}
    assert overround_of(table(), "soccer", market(key, offer)) is None
    assert reasons(key, offer, offer) == []
    swapped = offer | {"home_draw": 2.6, "draw_away": 1.05}
    assert reasons(key, offer, swapped) == ["distance"]


@pytest.mark.parametrize(
    ("offer", "wrong"),
    [
        ({"home": 2.5, "draw": 3.1, "away": 2.9}, False),
        ({"home": 4.0, "draw": 4.0, "away": 4.0}, True),  # pays for being bet against
        ({"home": 1.5, "draw": 1.7, "away": 1.8}, True),  # asks for more than anybody pays
        ({"home": 4.0, "draw": 4.0, "away": None}, False),  # one is missing: not known
        ({"home": 4.0, "draw": 4.0}, False),
    ],
)
def test_the_own_overround(offer: dict[str, float | None], wrong: bool) -> None:
    assert reasons(H2H, offer) == (["overround"] if wrong else [])


def test_what_is_suspended_is_not_compared() -> None:
    shown = {
        "a": {H2H: market(H2H, {**FAIR})},
        "b": {H2H: market(H2H, {"home": 9.0, "draw": 9.0, "away": 9.0}, suspended=True)},
    }
    assert disagreements(table(), "soccer", shown) == []
