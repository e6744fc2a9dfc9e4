"""Confirmation of odds: an observation confirms only the market types that it shows."""

from collections.abc import Mapping

from odds_service.model.observation import ANY, ObservedBookmaker, Scope
from odds_service.model.snapshot import BookmakerOdds, Seen


def confirms_all(scope: Scope) -> bool:
    """Return whether this scope includes every market type that a bookmaker can have."""
    return scope.markets is None or (scope.elsewhere is not None and not scope.elsewhere)


def lagging_types(
    current: BookmakerOdds, shown: ObservedBookmaker, scope: Scope
) -> Mapping[str, Seen]:
    """Return the last confirmations of the market types that this answer does not confirm.

    An answer confirms a type if its scope includes the type (Scope.covers) or it shows every cached
    market of the type, and if none of these markets was unreadable.

    Args:
        current: the bookmaker's odds before the answer.
        shown: the bookmaker as the answer shows it.
        scope: the scope of the answer.

    Returns:
        Market type -> last confirmation, only for cached types; nearly always empty.
    """
    unreadable = shown.unreadable
    if not unreadable and confirms_all(scope):
        return {}
    lagging: dict[str, Seen] = {}
    for key in current.markets:
        market = key.market
        if market in lagging:
            continue
        if ANY in unreadable or market in unreadable:
            confirmed = key in shown.markets and market not in unreadable
        else:
            confirmed = key in shown.markets or scope.covers(market)
        if not confirmed:
            lagging[market] = current.lagging.get(market) or Seen(
                current.confirmed_at, current.confirmed_boot_s
            )
    return lagging


def is_confirmed(current: BookmakerOdds, lagging: Mapping[str, Seen]) -> bool:
    """Return whether an answer confirmed any of the cached types."""
    return not lagging or any(key.market not in lagging for key in current.markets)
