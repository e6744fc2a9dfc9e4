"""Putting the outcomes of one bookmaker's event where they belong, as a payload is read."""

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

_NO_PRICE: Final = (0.0, 1.0)  # what all three write where there is nothing to be won
_DECIMAL: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,12})?")  # float() takes `1_5` for 15, too
_MOST_PRICES: Final = 2**14
_NUL: Final = "\0"  # PostgreSQL refuses it in text, SQLite does not: refused here for both
_OPEN: Final = MarketStatus.OPEN
_SUSPENDED: Final = MarketStatus.SUSPENDED
_rank: Final = itemgetter(0)


@lru_cache(_MOST_PRICES)
def read_price(value: str | float) -> float | None:
    """Decimal odds as a payload writes them; None where it means that there is no price.

    Raises BadPrice for what is no price at all.
    """
    if isinstance(value, str) and _DECIMAL.fullmatch(value) is None:
        raise BadPrice(f"decimal price {value!r} is not a number")
    price = float(value)
    return None if price in _NO_PRICE else decimal_price(price)


class MarketCollector:
    """The markets of one bookmaker's event: one to an event, filled, then read off."""

    def __init__(self, problems: Counter[str], coverage: Coverage | None) -> None:
        self.problems = problems
        self.coverage = Coverage() if coverage is None else coverage
        self.unreadable: set[str] = set()
        self.markets: dict[MarketKey, ObservedMarket] = {}
        self.readable = True  # the price of the outcome that was made last

    def outcome(
        self, target: Target, name: str, value: str | float, *, active: bool
    ) -> Ranked | None:
        """An outcome with its rank, None where it is none: that is counted, and it is left out.

        One whose price cannot be read is counted too, and stays without a price: it can happen all
        the same. `readable` tells it, since it is not to be remembered: each poll counts it anew.
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
        """Add a market; to one that is there already its outcomes are added.

        closed: the source takes no bets on it now, whatever its outcomes say. updated_at: when the
        source says that it changed it.
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
        """A market that is there but could not be read: its types are suspended, not removed.

        types: none where the table has no such market; None where not even that could be read.
        """
        self.problems["bad_market"] += 1
        self.unreadable |= {ANY} if types is None else types

    def bookmaker(self, name: str) -> ObservedBookmaker:
        """All of it."""
        return ObservedBookmaker(
            bookmaker=name, markets=self.markets, unreadable=frozenset(self.unreadable)
        )

    def _distinct(self, outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
        kept = distinct_outcomes(outcomes, self.problems)
        return tuple(sorted(kept, key=outcome_order))
