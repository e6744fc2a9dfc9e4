"""Tables of an event's odds and best prices, for terminals of any width and for pipes."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from odds_service.client import enum_word
from odds_service.commands.output import Cell, Column, Grid
from odds_service.commands.prices import Prices
from odds_service.commands.text import age_text, key_text, outcome_name
from odds_service.commands.times import Times
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

BEST: Final = "bold green"
STALE: Final = "dim"
_GAP: Final = 3  # between two columns
_PRICE: Final = 7  # `(12.50)`
_FIXED: Final = 30  # the market and the outcome, where they are long
_WIDE_FROM: Final = 120  # the width from which the margins of each bookmaker are shown

_Market = tuple[str, float, str]
_Cells = dict[int, Cell]  # place of a bookmaker -> its price


class Shown(Struct, frozen=True):
    """The form of an event's odds.

    Attributes:
        prices: The form of prices.
        times: The form of times.
        now: The present, for ages.
        before: (market, outcome, place of the bookmaker) -> the price to which moves are told;
            empty: no moves.
    """

    prices: Prices
    times: Times
    now: datetime
    before: Mapping[tuple[str, str, str, str, str], float] = {}


def heading(event: pb.Event, times: Times) -> str:
    """Return the line above an event's odds."""
    start = f"{times.minute(event.start_time.ToDatetime())} {times.zone}"
    status = enum_word(pb.EventStatus.Name, event.status, "EVENT_STATUS_").replace("_", " ")
    return f"{event.name} · {event.competition} · {start} · {status} · {event.id}"


def odds_grids(entry: pb.EventOdds, shown: Shown, width: int | None) -> Iterator[Grid]:
    """Yield tables with a line for each outcome and a column for each bookmaker.

    Args:
        entry: The event.
        shown: The form of prices.
        width: The width that the tables must fit, in characters; None for one table of any width.
    """
    places = list(enumerate(entry.bookmakers))
    rows = _rows(entry, shown)
    for few in _split(places, width, rows):
        grid = Grid(
            Column(name="market", folds=True),
            Column(name="outcome", folds=True),
            *(Column(name=_name(odds), right=True, folds=True) for _, odds in few),
        )
        before = ""
        for market, outcome, cells in rows:
            if any(place in cells for place, _ in few):
                told = "" if market == before and width is not None else market
                grid.add(told, outcome, *(cells.get(place, "") for place, _ in few))
                before = market
        if few:
            ages = [_age(odds, shown.now) for _, odds in few]
            grid.add(("seen true", STALE), ("ago", STALE), *((age, STALE) for age in ages))
        yield grid


def _split(
    places: list[tuple[int, pb.BookmakerOdds]],
    width: int | None,
    rows: Sequence[tuple[str, str, _Cells]],
) -> Iterator[list[tuple[int, pb.BookmakerOdds]]]:
    """Yield groups of bookmakers that fit the width, as many in each as possible."""
    if width is None or not places:
        yield places
        return
    fixed = [max((len(row[n]) for row in rows), default=0) for n in (0, 1)]
    left = width - min(sum(fixed) + _GAP, _FIXED)
    fit: list[tuple[int, pb.BookmakerOdds]] = []
    taken = 0
    for place, odds in places:
        needed = _GAP + min(max(len(_name(odds)), _PRICE), max(left - _GAP, _PRICE))
        if fit and taken + needed > left:
            yield fit
            fit, taken = [], 0
        fit.append((place, odds))
        taken += needed
    yield fit


def _name(odds: pb.BookmakerOdds) -> str:
    return odds.bookmaker + (" (stale)" if odds.stale else "")


def _age(odds: pb.BookmakerOdds, now: datetime) -> str:
    return age_text(max((now - odds.confirmed_at.ToDatetime(now.tzinfo)).total_seconds(), 0.0))


def _rows(entry: pb.EventOdds, shown: Shown) -> list[tuple[str, str, _Cells]]:
    """Return market, outcome and the cells of its bookmakers, in the order of the table."""
    names: dict[_Market, str] = {}
    found: dict[tuple[_Market, str], dict[int, tuple[pb.Outcome, bool]]] = {}
    for place, odds in enumerate(entry.bookmakers):
        for market in odds.markets:
            key = (market.key.market, market.key.line, market.key.participant)
            names[key] = key_text(market.key)
            bettable = market.status == pb.MARKET_STATUS_OPEN
            for outcome in market.outcomes:
                found.setdefault((key, outcome.key), {})[place] = (outcome, bettable)
    prices = shown.prices.telling_apart(
        {each.price for each, _ in cells.values() if each.HasField("price")}
        for cells in found.values()
    )
    # Within a market the outcomes stay in the order of arrival, which is the canonical one.
    ordered = sorted(found.items(), key=lambda each: each[0][0])
    return [
        (
            names[key],
            outcome_name(entry.event, outcome),
            _cells(entry, (names[key], outcome), cells, prices, shown),
        )
        for (key, outcome), cells in ordered
    ]


