"""The best prices of a market across bookmakers, and their overround.

The server's cache and a client's map use the same functions. Only live odds count, and only
markets with the same outcomes are compared: an event may have two-way and three-way odds, whose
best prices together would look like a sure profit. A profit too large to be true is reported as
suspect instead of as an arbitrage.
"""

import enum
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from odds_service.model.draws import THREE_WAY, includes_draw
from odds_service.model.event import Event, EventStatus
from odds_service.model.market import (
    Market,
    MarketKey,
    MarketStatus,
    Outcome,
    outcome_order,
)
from odds_service.model.snapshot import BookmakerOdds, Reading, as_last_seen
from odds_service.model.source import (
    STALE_AFTER_INTERVALS,
    SourceState,
    SourceStatus,
    event_interval_s,
)

# Exactly one outcome of each of these sets comes true, so Σ 1/price is meaningful. Other sets, such
# as a list of scorers, may be incomplete, or several of their outcomes may come true. The market
# table (sources.markets) names outcomes so that a set means the same in every market.
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
# No single bookmaker offers less: below it an outcome is missing, such as an unreadable draw.
_LEAST_BOOKSUM: Final = 0.9
_LAY: Final = "_lay"  # ends the types of markets in which one bets against an outcome
_WITH_DRAW: Final = ("home", "draw", "away")
_OUTRIGHTS: Final = "outrights"  # one winner of a field; each bookmaker lists a part of it
# In recorded bodies, 264 of 509 negative combinations were below it, nearly all of them wrong.
SUSPECT_BELOW: Final = -0.03
_OLD_LEG: Final = timedelta(seconds=60)  # prices seen further apart may never have coexisted


class Standing(enum.IntEnum):
    """The standing of odds; ABSENT if the last complete fetch lacked their event."""

    LIVE = 0
    STALE = 1
    ABSENT = 2


class Exclusion(enum.IntEnum):
    """Reasons to leave out a bookmaker's market, as numbered in the contract."""

    SUSPENDED = 1
    STALE = 2
    INCOMPLETE = 3
    ABSENT = 4
    STATUS_DISAGREES = 5


class Suspicion:
    """Reasons to doubt a combined overround; texts, so that clients can pass on unknown ones."""

    BELOW_LIMIT: Final = "below_limit"  # always given
    ONE_BOOKMAKER: Final = "one_bookmaker"  # one bookmaker alone is below the limit
    SEVERAL_SOURCES: Final = "several_sources"  # the prices depend on the match of source events
    OLD_LEG: Final = "old_leg"
    IN_PLAY_MIXED: Final = "in_play_mixed"  # one source reports in play, another reports no status


class Quote(Struct, frozen=True):
    """One bookmaker's odds of one market, with everything that decides whether they count.

    Attributes:
        draw: Whether the market includes the draw, so that `home` and `away` alone are incomplete.
        told: The event's status as reported by this source; None if it reports none.
        disagrees: Whether another source reports a later status.
    """

    source: str
    bookmaker: str
    status: MarketStatus
    outcomes: tuple[Outcome, ...]
    confirmed_at: datetime
    standing: Standing = Standing.LIVE
    draw: bool = False
    told: EventStatus | None = None
    disagrees: bool = False


class BestPrice(Struct, frozen=True):
    """The highest live price of an outcome; among equal prices, the last one confirmed."""

    outcome: str
    name: str
    price: float
    source: str
    bookmaker: str
    confirmed_at: datetime


class BestMarket(Struct, frozen=True):
    """The best prices of one market among bookmakers that offer the same outcomes.

    Attributes:
        prices: One price per outcome, or none if no bookmaker is live; for outrights, one per
            runner with a price.
        overrounds: (source, bookmaker) -> Σ 1/price − 1, for the bookmakers compared. Empty unless
            exactly one outcome comes true.
        combined_overround: Σ 1/price − 1 of the best prices; below 0 they return more than they
            cost. None unless exactly one outcome comes true.
        exclusions: (source, bookmaker) -> the reason for leaving it out.
        suspect_overround: Replaces combined_overround if that is below the limit.
        suspect_reasons: The reasons to doubt it; see Suspicion.
    """

    key: MarketKey
    outcomes: tuple[str, ...]
    prices: tuple[BestPrice, ...]
    overrounds: Mapping[tuple[str, str], float]
    combined_overround: float | None
    exclusions: Mapping[tuple[str, str], Exclusion]
    suspect_overround: float | None = None
    suspect_reasons: tuple[str, ...] = ()

    @property
    def oldest_confirmed_at(self) -> datetime | None:
        """The time at which the oldest of the best prices was last seen true."""
        return min((price.confirmed_at for price in self.prices), default=None)


