"""What changed between the odds that are cached and those observed: pure functions.

Nothing here awaits, reads a clock or touches a database; `detect` is given all that it judges by
and gives back numbered changes together with the values that the cache holds from then on.
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from odds_service.detection.confirming import is_confirmed, lagging_types
from odds_service.detection.departure import is_late, miss_event, missing
from odds_service.detection.numbering import (
    Detected,
    apply_differences,
    change_event,
    lose_bookmaker,
)
from odds_service.model.change import ChangeKind, MarketChange, Reason, SourceChange
from odds_service.model.difference import compare_markets
from odds_service.model.draws import includes_draw, lost_draw
from odds_service.model.event import Event, EventStatus, status_of
from odds_service.model.match import Placed
from odds_service.model.observation import (
    ANY,
    Completeness,
    Observation,
    ObservedBookmaker,
    ObservedEvent,
    Scope,
)
from odds_service.model.snapshot import (
    BookmakerKey,
    BookmakerOdds,
    EventOdds,
    EventSource,
    told_statuses,
)
from odds_service.model.source import SourceState, SourceStatus

_SOURCE_KINDS: Final = {
    SourceStatus.UP: ChangeKind.SOURCE_UP,
    SourceStatus.STALE: ChangeKind.SOURCE_STALE,
    SourceStatus.DOWN: ChangeKind.SOURCE_DOWN,
}

Identify = Callable[[str, ObservedEvent], Placed]  # (source, event as it showed it) -> where it is


def detect(
    events: Mapping[str, EventOdds],
    observation: Observation,
    identify: Identify,
    *,
    first_revision: int,
    detected_at: datetime,
    wall_at: datetime | None = None,
    present: AbstractSet[str] = frozenset(),
) -> Detected:
    """Compare an observation with what is cached.

    Events are taken in the order of their ids, so that a payload's order changes nothing.
    A failed observation gives nothing here: it only bears on its source's state.
    wall_at: the wall clock, where detected_at is not that.
    present: source's ids of events that other slices of the same fetch showed.
    """
    found = Detected(first_revision, detected_at, wall_at)
    if observation.completeness is Completeness.FAILED:
        return found
    named: dict[str, tuple[ObservedEvent, Placed]] = {}
    for observed in observation.events:
        placed = identify(observation.source, observed)
        if named.setdefault(placed.event_id, (observed, placed))[0] is not observed:
            found.duplicates += 1
    for event_id in sorted(named):
        _see_event(found, events.get(event_id), *named[event_id], observation)
    if observation.completeness is Completeness.COMPLETE and ANY not in observation.unreadable:
        for entry in missing(events, named.keys(), observation, present):
            miss_event(found, entry, observation)
    return found


def _see_event(
    found: Detected,
    entry: EventOdds | None,
    observed: ObservedEvent,
    placed: Placed,
    observation: Observation,
) -> None:
    event_id, source = placed.event_id, observation.source
    carried = None if entry is None else entry.sources.get(source)
    if is_late(carried, observation):
        found.late += 1
        return
    event = _described(entry, event_id, observed, observation)
    listing = _listing(carried, observation.scope)
    fresh = EventSource(
        source,
        observed.source_event_id,
        listing,
        observation.sequence,
        shown=placed.shown,
        match=placed.match,
        told=observed.status,
        seen_boot_s=observation.observed_boot_s,
    )
    moved = carried is None or _differs(carried, fresh)
    if entry is None:
        change_event(found, ChangeKind.EVENT_ADDED, "", None, event, observation)
    elif event != entry.event or moved:
        relisted = carried is not None and carried.listing != listing
        reason = _why_updated(entry.event, event, relisted=relisted)
        change_event(found, ChangeKind.EVENT_UPDATED, reason, entry.event, event, observation)
    bookmakers = {} if entry is None else dict(entry.bookmakers)
    first = len(found.changes)
    for shown in sorted(observed.bookmakers, key=lambda shown: shown.bookmaker):
        _see_bookmaker(found, bookmakers, event_id, shown, observation)
    shown_names = {shown.bookmaker for shown in observed.bookmakers}
    for key in sorted(bookmakers):
        if key[0] == source and _may_be_gone(key[1], shown_names, observed, observation.scope):
            lose_bookmaker(found, bookmakers, bookmakers[key], observation, event)
    event = _without_draws(found, first, event, observation)
    sources = {} if entry is None else dict(entry.sources)
    sources[source] = fresh
    if moved:
        found.event_sources.append((event_id, fresh))
    found.entries[event_id] = EventOdds(event, sources, bookmakers)


def _see_bookmaker(
    found: Detected,
    bookmakers: dict[BookmakerKey, BookmakerOdds],
    event_id: str,
    shown: ObservedBookmaker,
    observation: Observation,
) -> None:
    key = observation.source, shown.bookmaker
    current = bookmakers.get(key)
    found.markets += len(shown.markets)
    differences = compare_markets(
        {} if current is None else current.markets,
        shown,
        observation.scope.markets,
        elsewhere=observation.scope.elsewhere,
    )
    lagging = lagging_types(current, shown, observation)
    if differences or current is None:
        if not differences:
            return  # listed without a market, and not known before: nothing to show
        updated = apply_differences(
            found, current, event_id, shown.bookmaker, differences, observation,
            shown.source_updated_at, lagging,
        )  # fmt: skip
        found.snapshots.append(updated.snapshot())
    elif not is_confirmed(current, lagging):
        updated = current  # listed, and nothing of it could be read: not seen, and not absent
    else:
        updated = replace(
            current,
            observed_at=observation.observed_at,
            confirmed_at=observation.observed_at,
            source_updated_at=shown.source_updated_at,
            confirmed_boot_s=observation.observed_boot_s,
            lagging=lagging,
            doubted=False,
        )
        found.confirmed.append(updated)
    if updated.markets:
        bookmakers[key] = updated
    else:
        bookmakers.pop(key, None)


def _differs(carried: EventSource, fresh: EventSource) -> bool:
    """Return whether what is kept of how a source carries an event differs."""
    return (
        carried.listing != fresh.listing
        or carried.source_event_id != fresh.source_event_id
        or (carried.shown is not fresh.shown and carried.shown != fresh.shown)
        or carried.match != fresh.match
        or carried.told is not fresh.told
    )


def _listing(carried: EventSource | None, scope: Scope) -> str | None:
    """Where the event's absence is judged: it stays with a listing until that one lacks it.

    So an event that stands in two listings does not move to and fro.
    """
    if carried is None or (scope.listing is not None and carried.absences > 0):
        return scope.listing
    return scope.listing if carried.listing is None else carried.listing


def _may_be_gone(bookmaker: str, shown: set[str], observed: ObservedEvent, scope: Scope) -> bool:
    """Return whether the absence of a bookmaker from a present event says that it is gone."""
    return (
        bookmaker not in shown
        and bookmaker not in observed.unreadable
        and ANY not in observed.unreadable
        and (scope.bookmakers is None or bookmaker in scope.bookmakers)
    )


def _described(
    entry: EventOdds | None, event_id: str, observed: ObservedEvent, observation: Observation
) -> Event:
    """The event as it is now known.

    The source that carried it first describes it (names, start), so that two sources that
    disagree do not make it flip-flop. Its status is the furthest that a source told at its last
    look; the clock only counts while none tells any.
    """
    source = observation.source
    if entry is None:
        known = None
        source_ids = {source: observed.source_event_id}
    else:
        known = entry.event
        source_ids = known.source_ids | {source: observed.source_event_id}
    describes = known is None or next(iter(known.source_ids), source) == source
    start_time = observed.start_time if describes or known is None else known.start_time
    told = {} if entry is None else told_statuses(entry.sources)
    told.pop(source, None)
    if observed.status is not None:
        told[source] = observed.status
    status = status_of(told, start_time, observation.observed_at)
    if known is not None and not describes:
        return replace(known, status=status, source_ids=source_ids, told=told)
    return Event(
        id=event_id,
        sport=observed.sport,
        competition=observed.competition,
        home=observed.home,
        away=observed.away,
        start_time=start_time,
        status=status,
        source_ids=source_ids,
        title=observed.title,
        told=told,
        draws_lost=() if known is None else known.draws_lost,
    )


def _without_draws(found: Detected, first: int, event: Event, observation: Observation) -> Event:
    """The event, with the markets that have just lost their draw written down.

    The market itself may go and come back, so it is no place to keep that. first: where the changes
    of this event's markets begin.
    """
    lost = {
        (change.source, change.bookmaker, change.after.key.market)
        for change in found.changes[first:]
        if isinstance(change, MarketChange)
        and lost_draw(change.before, change.after)
        and not includes_draw(event.sport, event.competition, change.after.key.market)
    }.difference(event.draws_lost)
    if not lost:
        return event
    updated = replace(event, draws_lost=tuple(sorted(lost.union(event.draws_lost))))
    change_event(found, ChangeKind.EVENT_UPDATED, Reason.DRAW_LOST, event, updated, observation)
    return updated


def _why_updated(before: Event, after: Event, *, relisted: bool) -> str:
    """The most telling reason; the change itself carries all that differs."""
    if (before.home, before.away) == (after.away, after.home) != (before.away, before.home):
        return Reason.SIDES_SWAPPED
    if before.status is EventStatus.SCHEDULED and after.status is EventStatus.IN_PLAY:
        return Reason.EVENT_STARTED
    if before.start_time != after.start_time:
        return Reason.START_MOVED
    if before.source_ids.keys() != after.source_ids.keys():
        return Reason.SOURCE_JOINED
    if before != after and before == replace(after, told=before.told, status=before.status):
        return Reason.STATUS_TOLD
    if before != after:
        return Reason.RENAMED
    return Reason.LISTING_MOVED if relisted else Reason.REMATCHED


def source_change(
    before: SourceState,
    after: SourceState,
    *,
    revision: int,
    detected_at: datetime,
    wall_at: datetime | None = None,
) -> tuple[SourceState, SourceChange | None]:
    """Number a change of a source's status, if it differs from the last one announced.

    A STALE that only says `starting` is never announced: a restart is no change.
    """
    status = after.status
    if status is after.announced or (status is SourceStatus.STALE and after.announced is None):
        return after, None
    announced = replace(after, announced=status)
    change = SourceChange(
        revision,
        _SOURCE_KINDS[status],
        after.reason,
        after.source,
        wall_at or detected_at,
        detected_at,
        before,
        announced,
        wall_at=wall_at,
    )
    return announced, change
