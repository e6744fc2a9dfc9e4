"""What a source shows no more: absences, and the ends of events."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from odds_service.detection.numbering import Detected, change_event, lose_bookmaker
from odds_service.model.change import ChangeKind, Reason
from odds_service.model.event import EventStatus, status_of
from odds_service.model.observation import Observation, Scope, nothing_seen
from odds_service.model.snapshot import (
    BookmakerOdds,
    EventOdds,
    EventSource,
    told_statuses,
)

ABSENCES_UNTIL_GONE: Final = 2  # every event lost to one transient empty list came back unchanged
_MICROSECOND: Final = timedelta(microseconds=1)


def purge(
    events: Mapping[str, EventOdds],
    due: Mapping[str, AbstractSet[str]],
    *,
    first_revision: int,
    detected_at: datetime,
    wall_at: datetime | None = None,
    reason: str = Reason.PURGED,
) -> Detected:
    """Let sources go that no longer confirm their events: event id -> those of its sources.

    With the last of its sources the event leaves; that is one change, as any event's end.
    """
    found = Detected(first_revision, detected_at, wall_at)
    for event_id in sorted(due):
        entry = events.get(event_id)
        if entry is None:
            continue
        going = sorted(due[event_id] & entry.sources.keys())
        if len(going) == len(entry.sources):
            _end_event(found, entry, reason, nothing_seen(going[0], wall_at or detected_at))
            continue
        for source in going:
            _drop_source(found, entry, reason, nothing_seen(source, wall_at or detected_at))
            entry = found.entries[event_id] or entry
    return found


def missing(
    events: Mapping[str, EventOdds],
    named: AbstractSet[str],
    observation: Observation,
    present: AbstractSet[str],
) -> Iterator[EventOdds]:
    """The cached events that a complete observation should have shown, in the order of ids."""
    scope = observation.scope
    if scope.events is not None:
        # A pull of single events that were all there: no need to look through the cache.
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


def miss_event(found: Detected, entry: EventOdds, observation: Observation) -> None:
    """An event is absent: at the first time its odds are no longer confirmed, then it is gone."""
    source = observation.source
    carried = entry.sources[source]
    if is_late(carried, observation):
        found.late += 1
        return
    event = entry.event
    if carried.absences + 1 < ABSENCES_UNTIL_GONE:
        sources = dict(entry.sources)
        sources[source] = replace(
            carried, absences=carried.absences + 1, applied=observation.sequence
        )
        bookmakers = {
            key: _unconfirmed(odds, observation.observed_at) if key[0] == source else odds
            for key, odds in entry.bookmakers.items()
        }
        found.entries[event.id] = EventOdds(event, sources, bookmakers)
        return
    started = observation.observed_at >= event.start_time
    _drop_source(
        found, entry, Reason.EVENT_ENDED if started else Reason.SOURCE_REMOVED, observation
    )


def _unconfirmed(odds: BookmakerOdds, observed_at: datetime) -> BookmakerOdds:
    """Odds after a look that did not show them: that look is the later one, whatever clocks say."""
    return replace(odds, observed_at=max(observed_at, odds.confirmed_at + _MICROSECOND))


def _drop_source(found: Detected, entry: EventOdds, reason: str, observation: Observation) -> None:
    """A source no longer carries the event: its odds go, with the last source the event itself."""
    source, event = observation.source, entry.event
    sources = {name: carried for name, carried in entry.sources.items() if name != source}
    if not sources:
        _end_event(found, entry, reason, observation)
        return
    _depart(found, event.id, entry.sources[source], observation)
    bookmakers = dict(entry.bookmakers)
    kept = {name: id_ for name, id_ in event.source_ids.items() if name != source}
    told = told_statuses(sources)
    status = status_of(told, event.start_time, observation.observed_at)
    updated = replace(event, source_ids=kept, told=told, status=status)
    change_event(found, ChangeKind.EVENT_UPDATED, Reason.SOURCE_LEFT, event, updated, observation)
    whole = replace(observation, scope=Scope())
    for key in sorted(bookmakers):
        if key[0] == source:
            lose_bookmaker(found, bookmakers, bookmakers[key], whole, updated, reason)
    found.entries[event.id] = EventOdds(updated, sources, bookmakers)


def _end_event(found: Detected, entry: EventOdds, reason: str, observation: Observation) -> None:
    ended = replace(entry.event, status=EventStatus.ENDED)
    shown = tuple(entry.bookmakers[key] for key in sorted(entry.bookmakers))
    change_event(found, ChangeKind.EVENT_ENDED, reason, entry.event, ended, observation, shown)
    found.entries[ended.id] = None
    for _, carried in sorted(entry.sources.items()):
        _depart(found, ended.id, carried, observation)


def _depart(found: Detected, event_id: str, carried: EventSource, observation: Observation) -> None:
    """Remember what a source showed last, and until when, along with the event's change."""
    gone = replace(carried, departed_at=observation.observed_at)
    found.departed.append(gone)
    found.event_sources.append((event_id, gone))


def is_late(carried: EventSource | None, observation: Observation) -> bool:
    """Return whether a newer request than this observation's was applied to the event already."""
    return (
        carried is not None
        and carried.applied is not None
        and observation.sequence < carried.applied
    )
