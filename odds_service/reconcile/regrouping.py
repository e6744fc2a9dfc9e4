"""Moves of source events to other events, as un-numbered intents. Pure functions.

When two events turn out to be one, one of them ends (`merged`, with the id of the other) and its
odds are ADDED to the other. When an event turns out to be two, the odds of the moving sources are
REMOVED (`split`) and ADDED to their new event. Removals come before additions, so no reader of the
log ever holds a price in two events. Odds that move keep their times, since they were not fetched
again.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from odds_service.detection.departure import end_of_event, lose_sources
from odds_service.detection.intents import EventDifference, EventIntent, Look, OddsArrive
from odds_service.model.change import ChangeKind, Reason
from odds_service.model.event import Event, EventStatus, status_of
from odds_service.model.match import Move, ShownEvent
from odds_service.model.snapshot import BookmakerOdds, EventOdds, EventSource, told_statuses


class Moved(Struct, frozen=True):
    """The result of moving source events between events.

    Args:
        intents: in the order of event ids, departures before arrivals.
        entries: event id -> the event with the moves applied, None if it ends. Odds keep the
            numbers that they have in the cache.
    """

    intents: tuple[EventIntent, ...] = ()
    entries: Mapping[str, EventOdds | None] = {}

    def upon(self, events: Mapping[str, EventOdds]) -> Mapping[str, EventOdds]:
        """Return the entries of the cache with the moves applied."""
        if not self.entries:
            return events
        held = {**events, **self.entries}
        return {event_id: entry for event_id, entry in held.items() if entry is not None}


class _Arrival(Struct, frozen=True):
    """A source event and the odds of its bookmakers, for insertion into another event."""

    carried: EventSource
    bookmakers: tuple[BookmakerOdds, ...]
    draws_lost: tuple[tuple[str, str, str], ...]


def move(events: Mapping[str, EventOdds], moves: Sequence[Move], at: datetime) -> Moved:
    """Move source events to other events; rematch() handles moves within an event.

    Args:
        events: the entries of the cache, by event id.
        moves: the moves from the reconciler.
        at: the time of the observation that causes the moves.
    """
    leaving = _by_event(moves)
    if not leaving:
        return Moved()
    intents: list[EventIntent] = []
    entries: dict[str, EventOdds | None] = {}
    arrivals: dict[str, list[_Arrival]] = {}
    for event_id, going in leaving.items():
        entry = events[event_id]
        for each in going:
            arrivals.setdefault(each.placed.event_id, []).append(_arrival(entry, each))
        intent = _take_out(entry, going, at)
        intents.append(intent)
        entries[event_id] = _left_behind(entry, intent)
    for event_id in sorted(arrivals):
        coming = sorted(arrivals[event_id], key=lambda arrival: arrival.carried.source)
        target = entries[event_id] if event_id in entries else events.get(event_id)
        intent = _put_in(target, event_id, coming, at)
        intents.append(intent)
        bookmakers = {} if target is None else dict(target.bookmakers)
        bookmakers |= {odds.key: odds for arrival in coming for odds in arrival.bookmakers}
        entries[event_id] = EventOdds(intent.event, intent.sources, bookmakers)
    return Moved(tuple(intents), entries)


def rematch(
    events: Mapping[str, EventOdds],
    moves: Sequence[Move],
    intents: Sequence[EventIntent],
    at: datetime,
) -> tuple[EventIntent, ...]:
    """Return intents with the new matches of source events that stay in their event.

    A change of the event in the same commit includes the new match. Otherwise the match becomes a
    change of its own (`rematched`), since only the log is stored.

    Args:
        events: the entries of the cache, by event id.
        moves: the moves from the reconciler; move() handles those to another event.
        intents: all previous intents of the observation.
        at: the time of the observation.
    """
    found: list[EventIntent] = []
    for each in moves:
        event_id = each.placed.event_id
        if each.from_event != event_id:
            continue
        before = [intent for intent in (*intents, *found) if intent.event.id == event_id]
        entry = before[-1] if before else events.get(event_id)
        source, source_event_id = each.ref
        carried = None if entry is None else entry.sources.get(source)
        if entry is None or carried is None or carried.source_event_id != source_event_id:
            continue  # departed in the same observation
        fresh = replace(carried, shown=each.placed.shown, match=each.placed.match)
        event, first = entry.event, None
        if all(intent.first is None and intent.last is None for intent in before):
            first = EventDifference(ChangeKind.EVENT_UPDATED, Reason.REMATCHED, event, event)
        sources = {**entry.sources, source: fresh}
        found.append(EventIntent(Look(source, at), event, sources, first, rows=[fresh]))
    return tuple(found)


def _by_event(moves: Sequence[Move]) -> dict[str, list[Move]]:
    """Return the moves to other events, by the event that they leave, in order."""
    leading: dict[str, list[Move]] = {}
    for each in sorted(moves, key=lambda each: (each.from_event, each.ref)):
        if each.from_event != each.placed.event_id:
            leading.setdefault(each.from_event, []).append(each)
    return leading


def _arrival(entry: EventOdds, moving: Move) -> _Arrival:
    source, placed = moving.ref[0], moving.placed
    carried = replace(entry.sources[source], shown=placed.shown, match=placed.match)
    odds = tuple(
        replace(odds, markets=dict(sorted(odds.markets.items())))
        for key, odds in sorted(entry.bookmakers.items())
        if key[0] == source
    )
    lost = tuple(each for each in entry.event.draws_lost if each[0] == source)
    return _Arrival(carried, odds, lost)


def _take_out(entry: EventOdds, going: Sequence[Move], at: datetime) -> EventIntent:
    """Return the removal of source events from an event, or the end of the event."""
    event = entry.event
    names = {each.ref[0] for each in going}
    look = Look(going[0].ref[0], at)
    if entry.sources.keys() <= names:
        targets = {each.placed.event_id for each in going}
        merged_into = targets.pop() if len(targets) == 1 else ""
        reason = Reason.MERGED if merged_into else Reason.SPLIT
        return end_of_event(entry, reason, look, merged_into)
    sources = {name: kept for name, kept in entry.sources.items() if name not in names}
    updated = _without(event, sources, at)
    return EventIntent(
        look,
        updated,
        sources,
        EventDifference(ChangeKind.EVENT_UPDATED, Reason.SPLIT, event, updated),
        lose_sources(entry, names, Reason.SPLIT),
    )


def _left_behind(entry: EventOdds, intent: EventIntent) -> EventOdds | None:
    """Return an event without the sources that an intent removes, or None if none is left."""
    if not intent.sources:
        return None
    bookmakers = {key: odds for key, odds in entry.bookmakers.items() if key[0] in intent.sources}
    return EventOdds(intent.event, intent.sources, bookmakers)


def _without(event: Event, sources: Mapping[str, EventSource], at: datetime) -> Event:
    """Return the event as described by the first remaining source."""
    ids = {name: id_ for name, id_ in event.source_ids.items() if name in sources}
    shown = sources[next(iter(ids))].shown if ids else None
    if shown is None or next(iter(event.source_ids)) in ids:
        told = told_statuses(sources)
        status = status_of(told, event.start_time, at)
        return replace(event, source_ids=ids, told=told, status=status)
    return _event(event.id, shown, ids, told_statuses(sources), at)


def _event(
    event_id: str,
    shown: ShownEvent,
    ids: dict[str, str],
    told: dict[str, EventStatus],
    at: datetime,
) -> Event:
    return Event(
        id=event_id,
        sport=shown.sport,
        competition=shown.competition,
        home=shown.home,
        away=shown.away,
        start_time=shown.start_time,
        status=status_of(told, shown.start_time, at),
        source_ids=ids,
        told=told,
    )


def _put_in(
    entry: EventOdds | None, event_id: str, arrivals: Sequence[_Arrival], at: datetime
) -> EventIntent:
    """Return the insertion of source events into an event, which is new if `entry` is None."""
    ids = {arrival.carried.source: arrival.carried.source_event_id for arrival in arrivals}
    told = told_statuses({arrival.carried.source: arrival.carried for arrival in arrivals})
    lost = {each for arrival in arrivals for each in arrival.draws_lost}
    if entry is None:
        shown = next(arrival.carried.shown for arrival in arrivals if arrival.carried.shown)
        event = _event(event_id, shown, ids, told, at)
        event = replace(event, draws_lost=tuple(sorted(lost)))
        sources = {}
        first = EventDifference(ChangeKind.EVENT_ADDED, Reason.SPLIT, None, event)
    else:
        told = entry.event.told | told
        event = replace(
            entry.event,
            source_ids=entry.event.source_ids | ids,
            told=told,
            draws_lost=tuple(sorted(lost.union(entry.event.draws_lost))),
            status=status_of(told, entry.event.start_time, at),
        )
        sources = dict(entry.sources)
        first = EventDifference(ChangeKind.EVENT_UPDATED, Reason.MERGED, entry.event, event)
    carried = [arrival.carried for arrival in arrivals]
    return EventIntent(
        Look(carried[0].source, at),
        event,
        sources | {each.source: each for each in carried},
        first,
        [OddsArrive(odds, first.reason) for arrival in arrivals for odds in arrival.bookmakers],
        rows=carried,
    )
