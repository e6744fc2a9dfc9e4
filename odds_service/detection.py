"""What changed between the odds that are cached and those observed: pure functions.

Nothing here awaits, reads a clock or touches a database; `detect` is given all that it judges by
and gives back numbered changes together with the values that the cache holds from then on.
"""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from odds_service.model.change import (
    Change,
    ChangeKind,
    EventChange,
    MarketChange,
    Reason,
    SourceChange,
)
from odds_service.model.difference import Difference, compare_markets
from odds_service.model.event import Event, EventStatus
from odds_service.model.market import Market, MarketKey, MarketStatus
from odds_service.model.match import Placed, SourceRef
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
    Snapshot,
)
from odds_service.model.source import SourceState, SourceStatus

ABSENCES_UNTIL_GONE: Final = 2  # every event lost to one transient empty list came back unchanged

_SOURCE_KINDS: Final = {
    SourceStatus.UP: ChangeKind.SOURCE_UP,
    SourceStatus.STALE: ChangeKind.SOURCE_STALE,
    SourceStatus.DOWN: ChangeKind.SOURCE_DOWN,
}

_REMOVED: Final = MarketStatus.REMOVED

Identify = Callable[[str, ObservedEvent], Placed]  # (source, event as it showed it) -> where it is


class Detected(Struct):
    """The outcome of one observation: changes in revision order, and what the cache takes over.

    entries: event id -> its new value, None where it ended. late: events whose observation was
    older than the last applied one. duplicates: events that stood in the payload twice.
    departed: source events that are not carried any more. refused: markets with what is no text.
    """

    next_revision: int
    detected_at: datetime
    changes: list[Change] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    entries: dict[str, EventOdds | None] = field(default_factory=dict)
    confirmed: list[BookmakerOdds] = field(default_factory=list)
    event_sources: list[tuple[str, EventSource]] = field(default_factory=list)
    departed: list[SourceRef] = field(default_factory=list)
    markets: int = 0
    late: int = 0
    duplicates: int = 0
    refused: list[MarketKey] = field(default_factory=list)

    def revision(self) -> int:
        """Hand out the next revision."""
        taken = self.next_revision
        self.next_revision = taken + 1
        return taken

    def add(self, later: "Detected") -> None:
        """Take over what was found on top of this."""
        self.next_revision = later.next_revision
        self.changes += later.changes
        self.snapshots += later.snapshots
        self.entries |= later.entries
        self.confirmed += later.confirmed
        self.event_sources += later.event_sources
        self.departed += later.departed
        self.markets += later.markets
        self.late += later.late
        self.duplicates += later.duplicates
        self.refused += later.refused

    def upon(self, events: Mapping[str, EventOdds]) -> Mapping[str, EventOdds]:
        """What the cache holds with this taken over."""
        if not self.entries:
            return events
        held = {**events, **self.entries}
        return {event_id: entry for event_id, entry in held.items() if entry is not None}


def detect(
    events: Mapping[str, EventOdds],
    observation: Observation,
    identify: Identify,
    *,
    first_revision: int,
    detected_at: datetime,
    present: AbstractSet[str] = frozenset(),
) -> Detected:
    """Compare an observation with what is cached.

    Events are taken in the order of their ids, so that a payload's order changes nothing.
    A failed observation gives nothing here: it only bears on its source's state.
    present: source's ids of events that other slices of the same fetch showed.
    """
    found = Detected(first_revision, detected_at)
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
        for entry in _missing(events, named.keys(), observation, present):
            _miss_event(found, entry, observation)
    return found


def purge(
    events: Mapping[str, EventOdds],
    due: Mapping[str, AbstractSet[str]],
    *,
    first_revision: int,
    detected_at: datetime,
) -> Detected:
    """Let sources go that no longer confirm their events: event id -> those of its sources.

    With the last of its sources the event leaves; that is one change, as any event's end.
    """
    found = Detected(first_revision, detected_at)
    for event_id in sorted(due):
        entry = events.get(event_id)
        if entry is None:
            continue
        going = sorted(due[event_id] & entry.sources.keys())
        if len(going) == len(entry.sources):
            _end_event(found, entry, Reason.PURGED, _unseen(going[0], detected_at))
            continue
        for source in going:
            _drop_source(found, entry, Reason.PURGED, _unseen(source, detected_at))
            entry = found.entries[event_id] or entry
    return found


def _unseen(source: str, now: datetime) -> Observation:
    """An observation of nothing, for what time alone decides."""
    return Observation(
        source=source,
        scope=Scope(),
        completeness=Completeness.PARTIAL,
        started_at=now,
        observed_at=now,
    )


