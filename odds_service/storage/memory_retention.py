"""Retention in a memory: deletes data that a policy considers too old."""

from datetime import datetime, timedelta
from typing import Final

from odds_service.errors import BelowFloor
from odds_service.model.change import SourceChange
from odds_service.model.event import EventStatus
from odds_service.storage.memory import Memory
from odds_service.storage.memory_past import captured
from odds_service.store import Retained, Retention

_MICROSECOND: Final = timedelta(microseconds=1)


def retain(memory: Memory, policy: Retention, now: datetime) -> Retained:
    """See store.Store.retain."""
    done = Retained()
    if policy.history is not None:
        cutoff = now - policy.history
        try:
            floor = memory.last_detected(cutoff - _MICROSECOND)
        except BelowFloor:
            floor = 0
        if floor > memory.floor_revision:
            done.history = memory.move_floor(floor, cutoff)
        done.snapshots += _forget_ended(memory, memory.floor_revision, done)
        _forget_superseded(memory, done)
    if policy.events is not None:
        try:
            upto = memory.last_detected(now - policy.events - _MICROSECOND)
        except BelowFloor:
            upto = 0
        with_letters = {
            letter.change.event_id
            for letter in memory.letters.values()
            if letter.change is not None and not isinstance(letter.change, SourceChange)
        }
        _forget_events(memory, _ended(memory, upto) - with_letters, done)
    if policy.letters is not None:
        cutoff = now - policy.letters
        old_letters = [each for each, letter in memory.letters.items() if letter.kept_at < cutoff]
        memory.drop_all(old_letters)
        done.letters = len(old_letters)
    if policy.runs is not None:
        old = [key for key in memory.runs if key[0] < now - policy.runs]
        for key in old:
            del memory.runs[key]
        done.runs = len(old)
    return done


def _ended(memory: Memory, upto: int) -> set[str]:
    """Return the events that ended at or before a revision."""
    return {
        event_id
        for event_id, known in memory.events.items()
        if known.event.status is EventStatus.ENDED and known.ended_revision <= upto
    }


def _forget_events(memory: Memory, ended: set[str], done: Retained) -> None:
    for event_id in ended:
        del memory.events[event_id]
    memory.carried = {
        key: carried for key, carried in memory.carried.items() if key[0] not in ended
    }
    done.events += len(ended)


def _forget_ended(memory: Memory, floor: int, done: Retained) -> int:
    """Delete all data of events that ended below the floor; return the number of snapshots."""
    _forget_events(memory, _ended(memory, floor), done)
    told = {
        change.event_id
        for change in memory.changes(floor, memory.durable_revision)
        if not isinstance(change, SourceChange)
    }
    known = memory.events.keys() | memory.now.events.keys() | told
    kept = {
        snapshot_id: snapshot
        for snapshot_id, snapshot in memory.snapshots.items()
        if snapshot_id > floor or snapshot.event_id in known
    }
    deleted = len(memory.snapshots) - len(kept)
    memory.snapshots = kept
    return deleted


def _forget_superseded(memory: Memory, done: Retained) -> None:
    """Delete snapshots superseded by another one below the floor."""
    last = {snapshot.snapshot_id for snapshot in captured(memory, memory.floor_revision).values()}
    kept = {
        snapshot_id: snapshot
        for snapshot_id, snapshot in memory.snapshots.items()
        if snapshot_id > memory.floor_revision or snapshot_id in last
    }
    done.snapshots += len(memory.snapshots) - len(kept)
    memory.snapshots = kept
