"""Absences and departures of sources, and ends of events, as un-numbered intents."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from odds_service.detection.intents import (
    EventDifference,
    EventIntent,
    Look,
    OddsDiffer,
    OddsMissed,
)
from odds_service.model.change import ChangeKind, Reason
from odds_service.model.difference import compare_markets
from odds_service.model.event import EventStatus, status_of
from odds_service.model.observation import Observation, Scope
from odds_service.model.snapshot import (
    BookmakerOdds,
    EventOdds,
    EventSource,
    Seen,
    told_statuses,
)

# In the recordings, events missing from one response returned unchanged in the next.
ABSENCES_UNTIL_GONE: Final = 2
_EVERYTHING: Final = Scope()


def purge(
    events: Mapping[str, EventOdds],
    due: Mapping[str, AbstractSet[str]],
    at: datetime,
    reason: str = Reason.PURGED,
) -> list[EventIntent]:
    """Drop sources that no longer confirm their events.

    An event that loses its last source ends, with a single change.

    Args:
        events: the entries of the cache, by event id.
        due: event id -> the sources to drop.
        at: the time by the wall clock.
        reason: the reason of the changes.
    """
    intents: list[EventIntent] = []
    for event_id in sorted(due):
        entry = events.get(event_id)
        if entry is not None:
            going = sorted(due[event_id] & entry.sources.keys())
            intents += drop_sources(entry, going, reason, at)
    return intents


def drop_sources(
    entry: EventOdds, going: list[str], reason: str, at: datetime
) -> Iterator[EventIntent]:
    """Yield the departures of an event's sources in turn, or the end of the event.

    Args:
        entry: the event in the cache.
        going: the sources to drop, in order.
        reason: the reason of the changes.
        at: the time by the wall clock.
    """
    if len(going) == len(entry.sources):
        yield _end_event(entry, reason, Look(going[0], at))
        return
    for source in going:
        intent = _drop_source(entry, reason, Look(source, at))
        yield intent
        bookmakers = {key: odds for key, odds in entry.bookmakers.items() if key[0] != source}
        entry = EventOdds(intent.event, intent.sources, bookmakers)


def missing(
    events: Mapping[str, EventOdds],
    named: AbstractSet[str],
    observation: Observation,
    present: AbstractSet[str],
) -> Iterator[EventOdds]:
    """Yield the cached events that a complete observation lacks, in the order of ids.

    Args:
        events: the cached entries, by event id.
        named: our ids of the events that the observation shows.
        observation: a complete observation.
        present: the source's ids of the events in other slices of the same fetch.
    """
    scope = observation.scope
    if scope.events is not None:
        # All events of the pull were present: no need to search the cache.
        shown = {observed.source_event_id for observed in observation.events}
        if scope.events <= shown | observation.unreadable | present:
            return
    for event_id in sorted(events):
        entry = events[event_id]
        carried = entry.sources.get(observation.source)
        if carried is None or event_id in named:
            continue
        if scope.events is not None:
            if carried.source_event_id not in scope.events:
                continue
        elif scope.listing is not None and carried.listing != scope.listing:
            continue
        if carried.source_event_id not in observation.unreadable | present:
            yield entry


def miss_event(entry: EventOdds, sequence: int, look: Look) -> EventIntent:
    """Return the intent for an absence of an event from its source.

    The first absence only leaves the odds unconfirmed; the one that reaches ABSENCES_UNTIL_GONE
    makes the source depart.

    Args:
        entry: the event in the cache.
        sequence: the number of the request whose answer lacks the event.
        look: the source, and the time of its answer.
    """
    source, event = look.source, entry.event
    carried = entry.sources[source]
    if carried.absences + 1 < ABSENCES_UNTIL_GONE:
        missed = replace(carried, absences=carried.absences + 1, applied=sequence)
        return EventIntent(
            look,
            event,
            {**entry.sources, source: missed},
            odds=[OddsMissed(key) for key in entry.bookmakers if key[0] == source],
        )
    started = look.at >= event.start_time
    return _drop_source(entry, Reason.EVENT_ENDED if started else Reason.SOURCE_REMOVED, look)


def lose_odds(
    current: BookmakerOdds, scope: Scope = _EVERYTHING, reason: str = Reason.SOURCE_REMOVED
) -> OddsDiffer | None:
    """Return the removal of a bookmaker's markets within a scope, or None if there are none.

    Args:
        current: the bookmaker's odds.
        scope: the markets to remove.
        reason: the reason of each REMOVED.
    """
    differences = compare_markets(
        current.markets, None, scope.markets, reason, elsewhere=scope.elsewhere
    )
    if not differences:
        return None
    return OddsDiffer(current.key, differences, current.source_updated_at, _unseen(current))


def lose_sources(entry: EventOdds, sources: Iterable[str], reason: str) -> tuple[OddsDiffer, ...]:
    """Return the removals of all odds of an event from the given sources, in key order."""
    going = set(sources)
    lost = (
        lose_odds(entry.bookmakers[key], reason=reason)
        for key in sorted(entry.bookmakers)
        if key[0] in going
    )
    return tuple(each for each in lost if each is not None)


def end_of_event(entry: EventOdds, reason: str, look: Look, merged_into: str = "") -> EventIntent:
    """Return the end of an event, which ends all its odds.

    Args:
        entry: the event in the cache.
        reason: the reason of EVENT_ENDED.
        look: the source and the time of the change.
        merged_into: the id of the event that its sources now belong to; empty if they departed.
    """
    ended = replace(entry.event, status=EventStatus.ENDED, merged_into=merged_into)
    first = EventDifference(ChangeKind.EVENT_ENDED, reason, entry.event, ended)
    return EventIntent(look, ended, {}, first)


def is_late(carried: EventSource | None, observation: Observation) -> bool:
    """Return whether a newer observation was already applied to the event."""
    return (
        carried is not None
        and carried.applied is not None
        and observation.sequence < carried.applied
    )


def _drop_source(entry: EventOdds, reason: str, look: Look) -> EventIntent:
    """Return the departure of a source with its odds; the last departure ends the event."""
    source, event = look.source, entry.event
    sources = {name: carried for name, carried in entry.sources.items() if name != source}
    if not sources:
        return _end_event(entry, reason, look)
    kept = {name: id_ for name, id_ in event.source_ids.items() if name != source}
    told = told_statuses(sources)
    status = status_of(told, event.start_time, look.at)
    updated = replace(event, source_ids=kept, told=told, status=status)
    return EventIntent(
        look,
        updated,
        sources,
        EventDifference(ChangeKind.EVENT_UPDATED, Reason.SOURCE_LEFT, event, updated),
        lose_sources(entry, [source], reason),
        rows=[_departed(entry.sources[source], look)],
    )


def _end_event(entry: EventOdds, reason: str, look: Look) -> EventIntent:
    """Return the end of an event whose sources all depart."""
    rows = [_departed(carried, look) for _, carried in sorted(entry.sources.items())]
    return replace(end_of_event(entry, reason, look), rows=rows)


def _departed(carried: EventSource, look: Look) -> EventSource:
    """Return the last state of a source event, with the time of its departure."""
    return replace(carried, departed_at=look.at)


def _unseen(current: BookmakerOdds) -> dict[str, Seen]:
    """Return the last confirmation of each type, after an answer that confirms none of them."""
    last = Seen(current.confirmed_at, current.confirmed_boot_s)
    return {key.market: current.lagging.get(key.market, last) for key in current.markets}
