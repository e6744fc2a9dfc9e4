"""The value of one's own bets against the closing odds, without the bookmakers' margins. No I/O.

closed = client.closing_odds(Filter(event_ids=[bet.event_id for bet in bets]))
for valued in value_against_close(bets, closed, MarginMethod.SHIN):
    print(valued.bet, valued.closes)
"""

import enum
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from odds_service.client.values import ClosedEvent, ClosingOdds
from odds_service.model.draws import includes_draw
from odds_service.model.event import Event
from odds_service.model.margins import MarginMethod, NoProbabilities, probabilities
from odds_service.model.market import MarketKey
from odds_service.model.overround import one_comes_true


class Bet(Struct, frozen=True, kw_only=True):
    """A bet of one's own.

    Attributes:
        placed_at: An aware time.
        event_id: The event, as this service names it.
        key: The market with its line and participant.
        outcome: The key of the outcome.
        price: Decimal odds, above 1.
    """

    placed_at: datetime
    event_id: str
    key: MarketKey
    outcome: str
    price: float

    def __post_init__(self) -> None:
        if self.placed_at.tzinfo is None:
            raise ValueError(f"{self.placed_at.isoformat()} has no time zone")
        if not 1 < self.price < math.inf:
            raise ValueError(f"{self.price} is no price: it must be above 1")


class CloseMethod(enum.Enum):
    """Ways to a closing probability of the bet's line.

    EXACT: the bookmaker closed with that line, or the market has none. INTERPOLATED: it closed a
    line below and one above; the log-odds are taken on the straight line between the nearest two.
    SHIFTED: it closed lines on one side only; the log-odds of the nearest are moved by the slope
    per point that bookmakers with several lines of the market show at the close.
    """

    EXACT = "exact"
    INTERPOLATED = "interpolated"
    SHIFTED = "shifted"


class Close(Struct, frozen=True, kw_only=True):
    """The closing odds of one bookmaker for a bet.

    Attributes:
        method: The way to the probability.
        lines: The closing lines it rests on; empty for a market without a line.
        price: The closing price of the bet's own line; None unless the method is EXACT.
        probability: The probability of the outcome without the margin.
        fair_price: 1/probability.
        value: The bet's price times the probability, minus 1: what a unit is expected to win.
        overround: The margin taken out; of the nearest line where there are several.
        age_s: Seconds from the last look at the odds to the start.
        offered: As in ClosingOdds.
    """

    bookmaker: str
    source: str
    method: CloseMethod
    lines: tuple[str, ...]
    price: float | None
    probability: float
    fair_price: float
    value: float
    overround: float
    age_s: float
    offered: bool


class Missing(enum.Enum):
    """Reasons for the absence of a closing probability."""

    NO_CLOSING_ODDS = "no_closing_odds"  # the event has not started, or nothing of it is kept
    AFTER_START = "after_start"  # the bet was placed in play
    NO_SUCH_OUTCOME = "no_such_outcome"  # nobody closed the market with this outcome
    INCOMPLETE = "incomplete"  # an outcome has no price, or the draw is missing
    NOT_EXCLUSIVE = "not_exclusive"  # several or none of the outcomes may come true
    NO_MARGIN = "no_margin"  # the overround is below 0, and the method is Shin's
    LINE_MOVED = "line_moved"  # only other lines were closed, and nothing tells their distance


class Valued(Struct, frozen=True, kw_only=True):
    """A bet with the closing odds of each bookmaker, or the reasons why there are none.

    Attributes:
        closes: By bookmaker and source.
        missing: (source, bookmaker) -> the reason for leaving it out.
        reason: The reason why no bookmaker has closing odds for it; None if one has.
    """

    bet: Bet
    event: Event | None
    closes: tuple[Close, ...]
    missing: Mapping[tuple[str, str], Missing]
    reason: Missing | None


class _Line(Struct, frozen=True):
    """A market's closing odds with their probabilities, by outcome."""

    odds: ClosingOdds
    chances: dict[str, float]
    overround: float

    @property
    def points(self) -> float:
        return float(self.odds.market.key.line)

    def log_odds(self, outcome: str) -> float:
        chance = self.chances[outcome]
        return math.log(chance / (1 - chance))


def value_against_close(
    bets: Iterable[Bet],
    closed: Iterable[ClosedEvent],
    method: MarginMethod = MarginMethod.PROPORTIONAL,
) -> list[Valued]:
    """Value bets by closing odds without margin.

    Args:
        bets: The bets.
        closed: The closing odds of their events; others are passed over.
        method: The way to take the margin out.

    Returns:
        One result for each bet, in order.
    """
    wanted = list(bets)
    ids = {bet.event_id for bet in wanted}
    events = {each.event.id: each for each in closed if each.event.id in ids}
    return [_valued(bet, events.get(bet.event_id), method) for bet in wanted]


