"""Best prices of a market over its bookmakers, and what they leave the bookmakers: the overround.

Pure, and the same for a server's cache and a watching client's map. Only live odds count, and only
markets with the same outcomes are compared: two- and three-way odds of one event do occur, and
their best prices together would look like a sure profit.
"""

import enum
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct

from odds_service.model.market import Market, MarketKey, MarketStatus, Outcome
from odds_service.model.snapshot import BookmakerOdds, as_last_seen
from odds_service.model.source import (
    STALE_AFTER_INTERVALS,
    SourceState,
    SourceStatus,
    event_interval_s,
)

# Exactly one outcome of such a set comes true, so Σ 1/price says something. Of other sets (a list
# of scorers, say) it is not known whether they are complete and exclude each other.
# The market table (sources.markets) names outcomes so that a set means the same in every market.
_ONE_COMES_TRUE: Final = frozenset(
    frozenset(keys.split())
    for keys in (
        "home away",
        "home draw away",
        "home none away",
        "over under",
        "yes no",
        "odd even",
        "h1 h2 equal",
        "none home away both",
        "no_no yes_no no_yes yes_yes",
        "over_yes over_no under_yes under_no",
        "home_yes home_no draw_yes draw_no away_yes away_no",
        "home_over home_under draw_over draw_under away_over away_under",
        "home_1 home_2 home_3+ draw away_1 away_2 away_3+",
        "home_home home_draw home_away draw_home draw_draw draw_away away_home away_draw away_away",
    )
)
# No bookmaker asks less alone: below it an outcome is missing (a draw that could not be read).
_LEAST_BOOKSUM: Final = 0.9
_LAY: Final = "_lay"  # markets in which one offers the bet instead of taking it


class Standing(enum.IntEnum):
    """Whether odds can be acted on. ABSENT: the last complete fetch lacked their event."""

    LIVE = 0
    STALE = 1
    ABSENT = 2


class Exclusion(enum.IntEnum):
    """Why a bookmaker's market is left out; the numbers are those of the wire."""

    SUSPENDED = 1
    STALE = 2
    INCOMPLETE = 3
    ABSENT = 4


class Quote(Struct, frozen=True):
    """One bookmaker's odds of one market, and whether they can be acted on."""

    source: str
    bookmaker: str
    status: MarketStatus
    outcomes: tuple[Outcome, ...]
    confirmed_at: datetime
    standing: Standing = Standing.LIVE


class BestPrice(Struct, frozen=True):
    """The highest live price of an outcome; of equal ones that which was confirmed last."""

    outcome: str
    name: str
    price: float
    source: str
    bookmaker: str
    confirmed_at: datetime


class BestMarket(Struct, frozen=True):
    """The best prices of one market among bookmakers that offer the same outcomes.

    prices: one for each outcome, none when no bookmaker is live. overrounds: (source, bookmaker)
    -> Σ 1/price − 1 of each that was compared. combined_overround: the same of the best prices;
    below 0 they return more than they cost. Both only for outcomes of which exactly one comes true.
    """

    key: MarketKey
    outcomes: tuple[str, ...]
    prices: tuple[BestPrice, ...]
    overrounds: Mapping[tuple[str, str], float]
    combined_overround: float | None
    exclusions: Mapping[tuple[str, str], Exclusion]

    @property
    def oldest_confirmed_at(self) -> datetime | None:
        """When the oldest leg was last seen true."""
        return min((price.confirmed_at for price in self.prices), default=None)


def standing(
    odds: BookmakerOdds, source: SourceState | None, now: datetime, start_time: datetime
) -> Standing:
    """Whether a bookmaker's odds of an event are live.

    source: None where it is not configured any more. start_time: of the event, since the near ones
    are fetched more often.
    """
    if odds.confirmed_at < odds.observed_at:
        return Standing.ABSENT
    if odds.doubted or source is None or source.status is not SourceStatus.UP:
        return Standing.STALE
    age_s = (now - odds.confirmed_at).total_seconds()
    interval_s = event_interval_s(source, (start_time - now).total_seconds())
    return Standing.STALE if age_s > STALE_AFTER_INTERVALS * interval_s else Standing.LIVE


