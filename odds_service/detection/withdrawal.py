"""Withdrawal of odds that the settings no longer ask for; no answer would ever remove them."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec.structs import replace

from odds_service.detection.departure import drop_sources, lose_odds
from odds_service.detection.intents import EventIntent, Look
from odds_service.model.asks import AsksChange
from odds_service.model.change import Reason
from odds_service.model.observation import Scope
from odds_service.model.snapshot import BookmakerOdds, EventOdds, EventSource

Changed = Mapping[str, AsksChange]  # by source


def due_for_withdrawal(events: Mapping[str, EventOdds], changed: Changed) -> list[str]:
    """Return the sorted ids of the events with sources or odds that are no longer asked for."""
    return sorted(
        event_id
        for event_id, entry in events.items()
        if any(_leaves(carried, changed) for carried in entry.sources.values())
        or any(_types_leaving(odds, changed) for odds in entry.bookmakers.values())
    )


def withdraw(
    events: Mapping[str, EventOdds], event_ids: Iterable[str], changed: Changed, at: datetime
) -> list[EventIntent]:
    """Remove sources and odds that are no longer asked for, with reason `no_longer_asked`.

    A departing source removes its odds; the event ends with its last source.

    Args:
        events: the entries of the cache, by event id.
        event_ids: the events to check, from due_for_withdrawal().
        changed: the sources whose settings differ from those of the last run.
        at: the time by the wall clock.
    """
    intents: list[EventIntent] = []
    for event_id in event_ids:
        entry = events[event_id]
        leaving = sorted(name for name, each in entry.sources.items() if _leaves(each, changed))
        event, sources = entry.event, entry.sources
        if leaving:
            intents += drop_sources(entry, leaving, Reason.NO_LONGER_ASKED, at)
            event, sources = intents[-1].event, intents[-1].sources
            if not sources:
                continue
        odds = [
            lost
            for key in sorted(entry.bookmakers)
            if key[0] not in leaving
            and (types := _types_leaving(entry.bookmakers[key], changed))
            and (
                lost := lose_odds(
                    entry.bookmakers[key], Scope(markets=types), Reason.NO_LONGER_ASKED
                )
            )
        ]
        if odds:
            intents.append(EventIntent(Look(odds[0].key[0], at), event, sources, odds=odds))
    return intents


def doubt(entry: EventOdds, changed: Changed) -> EventOdds:
    """Mark the odds of sources with changed settings as stale until this run confirms them."""
    if changed.keys().isdisjoint(entry.sources) and all(
        source not in changed for source, _ in entry.bookmakers
    ):
        return entry
    bookmakers = {
        key: replace(odds, doubted=True) if key[0] in changed else odds
        for key, odds in entry.bookmakers.items()
    }
    return replace(entry, bookmakers=bookmakers)


def _leaves(carried: EventSource, changed: Changed) -> bool:
    """Return whether a source can no longer show an event."""
    change = changed.get(carried.source)
    if change is None:
        return False
    before, now = change.before, change.now
    if now is None or (before is not None and before.kind != now.kind):
        return True
    if before is not None and before.sports - now.sports and now.listings is None:
        return True  # only the provider knows the event's sport, so drop every event
    return now.listings is not None and (carried.listing or "") not in now.listings


def _types_leaving(odds: BookmakerOdds, changed: Changed) -> frozenset[str]:
    """Return the market types of a bookmaker that the settings no longer ask for.

    Types that the source showed without being asked stay until a complete answer lacks them.
    """
    change = changed.get(odds.source)
    if change is None or change.now is None:
        return frozenset()
    bookmakers, markets = change.now.bookmakers, change.now.markets
    held = frozenset(key.market for key in odds.markets)
    if bookmakers is not None and odds.bookmaker not in bookmakers:
        return held
    if markets is None or change.before is None or change.before.markets is None:
        return frozenset()
    return held & (change.before.markets - markets)
