"""Markets: their identity, outcomes and odds."""

import enum
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple

from msgspec import Struct

from odds_service.model.memo import Memo, release

NO_LINE: Final = ""  # in keys; a market without a line and one with line 0 are different markets

# A fixed order, so that the order of outcomes in a payload is never a change.
_OUTCOME_ORDER: Final = {
    key: place for place, key in enumerate(("home", "draw", "away", "over", "under", "yes", "no"))
}


class MarketKey(NamedTuple):
    """The identity of a market among those of one bookmaker and event.

    Attributes:
        market: The type, such as `h2h`, `totals`, `spreads` or `player_points`.
        line: Canonical decimal text (`2.5`, or the home side's handicap `-3.5`), else NO_LINE.
        participant: The player or team for markets that have one, else empty.
    """

    market: str
    line: str = NO_LINE
    participant: str = ""


class AtStart(enum.IntEnum):
    """A market at its event's start. NOT_KNOWN: nobody looked, or its source was not UP."""

    OFFERED = 1
    NOT_OFFERED = 2
    NOT_KNOWN = 3


class MarketStatus(enum.IntEnum):
    """OPEN: bettable. SUSPENDED: shown, not bettable now. REMOVED: gone from a complete payload."""

    OPEN = 1
    SUSPENDED = 2
    REMOVED = 3


class Outcome(Struct, frozen=True, gc=False, array_like=True):
    """One possible outcome and its price.

    Attributes:
        key: A canonical key (`home`, `over`, …) or the source's own text.
        name: The source's own text.
        price: Decimal odds, above 1; None if the source shows none.
        active: Whether it is open to bets now.
    """

    key: str
    name: str
    price: float | None
    active: bool = True


class ObservedMarket(Struct, frozen=True, gc=False):
    """A market as observed once; its outcomes are in canonical order and their keys unique."""

    key: MarketKey
    status: MarketStatus
    outcomes: tuple[Outcome, ...]
    source_updated_at: datetime | None = None


class Market(Struct, Memo, frozen=True, gc=False, array_like=True):
    """The odds of one market since `revision`; replaced, never changed in place.

    On the bus it is an array (bus/messages.py), so new fields come last and have a default.

    Attributes:
        changed_at: The time at which these odds were first seen.
        source_updated_at: The bookmaker's own time as of that change.
    """

    key: MarketKey
    status: MarketStatus
    outcomes: tuple[Outcome, ...]
    revision: int
    changed_at: datetime
    source_updated_at: datetime | None = None


class ChosenMarkets(NamedTuple):
    """The joined bytes of the markets of some types, and the number of these markets."""

    types: frozenset[str]
    joined: bytes
    markets: int


class ObservedMarkets(dict[MarketKey, ObservedMarket]):
    """A bookmaker's markets that a worker sent as differences, with what it knows of them.

    Markets with one number show the same status and outcomes; the number is of this process. Most
    answers give every market a new time and nothing else. These times are kept beside the markets,
    which are made anew with them only where somebody needs them (`timed`).

    Attributes:
        number: The number of this content.
        since: The number of the content that it was made from; 0 if not known.
        differing: The keys that were added, removed or changed since then. Of these, the markets
            have their times.
        times: The source's times of the markets, each once, or in their order; empty if the markets
            have them.
        at: For each market its place in `times`; empty if these are in the markets' order.
    """

    __slots__ = ("at", "differing", "number", "since", "times")

    def __init__(
        self,
        markets: Mapping[MarketKey, ObservedMarket],
        number: int,
        since: int = 0,
        differing: tuple[MarketKey, ...] = (),
    ) -> None:
        super().__init__(markets)
        self.number = number
        self.since = since
        self.differing = differing
        self.times: Sequence[datetime | None] = ()
        self.at = b""

    def timed(self) -> Mapping[MarketKey, ObservedMarket]:
        """Return the markets with their times."""
        if not self.times:
            return self
        return {
            market.key: ObservedMarket(market.key, market.status, market.outcomes, time)
            for market, time in zip(self.values(), times_of(self), strict=True)
        }


def times_of(markets: Mapping[MarketKey, ObservedMarket]) -> Sequence[datetime | None]:
    """Return the source's times of markets, in their order."""
    if type(markets) is ObservedMarkets and markets.times:
        times = markets.times
        return list(map(times.__getitem__, markets.at)) if markets.at else times
    return [market.source_updated_at for market in markets.values()]


class Markets(dict[MarketKey, Market]):
    """A bookmaker's markets, with slots for what is known of all of them together.

    A poll that changes nothing replaces the bookmaker's odds but keeps its markets, so that their
    bytes need not be joined again. Do not change it once it is published.

    Attributes:
        encoded: The bytes of all markets; only `wire/` fills it.
        chosen: The bytes of those that a filter selected last; likewise.
        matched: The number of the ObservedMarkets that do not differ from these; only `detection/`
            sets it, and reads it.
    """

    __slots__ = ("chosen", "encoded", "matched")

    chosen: ChosenMarkets
    encoded: bytes
    matched: int

    def release(self) -> None:
        """Drop the bytes of the markets, joined and alone."""
        for slot in ("chosen", "encoded"):
            with suppress(AttributeError):
                delattr(self, slot)
        for market in self.values():
            release(market)


def outcome_order(outcome: Outcome) -> tuple[int, str]:
    """Return a sort key for the canonical order of outcomes."""
    return _OUTCOME_ORDER.get(outcome.key, len(_OUTCOME_ORDER)), outcome.key


def observed_market(
    key: MarketKey,
    outcomes: Iterable[Outcome],
    *,
    suspended: bool = False,
    source_updated_at: datetime | None = None,
) -> ObservedMarket:
    """Return a market with its outcomes in canonical order; SUSPENDED if none is active.

    The keys of the outcomes must already be unique (see sources.base.distinct_outcomes).
    """
    ordered = tuple(sorted(outcomes, key=outcome_order))
    bettable = not suspended and any(outcome.active for outcome in ordered)
    status = MarketStatus.OPEN if bettable else MarketStatus.SUSPENDED
    return ObservedMarket(key, status, ordered, source_updated_at)


def same_prices(one: tuple[Outcome, ...], other: tuple[Outcome, ...]) -> bool:
    """Return whether all outcomes agree in key, price and activity, whatever their names."""
    if len(one) != len(other):
        return False
    for place, a in enumerate(one):  # lengths are equal; zip(strict=True) takes twice as long
        b = other[place]
        if a.price != b.price or a.key != b.key or a.active != b.active:
            return False
    return True
