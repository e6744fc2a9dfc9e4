"""Best prices of a market over its bookmakers, and their overround.

The server's cache and a client's map use the same functions. Only live odds count, and only
markets with the same outcomes are compared: one event may have two- and three-way odds, whose best
prices together would look like a sure profit. A profit that is too large to be true is not
reported as an arbitrage but as suspect.
"""

import enum
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

# Exactly one outcome of such a set comes true, so Σ 1/price has a meaning. Other sets, such as a
# list of scorers, may be incomplete, or several of their outcomes may come true.
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
# No bookmaker offers less alone: below it an outcome is missing, such as an unreadable draw.
_LEAST_BOOKSUM: Final = 0.9
_LAY: Final = "_lay"  # markets in which the user offers the bet instead of taking it
_WITH_DRAW: Final = ("home", "draw", "away")
_OUTRIGHTS: Final = "outrights"  # one winner of a field; each bookmaker lists a part of it
# 264 of 509 negative combinations in recorded bodies lay below it, nearly all of them wrong.
SUSPECT_BELOW: Final = -0.03
_OLD_LEG: Final = timedelta(seconds=60)  # prices further apart may not have stood together


class Standing(enum.IntEnum):
    """The state of odds. ABSENT: the last complete fetch lacked their event."""

    LIVE = 0
    STALE = 1
    ABSENT = 2


class Exclusion(enum.IntEnum):
    """Reasons to leave out a bookmaker's market; the numbers are those of the contract."""

    SUSPENDED = 1
    STALE = 2
    INCOMPLETE = 3
    ABSENT = 4
    STATUS_DISAGREES = 5


class Suspicion:
    """Reasons to doubt a combined overround; texts, so that clients can pass on unknown ones."""

    BELOW_LIMIT: Final = "below_limit"  # always given
    ONE_BOOKMAKER: Final = "one_bookmaker"  # one of those compared is below the limit alone
    SEVERAL_SOURCES: Final = "several_sources"  # the price depends on the match of their events
    OLD_LEG: Final = "old_leg"
    IN_PLAY_MIXED: Final = "in_play_mixed"  # one source says in play, another gives no status


class Quote(Struct, frozen=True):
    """One bookmaker's odds of one market, with all that decides if they count.

    draw: the market includes the draw, so `home` and `away` alone are incomplete. told: the event's
    status by this source, None where it gives none. disagrees: another source gives a later status.
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
    """The highest live price of an outcome; of equal prices the one confirmed last."""

    outcome: str
    name: str
    price: float
    source: str
    bookmaker: str
    confirmed_at: datetime


class BestMarket(Struct, frozen=True):
    """The best prices of one market among bookmakers that offer the same outcomes.

    prices: one for each outcome, none when no bookmaker is live; for outrights one for each runner
    with a price. overrounds: (source, bookmaker) -> Σ 1/price − 1, of those compared.
    combined_overround: the same for the best prices; below 0 they return more than they cost. Both
    exist only where exactly one outcome comes true. suspect_overround: takes the place of
    combined_overround where that is below the limit; suspect_reasons: see Suspicion.
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
        """The time at which the oldest leg was last seen true."""
        return min((price.confirmed_at for price in self.prices), default=None)


def standing(
    odds: BookmakerOdds, source: SourceState | None, now: Reading, start_time: datetime
) -> Standing:
    """Return the standing of a bookmaker's odds.

    Args:
        odds: of one event.
        source: the state of their source, None where it is not configured any more.
        now: the clocks.
        start_time: the event's start; near events are fetched more often and get stale sooner.
    """
    if odds.confirmed_at < odds.observed_at:
        return Standing.ABSENT
    if odds.doubted or source is None or source.status is not SourceStatus.UP:
        return Standing.STALE
    age_s = now.age_s(odds.confirmed_at, odds.confirmed_boot_s)
    interval_s = event_interval_s(source, (start_time - now.wall).total_seconds())
    return Standing.STALE if age_s > STALE_AFTER_INTERVALS * interval_s else Standing.LIVE


def best_markets(
    event: Event,
    bookmakers: Iterable[BookmakerOdds],
    standing_of: Callable[[BookmakerOdds], Standing],
    markets_of: Callable[[BookmakerOdds], Iterable[Market]] = lambda odds: odds.markets.values(),
    *,
    suspect_below: float = SUSPECT_BELOW,
) -> list[BestMarket]:
    """Return the best prices of all markets that an event's bookmakers show, by market key.

    Args:
        event: its sources' statuses decide which odds are compared.
        bookmakers: the odds to compare, in any order.
        standing_of: returns the standing of a bookmaker's odds.
        markets_of: returns the markets to compare of a bookmaker; by default all.
        suspect_below: a combined overround below this is suspect (-0.03: a profit of over 3 %).
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
        key: the market.
        quotes: the bookmakers' odds of it.
        suspect_below: as in best_markets.
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
    sums = frozenset(outcomes) in _ONE_COMES_TRUE
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
    """Return the best price of each runner of a field, of which each bookmaker lists a part."""
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
    """Replace best prices by those of a quote that are higher, or equal and seen later."""
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
    """Return the reasons to doubt an overround. alone: one bookmaker is below the limit."""
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
    """Return the prices on offer; fewer than the outcomes where one is missing."""
    return [
        outcome.price for outcome in quote.outcomes if outcome.price is not None and outcome.active
    ]


def _why_not(quote: Quote) -> Exclusion | None:
    """Return the reason to leave a quote out, whatever its prices; None for none."""
    if quote.status is not MarketStatus.OPEN:
        return Exclusion.SUSPENDED
    if quote.standing is Standing.ABSENT:
        return Exclusion.ABSENT
    if quote.standing is Standing.STALE:
        return Exclusion.STALE
    return Exclusion.STATUS_DISAGREES if quote.disagrees else None
