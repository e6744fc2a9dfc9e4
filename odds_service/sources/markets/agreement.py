"""Plausibility checks: can bookmakers' prices of one match be prices of the same bets?

They reveal wrongly mapped markets. Such a market shares no outcome with the other bookmakers'
market, its prices are far from theirs, or its own prices do not add up.
"""

import math
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Final

from msgspec import Struct

from odds_service.model.market import MarketKey, MarketStatus, ObservedMarket
from odds_service.sources.markets.table import Table

# Distance of two normalised probabilities (1/price over the booksum). A bookmaker with overround v
# that underprices nothing is at most v/(1+v) from the true one, when all of its margin lies on one
# outcome. The overrounds of two- and three-way markets here are 2 to 9 %, so 8 % between two
# bookmakers is the most that margins explain; the median is below 1 %.
MOST_DISTANCE: Final = 0.08
# The margin that a price may contain if the overround is unknown (one side of two, a list).
MOST_MARGIN: Final = 0.12
# Tolerated gap beyond the margins: prices are rounded, and slightly outdated.
_SLACK: Final = 0.01
_LEAST_OVERROUND: Final = -0.01  # below it, betting on all outcomes would make a profit
_MOST_OVERROUND_OF_TWO: Final = 0.25
_MOST_OVERROUND: Final = 0.70  # each of many outcomes adds some: a list of 46 scores has 0.63
_REST: Final = "other"  # everything not listed, so it is another bet if the lists differ

Shown = Mapping[MarketKey, ObservedMarket]


class Disagreement(Struct, frozen=True):
    """A finding about one market.

    Attributes:
        bookmakers: those whose prices it concerns.
        reason: `outcomes`, `distance`, `apart` (no single probability fits both) or `overround`.
    """

    key: MarketKey
    bookmakers: tuple[str, ...]
    reason: str
    text: str


def disagreements(table: Table, sport: str, bookmakers: Mapping[str, Shown]) -> list[Disagreement]:
    """Return all findings about one match, between its bookmakers and within each of them.

    Args:
        table: the market table.
        sport: the canonical sport.
        bookmakers: name -> its markets.
    """
    found = [
        wrong
        for name, shown in bookmakers.items()
        for market in shown.values()
        for wrong in _own(table, sport, name, market)
    ]
    for (one, one_shown), (other, other_shown) in combinations(bookmakers.items(), 2):
        for key in sorted(one_shown.keys() & other_shown.keys()):
            found += _between(table, sport, {one: one_shown[key], other: other_shown[key]})
    return found


def prices_of(market: ObservedMarket) -> dict[str, float]:
    """Return the prices of the outcomes that can be bet on."""
    if market.status is not MarketStatus.OPEN:
        return {}
    return {
        outcome.key: outcome.price
        for outcome in market.outcomes
        if outcome.price is not None and outcome.active
    }


def overround_of(table: Table, sport: str, market: ObservedMarket) -> float | None:
    """Return Σ 1/price − 1; None unless exactly one outcome comes true and all have prices."""
    prices = prices_of(market)
    keys = [outcome.key for outcome in market.outcomes]
    if len(prices) < len(keys) or not table.complete(sport, market.key.market, keys):
        return None
    return math.fsum(1 / price for price in prices.values()) - 1


def distance(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Return the largest difference between the normalised probabilities of two price lists."""
    booksums = [math.fsum(1 / price for price in prices.values()) for prices in (one, other)]
    return max(abs(1 / one[key] / booksums[0] - 1 / other[key] / booksums[1]) for key in one)


def _own(table: Table, sport: str, name: str, market: ObservedMarket) -> Iterator[Disagreement]:
    overround = overround_of(table, sport, market)
    if overround is None:
        return
    most = _MOST_OVERROUND_OF_TWO if len(market.outcomes) == 2 else _MOST_OVERROUND
    if not _LEAST_OVERROUND <= overround <= most:
        text = f"overround {overround:.1%} of {_text(prices_of(market))}"
        yield Disagreement(market.key, (name,), "overround", text)


def _between(
    table: Table, sport: str, markets: Mapping[str, ObservedMarket]
) -> Iterator[Disagreement]:
    names = tuple(markets)
    one, other = markets.values()
    keys = [{outcome.key for outcome in market.outcomes} for market in (one, other)]
    shared = keys[0] & keys[1]
    if not shared:
        text = f"{', '.join(sorted(keys[0]))} against {', '.join(sorted(keys[1]))}"
        yield Disagreement(one.key, names, "outcomes", text)
        return
    if keys[0] != keys[1]:
        shared.discard(_REST)
    ours, theirs = prices_of(one), prices_of(other)
    priced = sorted(shared & ours.keys() & theirs.keys())
    if not priced:
        return
    ours, theirs = ({key: prices[key] for key in priced} for prices in (ours, theirs))
    text = f"{_text(ours)} against {_text(theirs)}"
    if len(priced) > 1 and distance(ours, theirs) > MOST_DISTANCE:
        yield Disagreement(one.key, names, "distance", text)
    margins = [overround_of(table, sport, market) for market in (one, other)]
    if len(priced) > 1 and None in margins:
        return  # overlapping outcomes and lists have no known overround
    for key in priced:
        gap = max(
            _least(ours[key], margins[0]) - 1 / theirs[key],
            _least(theirs[key], margins[1]) - 1 / ours[key],
        )
        if gap > _SLACK:
            yield Disagreement(one.key, names, "apart", text)
            return


def _least(price: float, margin: float | None) -> float:
    """Return the lowest probability that a price allows, if all of the margin is on it."""
    return 1 / price - (MOST_MARGIN if margin is None else margin)


def _text(prices: Mapping[str, float]) -> str:
    return " ".join(f"{key} {price:g}" for key, price in prices.items())
