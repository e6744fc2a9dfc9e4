"""Differences between a bookmaker's markets in two looks, including moved lines."""

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from odds_service.model.change import ChangeKind, Reason
from odds_service.model.market import (
    Market,
    MarketKey,
    MarketStatus,
    ObservedMarket,
    ObservedMarkets,
    same_prices,
)
from odds_service.model.observation import ANY, ObservedBookmaker

_PRICES: Final = ChangeKind.PRICES  # the most frequent kind, and enum members are slow to look up
_BY_KEY: Final = attrgetter("key")


class Difference(Struct, frozen=True, gc=False):
    """A difference of one market.

    Attributes:
        observed: The market as shown; None if it is gone or unreadable.
        other_line: The line that a moved line moved to or from.
    """

    key: MarketKey
    kind: ChangeKind
    reason: str = ""
    observed: ObservedMarket | None = None
    other_line: str | None = None


def compare_markets(
    current: Mapping[MarketKey, Market],
    observed: ObservedBookmaker | None,
    scope_markets: frozenset[str] | None = None,
    gone_reason: str = Reason.SOURCE_REMOVED,
    elsewhere: frozenset[str] | None = None,
) -> list[Difference]:
    """Return the differences between a bookmaker's cached and observed markets, in key order.

    The two halves of a moved line are adjacent. A market outside the scope, or of an unreadable
    type, is never REMOVED. Observed markets that tell from which ones they were made are compared
    only where they differ from these, if the cached ones match these.

    Args:
        current: The cached markets.
        observed: The bookmaker as shown; None if it is gone.
        scope_markets: See Scope.markets.
        gone_reason: The reason for each REMOVED.
        elsewhere: See Scope.elsewhere.
    """
    seen: Mapping[MarketKey, ObservedMarket] = {} if observed is None else observed.markets
    unreadable = frozenset() if observed is None else observed.unreadable
    looked_at, held = seen, current
    if type(seen) is ObservedMarkets:
        matched = matched_number(current)
        if matched == seen.number:
            return []
        if matched and matched == seen.since:
            looked_at = {key: seen[key] for key in seen.differing if key in seen}
            held = {key: current[key] for key in seen.differing if key in current}
        else:
            looked_at = seen.timed()
    differences: list[Difference] = []
    added = removed = 0
    for key, market in looked_at.items():
        cached = current.get(key)
        if (
            cached is not None
            and cached.status is market.status
            and (
                cached.outcomes == market.outcomes or same_prices(cached.outcomes, market.outcomes)
            )
        ):
            continue
        if cached is None:
            differences.append(Difference(key, ChangeKind.ADDED, observed=market))
            added += 1
        elif cached.status is not market.status:
            suspended = market.status is MarketStatus.SUSPENDED
            kind = ChangeKind.SUSPENDED if suspended else ChangeKind.RESUMED
            differences.append(Difference(key, kind, observed=market))
        else:
            differences.append(Difference(key, _PRICES, "", market))
    if len(seen) - added < len(current):
        for key, cached in held.items():
            if key in seen:
                continue
            if ANY in unreadable or key.market in unreadable:
                if cached.status is MarketStatus.OPEN:
                    kind = ChangeKind.SUSPENDED
                    differences.append(Difference(key, kind, Reason.UNREADABLE))
            elif (
                scope_markets is None
                or key.market in scope_markets
                or (elsewhere is not None and key.market not in elsewhere)
            ):
                differences.append(Difference(key, ChangeKind.REMOVED, gone_reason))
                removed += 1
    if len(differences) > 1:
        differences.sort(key=_BY_KEY)
    return _pair_moved_lines(differences) if added and removed else differences


def matched_number(current: Mapping[MarketKey, Market]) -> int:
    """Return the number of the observed markets that cached ones match; 0 if none is known."""
    return getattr(current, "matched", 0)


def number_after(
    current: Mapping[MarketKey, Market],
    seen: Mapping[MarketKey, ObservedMarket],
    differences: Iterable[Difference],
) -> int:
    """Return the number of the observed markets that the cached ones match with the differences.

    It is 0 if the observed markets have none, or if markets stay that were not observed.
    """
    if type(seen) is not ObservedMarkets:
        return 0
    markets = len(current)
    for difference in differences:
        if difference.kind is ChangeKind.ADDED:
            markets += 1
        elif difference.kind is ChangeKind.REMOVED:
            markets -= 1
    return seen.number if markets == len(seen) else 0


def _pair_moved_lines(differences: list[Difference]) -> list[Difference]:
    """Pair removed lines with the added lines that replace them, if the pairing is clear.

    It is clear if as many lines of a market type and participant were added as were removed. They
    are paired in numerical order.
    """
    went: dict[tuple[str, str], list[Difference]] = {}
    came: dict[tuple[str, str], list[Difference]] = {}
    for difference in differences:
        if difference.key.line:
            group = difference.key.market, difference.key.participant
            if difference.kind is ChangeKind.REMOVED:
                went.setdefault(group, []).append(difference)
            elif difference.kind is ChangeKind.ADDED:
                came.setdefault(group, []).append(difference)
    pairs: dict[MarketKey, Difference] = {}
    for group, old in went.items():
        new = came.get(group, [])
        if len(old) == len(new):
            pairs |= {
                gone.key: there for gone, there in zip(_by_line(old), _by_line(new), strict=True)
            }
    if not pairs:
        return differences
    arrivals = {there.key for there in pairs.values()}
    ordered: list[Difference] = []
    for difference in differences:
        there = pairs.get(difference.key)
        if there is not None and difference.kind is ChangeKind.REMOVED:
            lines = difference.key.line, there.key.line
            ordered.append(replace(difference, reason=Reason.LINE_MOVED, other_line=lines[1]))
            ordered.append(replace(there, reason=Reason.LINE_MOVED, other_line=lines[0]))
        elif difference.key not in arrivals:
            ordered.append(difference)
    return ordered


def _by_line(differences: Iterable[Difference]) -> list[Difference]:
    return sorted(differences, key=lambda difference: float(difference.key.line))