def _see_event(
    found: Detected,
    entry: EventOdds | None,
    observed: ObservedEvent,
    placed: Placed,
    observation: Observation,
) -> None:
    event_id, source = placed.event_id, observation.source
    carried = None if entry is None else entry.sources.get(source)
    if _is_late(carried, observation):
        found.late += 1
        return
    event = _described(entry, event_id, observed, observation)
    listing = _listing(carried, observation.scope)
    fresh = EventSource(
        source,
        observed.source_event_id,
        listing,
        observation.started_at,
        shown=placed.shown,
        match=placed.match,
    )
    moved = carried is None or _differs(carried, fresh)
    if entry is None:
        change_event(found, ChangeKind.EVENT_ADDED, "", None, event, observation)
    elif event != entry.event or moved:
        relisted = carried is not None and carried.listing != listing
        reason = _why_updated(entry.event, event, relisted=relisted)
        change_event(found, ChangeKind.EVENT_UPDATED, reason, entry.event, event, observation)
    bookmakers = {} if entry is None else dict(entry.bookmakers)
    for shown in sorted(observed.bookmakers, key=lambda shown: shown.bookmaker):
        _see_bookmaker(found, bookmakers, event_id, shown, observation)
    shown_names = {shown.bookmaker for shown in observed.bookmakers}
    for key in sorted(bookmakers):
        if key[0] == source and _may_be_gone(key[1], shown_names, observed, observation.scope):
            lose_bookmaker(found, bookmakers, bookmakers[key], observation, event)
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
        refused=found.refused,
    )
    if differences or current is None:
        if not differences:
            return  # listed without a market, and not known before: nothing to show
        updated = _apply(
            found, current, event_id, shown.bookmaker, differences, observation,
            shown.source_updated_at,
        )  # fmt: skip
        found.snapshots.append(updated.snapshot())
    else:
        updated = replace(
            current,
            observed_at=observation.observed_at,
            confirmed_at=observation.observed_at,
            source_updated_at=shown.source_updated_at,
        )
        found.confirmed.append(updated)
    if updated.markets:
        bookmakers[key] = updated
    else:
        bookmakers.pop(key, None)


def lose_bookmaker(
    found: Detected,
    bookmakers: dict[BookmakerKey, BookmakerOdds],
    current: BookmakerOdds,
    observation: Observation,
    event: Event,
    reason: str = Reason.SOURCE_REMOVED,
) -> None:
    """Number the end of all that a bookmaker shows within the observation's scope."""
    differences = compare_markets(current.markets, None, observation.scope.markets, reason)
    if not differences:
        return
    updated = _apply(
        found, current, event.id, current.bookmaker, differences, observation,
        current.source_updated_at,
    )  # fmt: skip
    found.snapshots.append(updated.snapshot())
    if updated.markets:
        bookmakers[current.key] = updated
    else:
        del bookmakers[current.key]


def _apply(
    found: Detected,
    current: BookmakerOdds | None,
    event_id: str,
    bookmaker: str,
    differences: list[Difference],
    observation: Observation,
    source_updated_at: datetime | None,
) -> BookmakerOdds:
    """Number the differences as changes of one new snapshot; give the bookmaker's new value."""
    markets = {} if current is None else dict(current.markets)
    snapshot_id = found.next_revision
    source, observed_at, detected_at = (
        observation.source, observation.observed_at, found.detected_at
    )  # fmt: skip
    changes = found.changes
    for revision, difference in enumerate(differences, snapshot_id):
        key = difference.key
        before = markets.get(key)
        after = _after(difference, before, revision, observed_at)
        if after.status is _REMOVED:
            del markets[key]
        else:
            markets[key] = after
        changes.append(
            MarketChange(
                revision,
                difference.kind,
                difference.reason,
                event_id,
                source,
                bookmaker,
                snapshot_id,
                observed_at,
                detected_at,
                before,
                after,
                difference.other_line,
            )
        )
    found.next_revision = snapshot_id + len(differences)
    return BookmakerOdds(
        snapshot_id,
        event_id,
        observation.source,
        bookmaker,
        observed_at,
        observed_at,
        source_updated_at,
        markets,
    )


def _after(
    difference: Difference, before: Market | None, revision: int, changed_at: datetime
) -> Market:
    observed = difference.observed
    if observed is not None:
        return Market(
            difference.key,
            observed.status,
            observed.outcomes,
            revision,
            changed_at,
            observed.source_updated_at,
        )
    if difference.kind is ChangeKind.REMOVED or before is None:
        return Market(difference.key, MarketStatus.REMOVED, (), revision, changed_at)
    return replace(
        before, status=MarketStatus.SUSPENDED, revision=revision, changed_at=changed_at, wire=None
    )