def _valued(bet: Bet, closed: ClosedEvent | None, method: MarginMethod) -> Valued:
    if closed is None:
        return Valued(bet=bet, event=None, closes=(), missing={}, reason=Missing.NO_CLOSING_ODDS)
    if bet.placed_at >= closed.event.start_time:
        return Valued(
            bet=bet, event=closed.event, closes=(), missing={}, reason=Missing.AFTER_START
        )
    missing: dict[tuple[str, str], Missing] = {}
    lines: dict[tuple[str, str], list[_Line]] = {}
    for odds in closed.odds:
        key = odds.market.key
        if (key.market, key.participant) != (bet.key.market, bet.key.participant):
            continue
        if bool(key.line) is not bool(bet.key.line):
            continue
        place = odds.source, odds.bookmaker
        read = _line_of(closed.event, odds, bet.outcome, method)
        if isinstance(read, _Line):
            lines.setdefault(place, []).append(read)
        elif key == bet.key or place not in missing:
            missing[place] = read
    if bet.key.line:
        lines = {place: _last_lines(each) for place, each in lines.items()}
    slope = _slope(lines.values(), bet.outcome) if bet.key.line else None
    closes = []
    for place in sorted(lines, key=lambda place: (place[1], place[0])):
        found = _close(bet, lines[place], slope)
        if found is None:
            missing[place] = Missing.LINE_MOVED
        else:
            closes.append(found)
            missing.pop(place, None)
    reason = None
    if not closes:
        reason = next(iter(missing.values()), Missing.NO_SUCH_OUTCOME)
    return Valued(bet=bet, event=closed.event, closes=tuple(closes), missing=missing, reason=reason)


def _last_lines(lines: list[_Line]) -> list[_Line]:
    """Return the lines that stood at the start; if none did, those that were seen last.

    A line that moved away before the start has closing odds too, but of its own last moment.
    """
    standing = [line for line in lines if line.odds.offered]
    if standing:
        return standing
    latest_s = min(line.odds.age_s for line in lines)
    return [line for line in lines if line.odds.age_s == latest_s]


def _line_of(
    event: Event, odds: ClosingOdds, outcome: str, method: MarginMethod
) -> _Line | Missing:
    outcomes = odds.market.outcomes
    keys = [each.key for each in outcomes]
    prices = [each.price for each in outcomes if each.price is not None]
    if outcome not in keys:
        return Missing.NO_SUCH_OUTCOME
    draw = includes_draw(event.sport, event.competition, odds.market.key.market)
    if len(prices) < len(keys) or (draw and "draw" not in keys):
        return Missing.INCOMPLETE
    if not one_comes_true(keys):
        return Missing.NOT_EXCLUSIVE
    try:
        chances = probabilities(prices, method)
    except NoProbabilities:
        return Missing.NO_MARGIN
    overround = math.fsum(1 / price for price in prices) - 1
    return _Line(odds, dict(zip(keys, chances, strict=True)), overround)


def _close(bet: Bet, lines: Sequence[_Line], slope: float | None) -> Close | None:
    """Return a bookmaker's close for the bet's line, or None if its lines do not tell it."""
    for line in lines:
        if line.odds.market.key == bet.key:
            (price,) = [o.price for o in line.odds.market.outcomes if o.key == bet.outcome]
            return _made(bet, [line], CloseMethod.EXACT, line.chances[bet.outcome], price)
    lines = [line for line in lines if len(line.chances) == 2]  # two sides
    if not lines:
        return None
    at = float(bet.key.line)
    below = max((line for line in lines if line.points < at), key=_points, default=None)
    above = min((line for line in lines if line.points > at), key=_points, default=None)
    if below is not None and above is not None:
        share = (at - below.points) / (above.points - below.points)
        log_odds = (1 - share) * below.log_odds(bet.outcome) + share * above.log_odds(bet.outcome)
        near = [below, above] if share <= 0.5 else [above, below]  # the middle
        return _made(bet, near, CloseMethod.INTERPOLATED, _chance(log_odds))
    nearest = below or above
    if nearest is None or slope is None:
        return None
    log_odds = nearest.log_odds(bet.outcome) + slope * (at - nearest.points)
    return _made(bet, [nearest], CloseMethod.SHIFTED, _chance(log_odds))


def _points(line: _Line) -> float:
    return line.points


def _chance(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))


def _slope(books: Iterable[Sequence[_Line]], outcome: str) -> float | None:
    """Return how much the log-odds of an outcome grow for each point of the line.

    It is the mean over neighbouring lines of one bookmaker; None where nobody has two lines.
    """
    slopes = []
    for lines in books:
        sided = sorted((line for line in lines if len(line.chances) == 2), key=_points)  # two sides
        slopes += [
            (higher.log_odds(outcome) - lower.log_odds(outcome)) / (higher.points - lower.points)
            for lower, higher in _neighbours(sided)
        ]
    return math.fsum(slopes) / len(slopes) if slopes else None


def _neighbours(lines: Sequence[_Line]) -> Iterator[tuple[_Line, _Line]]:
    for place, lower in enumerate(lines[:-1]):
        if lines[place + 1].points > lower.points:
            yield lower, lines[place + 1]


def _made(
    bet: Bet,
    lines: Sequence[_Line],
    method: CloseMethod,
    chance: float,
    price: float | None = None,
) -> Close:
    """Make a close.

    Args:
        bet: The bet.
        lines: The lines that it rests on, the nearest first.
        method: The way to the probability.
        chance: The probability of the bet's outcome.
        price: The closing price of the bet's own line.
    """
    nearest = lines[0]
    named = sorted(
        (each.odds.market.key.line for each in lines if each.odds.market.key.line), key=float
    )
    return Close(
        bookmaker=nearest.odds.bookmaker,
        source=nearest.odds.source,
        method=method,
        lines=tuple(named),
        price=price,
        probability=chance,
        fair_price=1 / chance,
        value=bet.price * chance - 1,
        overround=nearest.overround,
        age_s=max(each.odds.age_s for each in lines),
        offered=all(each.odds.offered for each in lines),
    )
