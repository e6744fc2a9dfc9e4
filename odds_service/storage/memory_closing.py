"""Closing odds from the log of a memory."""

from collections.abc import Iterator
from datetime import datetime

from odds_service.errors import BelowFloor
from odds_service.model.change import ChangeKind, EventChange, MarketChange, SourceChange
from odds_service.model.market import MarketStatus
from odds_service.storage.closing import Step, last_offers, last_seen
from odds_service.storage.memory import Memory
from odds_service.storage.memory_past import revision_at, sources_at, successes
from odds_service.storage.successes import earliest_success
from odds_service.store import ClosingOdds


def closing_of(memory: Memory, event_id: str) -> Iterator[ClosingOdds]:
    """Yield the closing odds of an event, as far as the log reaches back."""
    start_time = memory.events[event_id].event.start_time
    steps = [
        _step(change)
        for change in memory.changes(memory.floor_revision, memory.durable_revision)
        if not isinstance(change, SourceChange)
        and change.event_id == event_id
        and change.revision not in memory.refused
        and (isinstance(change, MarketChange) or change.kind is ChangeKind.EVENT_ENDED)
    ]
    for _, (change, replaced_at, until_start) in sorted(last_offers(steps, start_time).items()):
        captures = [
            snapshot
            for snapshot in memory.snapshots.values()
            if (snapshot.event_id, snapshot.source, snapshot.bookmaker)
            == (event_id, change.source, change.bookmaker)
        ]
        confirmed_at, overwritten = last_seen(
            captures, change.snapshot_id, replaced_at, change.observed_at, start_time
        )
        if overwritten:
            confirmed_at = _last_look(memory, event_id, change.source, confirmed_at, start_time)
        yield ClosingOdds(
            event_id,
            start_time,
            change.source,
            change.bookmaker,
            change.after,
            confirmed_at,
            until_start,
        )


def _last_look(
    memory: Memory, event_id: str, source: str, seen_at: datetime, start_time: datetime
) -> datetime:
    """Return the time of a source's last look at an event before its start.

    Args:
        memory: the data.
        event_id: the event.
        source: a source that carries it.
        seen_at: a known look at or before the start; never later than the result.
        start_time: the event's start.
    """
    runs = memory.runs
    if not runs or min(started_at for started_at, _, _ in runs) > seen_at:
        return _earliest_look(memory, source, seen_at, start_time)
    carried = memory.carried.get((event_id, source))
    pulls = set() if carried is None else {carried.listing, carried.source_event_id}
    looks = [
        run.finished_at
        for run in successes(memory, seen_at, start_time)
        if run.source == source and run.listing in pulls
    ]
    return max(looks, default=seen_at)


def _earliest_look(
    memory: Memory, source: str, seen_at: datetime, start_time: datetime
) -> datetime:
    """Return the earliest possible time of the last look, when the record of pulls is gone."""
    try:
        revision = revision_at(memory, start_time)
    except BelowFloor:
        return seen_at
    for state in sources_at(memory, revision, start_time):
        if state.source == source:
            return earliest_success(state, start_time, seen_at)
    return seen_at


def _step(change: EventChange | MarketChange) -> Step[MarketChange]:
    if isinstance(change, EventChange):
        return Step(None, change.revision, change.observed_at, None)
    place = (change.source, change.bookmaker, *change.after.key)
    offered = change if change.after.status is MarketStatus.OPEN else None
    return Step(place, change.revision, change.observed_at, offered)
