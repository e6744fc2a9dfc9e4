"""Putting the outcomes of one bookmaker's event where they belong, as a payload is read."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Final

from odds_service.model.market import (
    MarketKey,
    MarketStatus,
    ObservedMarket,
    Outcome,
    outcome_order,
)
from odds_service.model.observation import ANY
from odds_service.model.price import BadPrice, decimal_price
from odds_service.sources.base import distinct_outcomes
from odds_service.sources.markets.coverage import Coverage
from odds_service.sources.markets.table import Target

_NO_PRICE: Final = (0.0, 1.0)  # what all three write where there is nothing to be won
_MOST_SHARED: Final = 2**16

shared_outcome: Final[Callable[[str, str, float | None, bool], Outcome]] = lru_cache(_MOST_SHARED)(
    Outcome
)


@lru_cache(_MOST_SHARED)
def read_price(value: str | float) -> float | None:
    """Decimal odds as a payload writes them; None where it means that there is no price.

    Raises BadPrice for what is no price at all.
    """
    try:
        price = float(value)
    except ValueError:
        raise BadPrice(f"decimal price {value!r} is not a number") from None
    return None if price in _NO_PRICE else decimal_price(price)


class Shelf:
    """The markets of one bookmaker's event; one to an event, filled and then read off."""

    def __init__(self, problems: Counter[str], coverage: Coverage) -> None:
        self.problems = problems
        self.coverage = coverage
        self.unreadable: set[str] = set()
        self._outcomes: dict[MarketKey, list[Outcome]] = {}
        self._closed: set[MarketKey] = set()
        self._updated_at: dict[MarketKey, datetime] = {}

    def put(self, target: Target, name: str, value: str | float, *, active: bool) -> bool:
        """Add an outcome; False where its price is none: that is counted, and it is left out."""
        try:
            price = read_price(value)
        except BadPrice:
            self.problems["bad_price"] += 1
            return False
        outcome = shared_outcome(target.outcome, name, price, active and price is not None)
        self._outcomes.setdefault(target.key, []).append(outcome)
        return True

    def close(self, key: MarketKey) -> None:
        """The source takes no bets on this market now, whatever its outcomes say."""
        self._closed.add(key)

    def updated(self, key: MarketKey, at: datetime) -> None:
        """When the source says that it changed this market."""
        self._updated_at[key] = at

    def lose(self, types: frozenset[str] | None) -> None:
        """A market that is there but could not be read: its types are suspended, not removed.

        types: none where the table has no such market; None where not even that could be read.
        """
        self.problems["bad_market"] += 1
        self.unreadable |= {ANY} if types is None else types

    def markets(self) -> dict[MarketKey, ObservedMarket]:
        """All markets, in canonical order of their outcomes."""
        return {
            key: ObservedMarket(key, *self._ordered(key, outcomes), self._updated_at.get(key))
            for key, outcomes in self._outcomes.items()
        }

    def _ordered(
        self, key: MarketKey, outcomes: list[Outcome]
    ) -> tuple[MarketStatus, tuple[Outcome, ...]]:
        if len(outcomes) > 1:
            if len({outcome.key for outcome in outcomes}) < len(outcomes):
                outcomes = distinct_outcomes(outcomes, self.problems)
            outcomes.sort(key=outcome_order)
        bettable = key not in self._closed and any(outcome.active for outcome in outcomes)
        return MarketStatus.OPEN if bettable else MarketStatus.SUSPENDED, tuple(outcomes)
