"""Markets: their identity, their outcomes, and the odds of one market at one time."""

import enum
from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from msgspec import Struct

from odds_service.model.memo import Memo

NO_LINE: Final = ""  # in keys; a market without a line and one with line 0 are different markets

# A fixed order, so that the order of outcomes in a payload is never a change.
_OUTCOME_ORDER: Final = {
    key: place for place, key in enumerate(("home", "draw", "away", "over", "under", "yes", "no"))
}


class MarketKey(NamedTuple):
    """The identity of a market among those of one bookmaker and event.

    market: the type, e.g. `h2h`, `totals`, `spreads`, `player_points`.
    line: canonical decimal text (`2.5`, or the home side's handicap `-3.5`), NO_LINE where none.
    participant: the player or team for markets that have one, else empty.
    """

    market: str
    line: str = NO_LINE
    participant: str = ""


class MarketStatus(enum.IntEnum):
    """OPEN: bettable. SUSPENDED: shown, not bettable now. REMOVED: gone from a complete payload."""

    OPEN = 1
    SUSPENDED = 2
    REMOVED = 3


class Outcome(Struct, frozen=True, gc=False, array_like=True):
    """One possible outcome and its price.

    key: canonical (`home`, `over`, …) or the source's own text; name: the source's own text.
    price: decimal odds, above 1; None where the source shows none.
    active: the source takes bets on it now.
    """

    key: str
    name: str
    price: float | None
    active: bool = True


class ObservedMarket(Struct, frozen=True, gc=False):
    """A market as a source showed it once; `outcomes` in canonical order, their keys unique."""

    key: MarketKey
    status: MarketStatus
    outcomes: tuple[Outcome, ...]
    source_updated_at: datetime | None = None


class Market(Struct, Memo, frozen=True, gc=False):
    """The odds of one market since `revision`; a value that is replaced, never changed.

    changed_at: when these odds were first seen. source_updated_at: the bookmaker's own time as of
    that change.
    """

    key: MarketKey
    status: MarketStatus
    outcomes: tuple[Outcome, ...]
    revision: int
    changed_at: datetime
    source_updated_at: datetime | None = None


class Markets(dict[MarketKey, Market]):
    """A bookmaker's markets, with a slot for their joined bytes, which only `wire/` fills.

    A poll that changes nothing replaces the bookmaker's odds and hands on the same markets, so
    that their bytes need not be joined again. Do not change it once it is published.
    """

    __slots__ = ("encoded",)

    encoded: bytes


def outcome_order(outcome: Outcome) -> tuple[int, str]:
    """Sort key that puts outcomes into canonical order."""
    return _OUTCOME_ORDER.get(outcome.key, len(_OUTCOME_ORDER)), outcome.key


def observed_market(
    key: MarketKey,
    outcomes: Iterable[Outcome],
    *,
    suspended: bool = False,
    source_updated_at: datetime | None = None,
) -> ObservedMarket:
    """Build a market in canonical order; without an active outcome it is SUSPENDED.

    The outcomes' keys must be unique already (see sources.base.distinct_outcomes).
    """
    ordered = tuple(sorted(outcomes, key=outcome_order))
    bettable = not suspended and any(outcome.active for outcome in ordered)
    status = MarketStatus.OPEN if bettable else MarketStatus.SUSPENDED
    return ObservedMarket(key, status, ordered, source_updated_at)


def same_prices(one: tuple[Outcome, ...], other: tuple[Outcome, ...]) -> bool:
    """Return whether key, price and activity of all outcomes agree; names do not count."""
    if len(one) != len(other):
        return False
    for place, a in enumerate(one):  # lengths are equal; zip(strict=True) takes twice as long
        b = other[place]
        if a.price != b.price or a.key != b.key or a.active != b.active:
            return False
    return True