def one_comes_true(outcomes: Iterable[str]) -> bool:
    """Return whether exactly one of these outcomes comes true, so that Σ 1/price is meaningful."""
    return frozenset(outcomes) in _ONE_COMES_TRUE


def standing(
    odds: BookmakerOdds, source: SourceState | None, now: Reading, start_time: datetime
) -> Standing:
    """Return the standing of a bookmaker's odds; the arguments are those of judged()."""
    return judged(odds, source, now, start_time)[0]


def judged(
    odds: BookmakerOdds, source: SourceState | None, now: Reading, start_time: datetime
) -> tuple[Standing, float]:
    """Return the standing of a bookmaker's odds, and the seconds for which it lasts.

    Time alone does not change it earlier, and perhaps not even then; see standing_terms() for what
    else may.

    Args:
        odds: The odds of one event.
        source: The state of their source; None if it is no longer configured.
        now: The clocks.
        start_time: The event's start; events that start soon are fetched more often, and their
            odds become stale sooner.
    """
    if odds.confirmed_at < odds.observed_at:
        return Standing.ABSENT, math.inf
    if odds.doubted or source is None or source.status is not SourceStatus.UP:
        return Standing.STALE, math.inf
    starts_in_s = (start_time - now.wall).total_seconds()
    limit_s = STALE_AFTER_INTERVALS * event_interval_s(source, starts_in_s)
    lasts_s = math.inf
    for within_s, _ in source.paces:
        if within_s is not None and within_s < starts_in_s:
            lasts_s = min(lasts_s, starts_in_s - within_s)
    age_s = now.age_s(odds.confirmed_at, odds.confirmed_boot_s)
    if age_s > limit_s:
        return Standing.STALE, lasts_s
    return Standing.LIVE, min(lasts_s, limit_s - age_s)


def standing_terms(sources: Mapping[str, SourceState]) -> dict[str, tuple[object, ...]]:
    """Return the properties of sources that determine standings, besides the age of odds."""
    return {name: (state.status, state.interval_s, state.paces) for name, state in sources.items()}


def best_markets(
    event: Event,
    bookmakers: Iterable[BookmakerOdds],
    standing_of: Callable[[BookmakerOdds], Standing],
    markets_of: Callable[[BookmakerOdds], Iterable[Market]] = lambda odds: odds.markets.values(),
    *,
    suspect_below: float = SUSPECT_BELOW,
) -> list[BestMarket]:
    """Return the best prices of all markets of an event, in the order of market keys.

    Args:
        event: The event; the statuses that its sources report decide which odds are compared.
        bookmakers: The odds to compare, in any order.
        standing_of: Returns the standing of a bookmaker's odds.
        markets_of: Returns the markets of a bookmaker to compare; by default all.
        suspect_below: A combined overround below this is suspect (-0.03: a profit of over 3 %).
    """
    told = {name: status for name, status in event.told.items() if name in event.source_ids}
    furthest = max(told.values(), default=EventStatus.SCHEDULED)
    lost = frozenset(event.draws_lost)
    quotes: dict[MarketKey, list[Quote]] = {}
    for whole in bookmakers:
        odds, stands = whole, standing_of(whole)
        tells = told.get(whole.source)
        for market in markets_of(whole):
            kind = market.key.market
            if whole.lagging:
                odds = as_last_seen(whole, (kind,))
                stands = standing_of(odds)
            if not kind.endswith(_LAY):
                quotes.setdefault(market.key, []).append(
                    Quote(
                        odds.source,
                        odds.bookmaker,
                        market.status,
                        market.outcomes,
                        odds.confirmed_at,
                        stands,
                        includes_draw(event.sport, event.competition, kind)
                        or (odds.source, odds.bookmaker, kind) in lost,
                        tells,
                        tells is not None and tells < furthest,
                    )
                )
    return [
        best
        for key in sorted(quotes)
        for best in best_of_market(key, quotes[key], suspect_below=suspect_below)
    ]


def best_of_market(
    key: MarketKey, quotes: Iterable[Quote], *, suspect_below: float = SUSPECT_BELOW
) -> list[BestMarket]:
    """Return the best prices of one market, one result for each set of outcomes on offer.

    Args:
        key: The market.
        quotes: The bookmakers' odds of it.
        suspect_below: The limit, as in best_markets.
    """
    if key.market.startswith(_OUTRIGHTS):
        return [_best_runners(key, list(quotes))]
    groups: dict[tuple[str, ...], list[Quote]] = {}
    for quote in quotes:
        groups.setdefault(_question(quote), []).append(quote)
    return [_best(key, outcomes, groups[outcomes], suspect_below) for outcomes in sorted(groups)]


