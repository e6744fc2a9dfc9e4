"""Limits on values, which keep every message below the size promised by the contract."""

from collections.abc import Iterable
from typing import Final

from odds_service.model.market import MarketKey, Outcome

MOST_OUTCOMES: Final = 2_000  # in one market
MOST_MARKET_BYTES: Final = 256_000  # of one encoded market: a change holds two, a message 1 MiB
FEW_OUTCOMES: Final = 64  # a market with at most so many never exceeds MOST_MARKET_BYTES

_OUTCOME_BYTES: Final = 24  # of an encoded outcome, without its texts
_MARKET_BYTES: Final = 128  # of an encoded market, without its outcomes and its key


def market_bytes(key: MarketKey, outcomes: Iterable[Outcome]) -> int:
    """Return an upper bound of a market's encoded size, in bytes."""
    size = _MARKET_BYTES + sum(_utf8_bytes(part) for part in key)
    for outcome in outcomes:
        size += _OUTCOME_BYTES + _utf8_bytes(outcome.key) + _utf8_bytes(outcome.name)
    return size


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
