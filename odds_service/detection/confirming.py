"""Confirmation: a look at a bookmaker confirms the market types that it showed, and no other."""

from collections.abc import Mapping

from odds_service.model.observation import ANY, ObservedBookmaker, Scope
from odds_service.model.snapshot import BookmakerOdds, Seen


def confirms_all(scope: Scope) -> bool:
    """Return whether an answer of this scope speaks of every type that a bookmaker can have."""
    return scope.markets is None or (scope.elsewhere is not None and not scope.elsewhere)


def lagging_types(
    current: BookmakerOdds, shown: ObservedBookmaker, scope: Scope
) -> Mapping[str, Seen]:
    """Return when each market type that this look does not confirm was last seen true.

    A type is confirmed when the answer speaks of it (Scope.covers) or shows every held market of
    it, and when no market of it was unreadable.

    Args:
        current: the bookmaker's odds before the look.
        shown: the bookmaker as the answer shows it.
        scope: the scope of the answer.

    Returns:
        Market type -> last sight, only for types that are held; empty in nearly all cases.
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
    """Return whether a look confirmed any of the types that are held."""
    return not lagging or any(key.market not in lagging for key in current.markets)