def _cells(
    entry: pb.EventOdds,
    row: tuple[str, str],
    cells: dict[int, tuple[pb.Outcome, bool]],
    prices: Prices,
    shown: Shown,
) -> _Cells:
    """Return one line's cells, the best price that can be bet on marked, and moves."""
    live = {
        place: outcome.price
        for place, (outcome, bettable) in cells.items()
        if bettable and outcome.active and outcome.HasField("price")
        and not entry.bookmakers[place].stale
    }  # fmt: skip
    best = max(live.values(), default=0.0) if len(live) > 1 else 0.0
    made: _Cells = {}
    for place, (outcome, bettable) in cells.items():
        odds = entry.bookmakers[place]
        text = prices.outcome(outcome, bettable=bettable)
        past = shown.before.get((entry.event.id, odds.source, odds.bookmaker, *row))
        if past is not None and outcome.HasField("price") and past != outcome.price:
            text = f"{'▲' if outcome.price > past else '▼'}{text}"
        style = BEST if live.get(place) == best else STALE if odds.stale else ""
        made[place] = (text, style)
    return made


def prices_before(reply: pb.GetOddsResponse) -> dict[tuple[str, str, str, str, str], float]:
    """Return the prices of an answer by event, source, bookmaker, market and outcome."""
    return {
        (entry.event.id, odds.source, odds.bookmaker, key_text(market.key), outcome.key): (
            outcome.price
        )
        for entry in reply.events
        for odds in entry.bookmakers
        for market in odds.markets
        for outcome in market.outcomes
        if outcome.HasField("price")
    }


def best_grid(entry: pb.EventOdds, shown: Shown, *, wide: bool) -> Grid:
    """Return a table of the best price of each outcome, with the overrounds."""
    excluded = any(market.exclusions for market in entry.best)
    grid = Grid(
        Column(name="market", folds=True),
        Column(name="outcome", folds=True),
        Column(name="best", right=True),
        Column(name="bookmaker"),
        Column(name="overround", right=True),
        Column(name="oldest leg", right=True),
        *([Column(name="overround of each", folds=True)] if wide else []),
        *([Column(name="left out", folds=True)] if excluded else []),
    )
    for market in entry.best:
        margins = ", ".join(f"{each.bookmaker} {each.overround:+.1%}" for each in market.overrounds)
        left_out = ", ".join(
            f"{each.bookmaker} "
            + enum_word(pb.ExclusionReason.Name, each.reason, "EXCLUSION_REASON_")
            for each in market.exclusions
        )
        prices = shown.prices
        for place, leg in enumerate(market.prices or [None]):
            first = place == 0
            grid.add(
                key_text(market.key) if first else "",
                outcome_name(entry.event, leg.outcome) if leg else "",
                prices.text(leg.price) if leg else "",
                leg.bookmaker if leg else "",
                _combined(market) if first else "",
                age_text(oldest_age_s(market)) if first and leg else "",
                *([margins if first else ""] if wide else []),
                *([left_out if first else ""] if excluded else []),
            )
    return grid


def _combined(market: pb.BestMarket) -> Cell:
    """Return the combined overround, marked if it is an arbitrage or too good to be true."""
    if market.HasField("suspect_overround"):
        return f"{market.suspect_overround:+.2%} suspect", "yellow"
    if not market.HasField("combined_overround"):
        return ""
    arbitrage = market.combined_overround < 0
    return f"{market.combined_overround:+.2%}", BEST if arbitrage else ""


def arbitrages(reply: pb.GetOddsResponse, prices: Prices) -> Iterator[str]:
    """Yield a line for each arbitrage, the most profitable first."""
    found = [
        (market.combined_overround, entry.event, market)
        for entry in reply.events
        for market in entry.best
        if market.HasField("combined_overround") and market.combined_overround < 0
    ]
    for combined, event, market in sorted(found, key=lambda each: each[0]):
        yield _line(combined, event, market, prices)


def suspects(reply: pb.GetOddsResponse, prices: Prices) -> Iterator[str]:
    """Yield a line for each set of best prices that is too good to be true, with the reasons."""
    found = [
        (market.suspect_overround, entry.event, market)
        for entry in reply.events
        for market in entry.best
        if market.HasField("suspect_overround")
    ]
    for suspect, event, market in sorted(found, key=lambda each: each[0]):
        yield f"{_line(suspect, event, market, prices)} ({', '.join(market.suspect_reasons)})"


def _line(overround: float, event: pb.Event, market: pb.BestMarket, prices: Prices) -> str:
    legs = ", ".join(
        f"{outcome_name(event, leg.outcome)} {prices.text(leg.price)} {leg.bookmaker}"
        for leg in market.prices
    )
    return (
        f"{overround:+.2%}  {event.name}  {key_text(market.key)}: {legs};"
        f" oldest leg {age_text(oldest_age_s(market))}"
    )


def oldest_age_s(market: pb.BestMarket) -> float:
    """Return the age of the oldest leg, in seconds."""
    return max(leg.age.ToTimedelta().total_seconds() for leg in market.prices)