def best_markets(
    bookmakers: Iterable[BookmakerOdds],
    standing_of: Callable[[BookmakerOdds], Standing],
    markets_of: Callable[[BookmakerOdds], Iterable[Market]] = lambda odds: odds.markets.values(),
) -> list[BestMarket]:
    """The best prices of all markets that an event's bookmakers show, by market key."""
    quotes: dict[MarketKey, list[Quote]] = {}
    for whole in bookmakers:
        odds, stands = whole, standing_of(whole)
        for market in markets_of(whole):
            if whole.lagging:
                odds = as_last_seen(whole, (market.key.market,))
                stands = standing_of(odds)
            if not market.key.market.endswith(_LAY):
                quotes.setdefault(market.key, []).append(
                    Quote(
                        odds.source,
                        odds.bookmaker,
                        market.status,
                        market.outcomes,
                        odds.confirmed_at,
                        stands,
                    )
                )
    return [best for key in sorted(quotes) for best in best_of_market(key, quotes[key])]


def best_of_market(key: MarketKey, quotes: Iterable[Quote]) -> list[BestMarket]:
    """The best prices of one market: one result for each set of outcomes that is offered."""
    groups: dict[tuple[str, ...], list[Quote]] = {}
    for quote in quotes:
        groups.setdefault(tuple(outcome.key for outcome in quote.outcomes), []).append(quote)
    return [_best(key, outcomes, groups[outcomes]) for outcomes in sorted(groups)]


def _best(key: MarketKey, outcomes: tuple[str, ...], quotes: list[Quote]) -> BestMarket:
    sums = frozenset(outcomes) in _ONE_COMES_TRUE
    exclusions: dict[tuple[str, str], Exclusion] = {}
    overrounds: dict[tuple[str, str], float] = {}
    best: dict[str, BestPrice] = {}
    for quote in sorted(quotes, key=lambda quote: (quote.source, quote.bookmaker)):
        place = quote.source, quote.bookmaker
        prices = _prices(quote)
        booksum = sum(1 / price for price in prices)
        reason = _why_not(quote, prices)
        if reason is None and sums and booksum < _LEAST_BOOKSUM:
            reason = Exclusion.INCOMPLETE
        if reason is not None:
            exclusions[place] = reason
            continue
        if sums:
            overrounds[place] = booksum - 1
        for outcome, price in zip(quote.outcomes, prices, strict=True):
            held = best.get(outcome.key)
            if held is None or (price, quote.confirmed_at) > (held.price, held.confirmed_at):
                best[outcome.key] = BestPrice(
                    outcome.key,
                    outcome.name,
                    price,
                    quote.source,
                    quote.bookmaker,
                    quote.confirmed_at,
                )
    chosen = tuple(best[outcome] for outcome in outcomes if outcome in best)
    combined = sum(1 / leg.price for leg in chosen) - 1 if sums and chosen else None
    return BestMarket(key, outcomes, chosen, overrounds, combined, exclusions)


def _prices(quote: Quote) -> list[float]:
    """The prices that can be had; shorter than the outcomes where one is missing."""
    return [
        outcome.price for outcome in quote.outcomes if outcome.price is not None and outcome.active
    ]


def _why_not(quote: Quote, prices: list[float]) -> Exclusion | None:
    if quote.status is not MarketStatus.OPEN:
        return Exclusion.SUSPENDED
    if quote.standing is Standing.ABSENT:
        return Exclusion.ABSENT
    if quote.standing is Standing.STALE:
        return Exclusion.STALE
    if len(prices) < len(quote.outcomes) or not prices:
        return Exclusion.INCOMPLETE
    return None
