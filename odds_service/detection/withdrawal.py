"""Withdrawal of odds that the settings ask for no more: no answer could ever show them gone."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec.structs import replace

from odds_service.detection.departure import purge
from odds_service.detection.numbering import Detected, lose_bookmaker
from odds_service.model.asks import AsksChange
from odds_service.model.change import Reason
from odds_service.model.observation import Scope, nothing_seen
from odds_service.model.snapshot import BookmakerOdds, EventOdds, EventSource

Changed = Mapping[str, AsksChange]  # by source


def due_for_withdrawal(events: Mapping[str, EventOdds], changed: Changed) -> list[str]:
    """Return the ids of events that hold something which is asked for no more, in order."""
    return sorted(
        event_id
        for event_id, entry in events.items()
        if any(_leaves(carried, changed) for carried in entry.sources.values())
        or any(_types_leaving(odds, changed) for odds in entry.bookmakers.values())
    )


def withdraw(
    events: Mapping[str, EventOdds],
    event_ids: Iterable[str],
    changed: Changed,
    *,
    first_revision: int,
    detected_at: datetime,
    wall_at: datetime | None = None,
) -> Detected:
    """Let go of what is asked for no more.

    Args:
        events: what the cache holds.
        event_ids: the events to look at, as due_for_withdrawal() gives them.
        changed: the sources whose settings ask for something else than in the last run.
        first_revision: number of the first change.
        detected_at: time of all changes.
        wall_at: the wall clock then, where it told another time.

    Returns:
        Changes with reason `no_longer_asked`. A source that leaves an event takes its odds along;
        the event ends with its last source.
    """
    found = Detected(first_revision, detected_at, wall_at)
    for event_id in event_ids:
        entry = events[event_id]
        leaving = {name for name, each in entry.sources.items() if _leaves(each, changed)}
        if leaving:
            found.add(
                purge(
                    events,
                    {event_id: leaving},
                    first_revision=found.next_revision,
                    detected_at=detected_at,
                    wall_at=wall_at,
                    reason=Reason.NO_LONGER_ASKED,
                )
            )
            left = found.entries[event_id]
            if left is None:
                continue
            entry = left
        bookmakers = dict(entry.bookmakers)
        for key in sorted(bookmakers):
            types = _types_leaving(bookmakers[key], changed)
            if types:
                seen = replace(
                    nothing_seen(key[0], wall_at or detected_at), scope=Scope(markets=types)
                )
                lose_bookmaker(
                    found, bookmakers, bookmakers[key], seen, entry.event, Reason.NO_LONGER_ASKED
                )
        found.entries[event_id] = replace(entry, bookmakers=bookmakers)
    return found


def doubt(entry: EventOdds, changed: Changed) -> EventOdds:
    """Mark stored odds of sources whose settings differ: stale until this run confirms them."""
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
    """Return whether a source cannot show an event at all any more."""
    change = changed.get(carried.source)
    if change is None:
        return False
    before, now = change.before, change.now
    if now is None or (before is not None and before.kind != now.kind):
        return True
    if before is not None and before.sports - now.sports and now.listings is None:
        return True  # whose events stand in which sport is the provider's to say: all come anew
    return now.listings is not None and (carried.listing or "") not in now.listings


def _types_leaving(odds: BookmakerOdds, changed: Changed) -> frozenset[str]:
    """The market types of a bookmaker that its source is not asked for any more.

    Types that were shown unasked stay: the next complete answer tells.
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
