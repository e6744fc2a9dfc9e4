"""Tables of an event's odds and best prices, for terminals of any width."""

from collections.abc import Iterator
from math import ceil
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from odds_service.client import enum_word
from odds_service.commands.text import age_text, key_text, price_text
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

_NARROW: Final = 9  # least width of a bookmaker's column with its padding; longer names are folded
_PRICE: Final = 7  # `(12.50)`
_BETWEEN: Final = 3
_MARKET: Final = 26
_OUTCOME: Final = 14
_WIDE_FROM: Final = 120  # the width from which market names get more room and margins are shown

_Row = tuple[tuple[str, float, str], str]  # market key, outcome


def heading(event: pb.Event) -> str:
    start = f"{event.start_time.ToDatetime():%Y-%m-%d %H:%M UTC}"
    return f"{event.name} · {event.competition} · {start} · {event.id}"


def odds_tables(entry: pb.EventOdds, width: int) -> Iterator[Table]:
    """Yield tables with a line per outcome and a column per bookmaker, split to fit the width."""
    market = _MARKET if width < _WIDE_FROM else _MARKET + 6
    left = width - market - _OUTCOME
    bookmakers = list(entry.bookmakers)
    tables = max(ceil(len(bookmakers) / max(left // _NARROW, 1)), 1)
    fit = max(ceil(len(bookmakers) / tables), 1)  # as many in each
    for first in range(0, max(len(bookmakers), 1), fit):
        shown = bookmakers[first : first + fit]
        names = [max(len(_name(odds)), _PRICE) + _BETWEEN for odds in shown]
        even = max(left // max(len(shown), 1), _NARROW)
        yield _side_by_side(shown, market, max(names, default=even) if sum(names) <= left else even)


def _name(odds: pb.BookmakerOdds) -> str:
    return odds.bookmaker + (" (stale)" if odds.stale else "")


def _side_by_side(bookmakers: list[pb.BookmakerOdds], market_width: int, width: int) -> Table:
    """Return one table; both widths include the padding of a column."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("market", overflow="fold", max_width=market_width - 2)
    table.add_column("outcome", overflow="fold", max_width=_OUTCOME - 2)
    names: dict[tuple[str, float, str], str] = {}
    shown: dict[_Row, dict[int, str]] = {}
    for place, odds in enumerate(bookmakers):
        table.add_column(_name(odds), justify="right", overflow="fold", max_width=width - 2)
        for market in odds.markets:
            key = (market.key.market, market.key.line, market.key.participant)
            names[key] = key_text(market.key)
            closed = market.status != pb.MARKET_STATUS_OPEN
            for outcome in market.outcomes:
                cell = price_text(outcome, form=".2f", bettable=not closed)
                shown.setdefault((key, outcome.key), {})[place] = cell
    before = None
    for key in sorted(names):
        for outcome_key in _outcomes(shown, key):
            cells = shown[key, outcome_key]
            table.add_row(
                "" if key == before else names[key],
                outcome_key,
                *(cells.get(place, "") for place in range(len(bookmakers))),
            )
            before = key
    return table


def _outcomes(shown: dict[_Row, dict[int, str]], key: tuple[str, float, str]) -> list[str]:
    """Return the outcomes of a market in order of arrival, which is the canonical order."""
    return [outcome for of_key, outcome in shown if of_key == key]


def best_table(entry: pb.EventOdds, width: int) -> Table:
    """Return a table of the best price of each outcome, with the overrounds."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("market", overflow="fold", max_width=_MARKET - 2)
    table.add_column("outcome", overflow="fold", max_width=_OUTCOME - 2)
    table.add_column("best", justify="right", no_wrap=True)
    table.add_column("bookmaker", no_wrap=True, overflow="ellipsis")  # beside its leg's price
    table.add_column("overround", justify="right", no_wrap=True)
    table.add_column("oldest leg", justify="right", overflow="fold")
    if width >= _WIDE_FROM:
        table.add_column("overround of each", overflow="fold")
    excluded = any(market.exclusions for market in entry.best)
    if excluded:
        table.add_column("left out", overflow="fold")
    for market in entry.best:
        margins = (f"{each.bookmaker} {each.overround:+.1%}" for each in market.overrounds)
        left_out = (
            f"{each.bookmaker} "
            + enum_word(pb.ExclusionReason.Name, each.reason, "EXCLUSION_REASON_")
            for each in market.exclusions
        )
        table.add_row(
            key_text(market.key),
            "\n".join(leg.outcome for leg in market.prices),
            "\n".join(f"{leg.price:.2f}" for leg in market.prices),
            "\n".join(leg.bookmaker for leg in market.prices),
            _combined(market),
            age_text(oldest_age_s(market)) if market.prices else "",
            *(["\n".join(margins)] if width >= _WIDE_FROM else []),
            *(["\n".join(left_out)] if excluded else []),
        )
    return table


def _combined(market: pb.BestMarket) -> Text:
    """Return the combined overround, marked if it is an arbitrage or too good to be true."""
    if market.HasField("suspect_overround"):
        return Text(f"{market.suspect_overround:+.2%}\nsuspect", style="yellow")
    if not market.HasField("combined_overround"):
        return Text()
    arbitrage = market.combined_overround < 0
    return Text(f"{market.combined_overround:+.2%}", style="bold green" if arbitrage else "")


def arbitrages(reply: pb.GetOddsResponse) -> Iterator[str]:
    """Yield a line for each arbitrage, the most profitable first."""
    found = [
        (market.combined_overround, entry.event, market)
        for entry in reply.events
        for market in entry.best
        if market.HasField("combined_overround") and market.combined_overround < 0
    ]
    for combined, event, market in sorted(found, key=lambda each: each[0]):
        yield _line(combined, event, market)


def suspects(reply: pb.GetOddsResponse) -> Iterator[str]:
    """Yield a line for each set of best prices that is too good to be true, with the reasons."""
    found = [
        (market.suspect_overround, entry.event, market)
        for entry in reply.events
        for market in entry.best
        if market.HasField("suspect_overround")
    ]
    for suspect, event, market in sorted(found, key=lambda each: each[0]):
        yield f"{_line(suspect, event, market)} ({', '.join(market.suspect_reasons)})"


def _line(overround: float, event: pb.Event, market: pb.BestMarket) -> str:
    legs = ", ".join(f"{leg.outcome} {leg.price:.4g} {leg.bookmaker}" for leg in market.prices)
    return (
        f"{overround:+.2%}  {event.name}  {key_text(market.key)}: {legs};"
        f" oldest leg {age_text(oldest_age_s(market))}"
    )


def oldest_age_s(market: pb.BestMarket) -> float:
    """Return the age of the oldest leg, in seconds."""
    return max(leg.age.ToTimedelta().total_seconds() for leg in market.prices)
