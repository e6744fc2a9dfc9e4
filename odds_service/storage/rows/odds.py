"""The odds of a market as text, and back.

Nearly all of a row's cost is the text of its outcomes. It is made once for each market value: the
odds after one change are those before the next.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from odds_service.model.bounds import FEW_OUTCOMES, MOST_MARKET_BYTES, market_bytes
from odds_service.model.market import Market, MarketKey, MarketStatus, Outcome
from odds_service.storage.rows import Unreadable

PACKED_MARKETS: Final = 32_768  # of a generation; two of them take about 20 MB at most


class Odds(msgspec.Struct, array_like=True, gc=False):
    """A market without its key; the last fields are left out where the row holds them."""

    status: MarketStatus
    outcomes: tuple[Outcome, ...]
    source_updated_at: datetime | None = None
    changed_at: datetime | None = None
    revision: int = 0


_encode = msgspec.json.Encoder().encode
_decode_odds = msgspec.json.Decoder(Odds).decode


class OddsPacker:
    """Makes the texts of odds, and remembers the recent ones.

    Holds the last PACKED_MARKETS to twice as many market values with their texts; whole
    generations are dropped. A value counts as known only when it is the very object, so packers
    and logs cannot mix. To be used from any thread.
    """

    def __init__(self, capacity: int = PACKED_MARKETS) -> None:
        self._capacity = capacity
        self._fresh: dict[int, tuple[Market, str]] = {}  # by revision
        self._old: dict[int, tuple[Market, str]] = {}

    def after(self, market: Market, revision: int, changed_at: datetime) -> str:
        """Return the text of the odds after a change.

        Args:
            market: the odds.
            revision: what the row says of the change; the text leaves it out where it is the same.
            changed_at: likewise.
        """
        own = market.revision
        held = self._fresh.get(own)
        if held is not None and held[0] is market:
            begin = held[1]
        else:
            begin = _encode((market.status, market.outcomes)).decode()[:-1]
            if len(self._fresh) >= self._capacity:
                self._old, self._fresh = self._fresh, {}
            self._fresh[own] = market, begin
        if own != revision or (
            market.changed_at is not changed_at and market.changed_at != changed_at
        ):
            return begin + _end(market)
        claimed = market.source_updated_at
        return f"{begin}]" if claimed is None else f"{begin},{_time_text(claimed)}]"

    def before(self, market: Market) -> str:
        """Return the text of the odds before a change, with their own revision and time."""
        own = market.revision
        held = self._fresh.get(own) or self._old.get(own)
        if held is not None and held[0] is market:
            return held[1] + _end(market)
        return _encode(whole(market)).decode()


@lru_cache(maxsize=1024)  # the markets of one capture share their times
def _time_text(at: datetime) -> str:
    return _encode(at).decode()


def _end(market: Market) -> str:
    """Return the end of a text: claimed time, time of change and revision."""
    claimed = market.source_updated_at
    told = "null" if claimed is None else _time_text(claimed)
    return f",{told},{_time_text(market.changed_at)},{market.revision}]"


def whole(market: Market) -> tuple[Any, ...]:
    """Return a market with all that it knows, in the order of Odds."""
    return (
        market.status,
        market.outcomes,
        market.source_updated_at,
        market.changed_at,
        market.revision,
    )


def market_of(key: MarketKey, odds: Odds, revision: int, changed_at: datetime) -> Market:
    outcomes = odds.outcomes
    if len(outcomes) > FEW_OUTCOMES and market_bytes(key, outcomes) > MOST_MARKET_BYTES:
        raise Unreadable("a market is too large")
    claimed = odds.source_updated_at
    return Market(
        key,
        odds.status,
        outcomes,
        odds.revision or revision,
        changed_at if odds.changed_at is None else aware(odds.changed_at),
        None if claimed is None or claimed.tzinfo is None else claimed,
    )


def aware(at: datetime) -> datetime:
    """Return a time with a zone; older versions stored UTC without one."""
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def market_from(key: MarketKey, odds: str, revision: int, changed_at: datetime) -> Market:
    """Decode a market; the row's revision and time stand in where the text has none.

    A time of the bookmaker's that has no zone is left out. Raises Unreadable.
    """
    try:
        decoded = _decode_odds(odds)
    except msgspec.MsgspecError as error:
        raise Unreadable(str(error)) from None
    # Few outcomes can have texts of any length.
    if len(odds) > MOST_MARKET_BYTES and market_bytes(key, decoded.outcomes) > MOST_MARKET_BYTES:
        raise Unreadable("a market is too large")
    return market_of(key, decoded, revision, changed_at)