def _question(quote: Quote) -> tuple[str, ...]:
    """Return the outcomes that a quote should have, including a draw that it lacks."""
    outcomes = tuple(outcome.key for outcome in quote.outcomes)
    return _WITH_DRAW if quote.draw and THREE_WAY.issuperset(outcomes) else outcomes


def _best(
    key: MarketKey, outcomes: tuple[str, ...], quotes: list[Quote], suspect_below: float
) -> BestMarket:
    sums = one_comes_true(outcomes)
    exclusions: dict[tuple[str, str], Exclusion] = {}
    overrounds: dict[tuple[str, str], float] = {}
    best: dict[str, BestPrice] = {}
    compared: list[Quote] = []
    for quote in sorted(quotes, key=_by_place):
        place = quote.source, quote.bookmaker
        prices = _prices(quote)
        booksum = sum(1 / price for price in prices)
        reason = _why_not(quote)
        if reason is None and (
            len(prices) < len(outcomes) or not prices or (sums and booksum < _LEAST_BOOKSUM)
        ):
            reason = Exclusion.INCOMPLETE
        if reason is not None:
            exclusions[place] = reason
            continue
        compared.append(quote)
        if sums:
            overrounds[place] = booksum - 1
        _improve(best, quote)
    chosen = tuple(best[outcome] for outcome in outcomes if outcome in best)
    combined = sum(1 / leg.price for leg in chosen) - 1 if sums and chosen else None
    if combined is None or combined >= suspect_below:
        return BestMarket(key, outcomes, chosen, overrounds, combined, exclusions)
    alone = min(overrounds.values()) < suspect_below
    reasons = _suspicions(chosen, compared, alone)
    return BestMarket(key, outcomes, chosen, overrounds, None, exclusions, combined, reasons)


def _best_runners(key: MarketKey, quotes: list[Quote]) -> BestMarket:
    """Return the best price of each runner; each bookmaker lists only a part of the field."""
    exclusions: dict[tuple[str, str], Exclusion] = {}
    best: dict[str, BestPrice] = {}
    runners: dict[str, Outcome] = {}
    for quote in sorted(quotes, key=_by_place):
        runners |= {outcome.key: outcome for outcome in quote.outcomes}
        reason = _why_not(quote)
        if reason is None and not _prices(quote):
            reason = Exclusion.INCOMPLETE
        if reason is not None:
            exclusions[quote.source, quote.bookmaker] = reason
            continue
        _improve(best, quote)
    outcomes = tuple(runner.key for runner in sorted(runners.values(), key=outcome_order))
    chosen = tuple(best[outcome] for outcome in outcomes if outcome in best)
    return BestMarket(key, outcomes, chosen, {}, None, exclusions)


def _improve(best: dict[str, BestPrice], quote: Quote) -> None:
    """Replace best prices by a quote's prices that are higher, or equal and confirmed later."""
    for outcome in quote.outcomes:
        if outcome.price is None or not outcome.active:
            continue
        held = best.get(outcome.key)
        if held is None or (outcome.price, quote.confirmed_at) > (held.price, held.confirmed_at):
            best[outcome.key] = BestPrice(
                outcome.key,
                outcome.name,
                outcome.price,
                quote.source,
                quote.bookmaker,
                quote.confirmed_at,
            )


def _suspicions(legs: tuple[BestPrice, ...], compared: list[Quote], alone: bool) -> tuple[str, ...]:
    """Return the reasons to doubt an overround; `alone` if one bookmaker is below the limit."""
    sources = {leg.source for leg in legs}
    seen = [leg.confirmed_at for leg in legs]
    told = {quote.told for quote in compared if quote.source in sources}
    rests_on = {
        Suspicion.ONE_BOOKMAKER: alone,
        Suspicion.SEVERAL_SOURCES: len(sources) > 1,
        Suspicion.OLD_LEG: max(seen) - min(seen) > _OLD_LEG,
        Suspicion.IN_PLAY_MIXED: EventStatus.IN_PLAY in told and None in told,
    }
    return (Suspicion.BELOW_LIMIT, *(reason for reason, holds in rests_on.items() if holds))


def _by_place(quote: Quote) -> tuple[str, str]:
    return quote.source, quote.bookmaker


def _prices(quote: Quote) -> list[float]:
    """Return the prices of all outcomes that are active and have one."""
    return [
        outcome.price for outcome in quote.outcomes if outcome.price is not None and outcome.active
    ]


def _why_not(quote: Quote) -> Exclusion | None:
    """Return the reason to leave a quote out regardless of its prices, or None."""
    if quote.status is not MarketStatus.OPEN:
        return Exclusion.SUSPENDED
    if quote.standing is Standing.ABSENT:
        return Exclusion.ABSENT
    if quote.standing is Standing.STALE:
        return Exclusion.STALE
    return Exclusion.STATUS_DISAGREES if quote.disagrees else None
