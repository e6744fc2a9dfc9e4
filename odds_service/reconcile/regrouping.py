"""Source events that change the event they belong to, as changes of the log: pure functions.

Two events that prove to be one: the one ends (`merged`, naming the other), and its odds are ADDED
to the other. One that proves to be two: the odds of what leaves are REMOVED (`split`), and ADDED to
the event where they belong. What ends comes before what is there instead, so no reader of the log
holds a price in two events, and none in the wrong one once it is known to be wrong. Odds that go
over keep their times: nobody has looked at them anew.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from odds_service.detection.numbering import Detected, change_event, lose_bookmaker
from odds_service.model.change import ChangeKind, EventChange, MarketChange, Reason
from odds_service.model.event import Event, EventStatus, status_of
from odds_service.model.market import Markets
from odds_service.model.match import Move, ShownEvent
from odds_service.model.observation import nothing_seen
from odds_service.model.snapshot import (
    BookmakerKey,
    BookmakerOdds,
    EventOdds,
    EventSource,
    told_statuses,
)


class _Arrival(Struct, frozen=True):
    """A source event with what its bookmakers show, on its way to its event."""

    carried: EventSource
    bookmakers: tuple[BookmakerOdds, ...]
    draws_lost: tuple[tuple[str, str, str], ...]


def regroup(
    events: Mapping[str, EventOdds],
    moves: Sequence[Move],
    *,
    first_revision: int,
    detected_at: datetime,
    wall_at: datetime | None = None,
    observed_at: datetime,
) -> Detected:
    """Take source events out of the events where they are, and put them where they belong.

    observed_at: when that was seen which tells it. Moves within an event are left to `rematch`.
    """
    found = Detected(first_revision, detected_at, wall_at)
    arrivals: dict[str, list[_Arrival]] = {}
    for event_id, leaving in _by_event(moves).items():
        entry = events[event_id]
        for move in leaving:
            arrivals.setdefault(move.placed.event_id, []).append(_taken(entry, move))
        _take_out(found, entry, leaving, observed_at)
    for event_id in sorted(arrivals):
        coming = sorted(arrivals[event_id], key=lambda arrival: arrival.carried.source)
        target = found.entries[event_id] if event_id in found.entries else events.get(event_id)
        _put_in(found, target, event_id, coming, observed_at)
    return found


def rematch(
    found: Detected,
    events: Mapping[str, EventOdds],
    moves: Sequence[Move],
    observed_at: datetime,
) -> None:
    """Keep what joins source events to the event where they stay, where that differs.

    An event that changes anyway takes it along; of another it is a change (`rematched`), since the
    log is all that is stored.
    """
    for move in moves:
        event_id = move.placed.event_id
        if move.from_event != event_id:
            continue
        entry = found.entries[event_id] if event_id in found.entries else events.get(event_id)
        source, source_event_id = move.ref
        carried = None if entry is None else entry.sources.get(source)
        if entry is None or carried is None or carried.source_event_id != source_event_id:
            continue  # gone by the very observation
        fresh = replace(carried, shown=move.placed.shown, match=move.placed.match)
        changed = any(
            isinstance(change, EventChange) and change.event_id == event_id
            for change in found.changes
        )
        if not changed:
            seen = nothing_seen(source, observed_at)
            kind, reason = ChangeKind.EVENT_UPDATED, Reason.REMATCHED
            change_event(found, kind, reason, entry.event, entry.event, seen)
        found.event_sources.append((event_id, fresh))
        found.entries[event_id] = replace(entry, sources={**entry.sources, source: fresh})


def _by_event(moves: Sequence[Move]) -> dict[str, list[Move]]:
    """The moves to elsewhere by the event that they lead away from, in order."""
    leading: dict[str, list[Move]] = {}
    for move in sorted(moves, key=lambda move: (move.from_event, move.ref)):
        if move.from_event != move.placed.event_id:
            leading.setdefault(move.from_event, []).append(move)
    return leading


def _taken(entry: EventOdds, move: Move) -> _Arrival:
    source = move.ref[0]
    placed = move.placed
    carried = replace(entry.sources[source], shown=placed.shown, match=placed.match)
    shown = tuple(odds for key, odds in sorted(entry.bookmakers.items()) if key[0] == source)
    lost = tuple(each for each in entry.event.draws_lost if each[0] == source)
    return _Arrival(carried, shown, lost)


def _take_out(
    found: Detected, entry: EventOdds, leaving: Sequence[Move], observed_at: datetime
) -> None:
    event = entry.event
    gone = [move.ref[0] for move in leaving]
    seen = nothing_seen(gone[0], observed_at)
    if entry.sources.keys() <= set(gone):
        targets = {move.placed.event_id for move in leaving}
        merged = targets.pop() if len(targets) == 1 else ""
        reason = Reason.MERGED if merged else Reason.SPLIT
        ended = replace(event, status=EventStatus.ENDED, merged_into=merged)
        shown = tuple(entry.bookmakers[key] for key in sorted(entry.bookmakers))
        change_event(found, ChangeKind.EVENT_ENDED, reason, event, ended, seen, shown)
        found.entries[event.id] = None
        return
    sources = {name: kept for name, kept in entry.sources.items() if name not in gone}
    updated = _without(event, sources, observed_at)
    change_event(found, ChangeKind.EVENT_UPDATED, Reason.SPLIT, event, updated, seen)
    bookmakers = dict(entry.bookmakers)
    for key in sorted(entry.bookmakers):
        if key[0] in gone:
            seen = nothing_seen(key[0], observed_at)
            lose_bookmaker(found, bookmakers, bookmakers[key], seen, updated, Reason.SPLIT)
    found.entries[event.id] = EventOdds(updated, sources, bookmakers)


def _without(event: Event, sources: Mapping[str, EventSource], observed_at: datetime) -> Event:
    """The event as those describe it that stay: the first of them, as ever."""
    ids = {name: id_ for name, id_ in event.source_ids.items() if name in sources}
    shown = sources[next(iter(ids))].shown if ids else None
    if shown is None or next(iter(event.source_ids)) in ids:
        told = told_statuses(sources)
        status = status_of(told, event.start_time, observed_at)
        return replace(event, source_ids=ids, told=told, status=status)
    return _event(event.id, shown, ids, told_statuses(sources), observed_at)


def _event(
    event_id: str,
    shown: ShownEvent,
    ids: dict[str, str],
    told: dict[str, EventStatus],
    observed_at: datetime,
) -> Event:
    return Event(
        id=event_id,
        sport=shown.sport,
        competition=shown.competition,
        home=shown.home,
        away=shown.away,
        start_time=shown.start_time,
        status=status_of(told, shown.start_time, observed_at),
        source_ids=ids,
        told=told,
    )


def _put_in(
    found: Detected,
    entry: EventOdds | None,
    event_id: str,
    arrivals: Sequence[_Arrival],
    observed_at: datetime,
) -> None:
    ids = {arrival.carried.source: arrival.carried.source_event_id for arrival in arrivals}
    told = told_statuses({arrival.carried.source: arrival.carried for arrival in arrivals})
    lost = tuple(sorted(each for arrival in arrivals for each in arrival.draws_lost))
    seen = nothing_seen(arrivals[0].carried.source, observed_at)
    reason = Reason.SPLIT if entry is None else Reason.MERGED
    if entry is None:
        shown = next(arrival.carried.shown for arrival in arrivals if arrival.carried.shown)
        event = replace(_event(event_id, shown, ids, told, observed_at), draws_lost=lost)
        change_event(found, ChangeKind.EVENT_ADDED, reason, None, event, seen)
    else:
        told = entry.event.told | told
        event = replace(
            entry.event,
            source_ids=entry.event.source_ids | ids,
            told=told,
            draws_lost=tuple(sorted({*entry.event.draws_lost, *lost})),
            status=status_of(told, entry.event.start_time, observed_at),
        )
        change_event(found, ChangeKind.EVENT_UPDATED, reason, entry.event, event, seen)
    sources = {} if entry is None else dict(entry.sources)
    bookmakers = {} if entry is None else dict(entry.bookmakers)
    for arrival in arrivals:
        sources[arrival.carried.source] = arrival.carried
        found.event_sources.append((event_id, arrival.carried))
        bookmakers |= _added(found, event_id, arrival.bookmakers, reason)
    found.entries[event_id] = EventOdds(event, sources, bookmakers)


def _added(
    found: Detected, event_id: str, shown: Iterable[BookmakerOdds], reason: str
) -> dict[BookmakerKey, BookmakerOdds]:
    """Number the odds as ADDED to an event; each bookmaker's are a capture of their own."""
    added: dict[BookmakerKey, BookmakerOdds] = {}
    for odds in shown:
        snapshot_id = found.next_revision
        markets = Markets()
        for key in sorted(odds.markets):
            revision = found.revision()
            markets[key] = replace(odds.markets[key], revision=revision)
            found.changes.append(
                MarketChange(
                    revision,
                    ChangeKind.ADDED,
                    reason,
                    event_id,
                    odds.source,
                    odds.bookmaker,
                    snapshot_id,
                    odds.confirmed_at,
                    found.detected_at,
                    None,
                    markets[key],
                    wall_at=found.wall_at,
                )
            )
        moved = replace(odds, snapshot_id=snapshot_id, event_id=event_id, markets=markets)
        found.snapshots.append(moved.snapshot())
        added[odds.key] = moved
    return added