def _differs(carried: EventSource, fresh: EventSource) -> bool:
    """Whether what is kept of how a source carries an event differs."""
    return (
        carried.listing != fresh.listing
        or carried.source_event_id != fresh.source_event_id
        or (carried.shown is not fresh.shown and carried.shown != fresh.shown)
        or carried.match != fresh.match
    )


def _listing(carried: EventSource | None, scope: Scope) -> str | None:
    """Where the event's absence is judged: it stays with a listing until that one lacks it.

    So an event that stands in two listings does not move to and fro.
    """
    if carried is None or (scope.listing is not None and carried.absences > 0):
        return scope.listing
    return scope.listing if carried.listing is None else carried.listing


def _is_late(carried: EventSource | None, observation: Observation) -> bool:
    """Whether a newer request than this observation's was applied to the event already."""
    return (
        carried is not None
        and carried.applied_at is not None
        and observation.started_at < carried.applied_at
    )


def _may_be_gone(bookmaker: str, shown: set[str], observed: ObservedEvent, scope: Scope) -> bool:
    """Whether the absence of a bookmaker from a present event says that it is gone."""
    return (
        bookmaker not in shown
        and bookmaker not in observed.unreadable
        and ANY not in observed.unreadable
        and (scope.bookmakers is None or bookmaker in scope.bookmakers)
    )


def _missing(
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


def _miss_event(found: Detected, entry: EventOdds, observation: Observation) -> None:
    """An event is absent: at the first time its odds are no longer confirmed, then it is gone."""
    source = observation.source
    carried = entry.sources[source]
    if _is_late(carried, observation):
        found.late += 1
        return
    event = entry.event
    if carried.absences + 1 < ABSENCES_UNTIL_GONE:
        sources = dict(entry.sources)
        sources[source] = replace(
            carried, absences=carried.absences + 1, applied_at=observation.started_at
        )
        bookmakers = {
            key: replace(odds, observed_at=observation.observed_at) if key[0] == source else odds
            for key, odds in entry.bookmakers.items()
        }
        found.entries[event.id] = EventOdds(event, sources, bookmakers)
        return
    started = observation.observed_at >= event.start_time
    _drop_source(
        found, entry, Reason.EVENT_ENDED if started else Reason.SOURCE_REMOVED, observation
    )


def _drop_source(found: Detected, entry: EventOdds, reason: str, observation: Observation) -> None:
    """A source no longer carries the event: its odds go, with the last source the event itself."""
    source, event = observation.source, entry.event
    sources = {name: carried for name, carried in entry.sources.items() if name != source}
    if not sources:
        _end_event(found, entry, reason, observation)
        return
    found.departed.append((source, entry.sources[source].source_event_id))
    bookmakers = dict(entry.bookmakers)
    kept = {name: id_ for name, id_ in event.source_ids.items() if name != source}
    updated = replace(event, source_ids=kept)
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
    found.departed += [
        (carried.source, carried.source_event_id) for carried in entry.sources.values()
    ]


def status_by_time(start_time: datetime, observed_at: datetime) -> EventStatus:
    """Where an event stands of which nobody says it."""
    return EventStatus.IN_PLAY if observed_at >= start_time else EventStatus.SCHEDULED


def change_event(
    found: Detected,
    kind: ChangeKind,
    reason: str,
    before: Event | None,
    after: Event,
    observation: Observation,
    ended: tuple[BookmakerOdds, ...] = (),
) -> None:
    """Number a change of an event."""
    found.changes.append(
        EventChange(
            found.revision(),
            kind,
            reason,
            after.id,
            observation.source,
            observation.observed_at,
            found.detected_at,
            before,
            after,
            ended,
        )
    )


def _described(
    entry: EventOdds | None, event_id: str, observed: ObservedEvent, observation: Observation
) -> Event:
    """The event as it is now known.

    The source that carried it first describes it (names, start), so that two sources that
    disagree do not make it flip-flop; any source may say that it has started.
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
    status = observed.status
    if status is None:
        status = status_by_time(start_time, observation.observed_at)
        if known is not None and not describes:
            status = max(status, known.status)
    if known is not None and not describes:
        return replace(known, status=status, source_ids=source_ids)
    return Event(
        id=event_id,
        sport=observed.sport,
        competition=observed.competition,
        home=observed.home,
        away=observed.away,
        start_time=start_time,
        status=status,
        source_ids=source_ids,
    )


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
    if before != after:
        return Reason.RENAMED
    return Reason.LISTING_MOVED if relisted else Reason.REMATCHED


def source_change(
    before: SourceState, after: SourceState, *, revision: int, detected_at: datetime
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
        detected_at,
        detected_at,
        before,
        announced,
    )
    return announced, change
