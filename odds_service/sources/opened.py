"""Checks of a newly opened source, made before its first use."""

import math
from typing import Any, Final

import msgspec

from odds_service.errors import SettingsError
from odds_service.model.asks import Asks
from odds_service.model.text import told
from odds_service.sources.access import Access, access_of
from odds_service.sources.base import Pace, Source, Tier, asks_of
from odds_service.sources.fields import Wrong, key, name

_LONGEST_S: Final = 1e8  # upper bound of all intervals and delays: about three years
_MOST_AT_ONCE: Final = 1_000  # requests


def check_source(source: Source, expected_name: str) -> None:
    """Check the name, kind, pace, asks and access of a newly opened source.

    Raises:
        SettingsError: one of them is wrong; the text names it.
    """
    try:
        if source.name != expected_name:
            raise Wrong(f"it calls itself {told(source.name, 100)!r}")
        key(source.name)
        key(source.kind)
        _check_pace(source.pace)
        _check_asks(source)
        if type(access_of(source)) is not Access:
            raise Wrong("its access is not an Access")
    except Wrong as error:
        raise SettingsError(f"sources ({told(expected_name, 100)}): {error}") from None


def _check_pace(pace: Pace) -> None:
    if type(pace) is not Pace:
        raise Wrong("its pace is not a Pace")
    if type(pace.tiers) is not tuple or not pace.tiers:
        raise Wrong("its pace has no tiers")
    for tier in pace.tiers:
        if type(tier) is not Tier:
            raise Wrong("one of its tiers is not a Tier")
        name(tier.name)
        _seconds(f"tier {tier.name!r}: interval_s", tier.interval_s)
        _seconds(f"tier {tier.name!r}: target_s", tier.target_s)
        if tier.within_s is not None:
            _seconds(f"tier {tier.name!r}: within_s", tier.within_s, least=0.0)
    if pace.tiers[-1].within_s is not None:
        raise Wrong("its last tier has a within_s, so some events belong to none")
    if type(pace.concurrency) is not int or not 1 <= pace.concurrency <= _MOST_AT_ONCE:
        raise Wrong(f"concurrency {told(pace.concurrency, 40)} is not from 1 to {_MOST_AT_ONCE}")
    _seconds("discovery_s", pace.discovery_s)
    for field in ("requests_per_s", "quota_per_day"):
        value = getattr(pace, field)
        if value is not None:
            _seconds(field, value)
    if type(pace.by_event) is not bool:
        raise Wrong("by_event is not true or false")


def _check_asks(source: Source) -> None:
    """Check that the source's asks survive storage. Raises Wrong."""
    try:
        asks = asks_of(source)
        stored = msgspec.json.decode(msgspec.json.encode(asks), type=Asks)
    except Exception as error:  # the plug-in may raise anything
        raise Wrong(f"its asks() cannot be stored: {type(error).__name__}") from None
    if stored != asks:
        raise Wrong("its asks() changes when it is stored")


def _seconds(field: str, value: Any, *, least: float = 1e-6) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Wrong(f"{field} {told(value, 40)} is not a number")
    if not least <= value <= _LONGEST_S:
        raise Wrong(f"{field} {value} is not from {least:g} to {_LONGEST_S:g}")
