"""Collection of the markets of one bookmaker's event during decoding."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import Final

from odds_service.model.market import (
    MarketKey,
    MarketStatus,
    ObservedMarket,
    Outcome,
    outcome_order,
)
from odds_service.model.observation import ANY, ObservedBookmaker
from odds_service.model.price import BadPrice, decimal_price
from odds_service.sources.base import distinct_outcomes
from odds_service.sources.markets.coverage import Coverage
from odds_service.sources.markets.matching import Target
from odds_service.sources.markets.table import Ranked

_NO_PRICE: Final = (0.0, 1.0)  # all three providers use these for no price
_DECIMAL: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,12})?")  # float() would accept `1_5` as 15
_MOST_PRICES: Final = 2**14
_NUL: Final = "\0"  # PostgreSQL rejects it in text; SQLite does not
_OPEN: Final = MarketStatus.OPEN
_SUSPENDED: Final = MarketStatus.SUSPENDED
_rank: Final = itemgetter(0)


@lru_cache(_MOST_PRICES)
def read_price(value: str | float) -> float | None:
    """Decode decimal odds as a payload writes them; return None if there is no price.

    Raises:
        BadPrice: the value is not a price.
    """
    if isinstance(value, str) and _DECIMAL.fullmatch(value) is None:
        raise BadPrice(f"decimal price {value!r} is not a number")
    price = float(value)
    return None if price in _NO_PRICE else decimal_price(price)


class MarketCollector:
    """The markets of one bookmaker's event; create one per event and fill it."""

    def __init__(self, problems: Counter[str], coverage: Coverage | None) -> None:
        self.problems = problems
        self.coverage = Coverage() if coverage is None else coverage
        self.unreadable: set[str] = set()
        self.markets: dict[MarketKey, ObservedMarket] = {}
        self.readable = True  # whether the last outcome had a readable price

    def outcome(
        self, target: Target, name: str, value: str | float, *, active: bool
    ) -> Ranked | None:
        """Return an outcome with its rank; None, counted, if its name is invalid.

        An outcome with an unreadable price is counted too, and stays without a price: it can still
        happen. `readable` is then False, so the caller does not cache it, and each poll counts it
        again.

        Args:
            target: the canonical market and outcome.
            name: the outcome's name for people.
            value: the price as the payload writes it.
            active: whether the source takes bets on it.
        """
        if _NUL in name:
            self.problems["bad_outcome"] += 1
            return None
        self.readable = True
        try:
            price = read_price(value)
        except BadPrice:
            self.problems["bad_price"] += 1
            self.readable = False
            price = None
        return target.rank, Outcome(target.outcome, name, price, active and price is not None)

    def add(
        self,
        key: MarketKey,
        outcomes: Sequence[Ranked],
        *,
        closed: bool = False,
        updated_at: datetime | None = None,
    ) -> None:
        """Add a market, or further outcomes of a market already added.

        Args:
            key: its canonical key.
            outcomes: with their ranks, in any order.
            closed: whether the source takes no bets on it now, whatever its outcomes say.
            updated_at: the time of its last change, as the source claims.
        """
        ordered: tuple[Outcome, ...]
        if len(outcomes) == 2:
            one, other = outcomes
            unique = one[0] != other[0]
            ordered = (one[1], other[1]) if one[0] < other[0] else (other[1], one[1])
        elif len(outcomes) == 1:
            unique, ordered = True, (outcomes[0][1],)
        else:
            unique = len(set(map(_rank, outcomes))) == len(outcomes)
            ordered = tuple([outcome for _, outcome in sorted(outcomes, key=_rank)])
        known = self.markets.get(key)
        if known is not None or not unique:
            before = () if known is None else known.outcomes
            ordered = self._distinct([*before, *ordered])
            closed = closed and (known is None or known.status is not _OPEN)
        status = _SUSPENDED
        if not closed:
            for outcome in ordered:
                if outcome.active:
                    status = _OPEN
                    break
        self.markets[key] = ObservedMarket(key, status, ordered, updated_at)

    def lose(self, types: frozenset[str] | None) -> None:
        """Record an unreadable market, so that its types are suspended instead of removed.

        Args:
            types: the market's types; empty if the table does not know the market, None if even its
                id is unreadable.
        """
        self.problems["bad_market"] += 1
        self.unreadable |= {ANY} if types is None else types

    def bookmaker(self, name: str) -> ObservedBookmaker:
        """Return the bookmaker with all collected markets."""
        return ObservedBookmaker(
            bookmaker=name, markets=self.markets, unreadable=frozenset(self.unreadable)
        )

    def _distinct(self, outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
        kept = distinct_outcomes(outcomes, self.problems)
        return tuple(sorted(kept, key=outcome_order))
