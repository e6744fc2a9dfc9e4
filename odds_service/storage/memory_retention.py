"""Retention in a memory: deletes data that a policy considers too old."""

from datetime import datetime, timedelta
from typing import Final

from odds_service.errors import BelowFloor
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
        _forget_ended(memory, done)
        _forget_superseded(memory, done)
    if policy.runs is not None:
        old = [key for key in memory.runs if key[0] < now - policy.runs]
        for key in old:
            del memory.runs[key]
        done.runs = len(old)
    return done


def _forget_ended(memory: Memory, done: Retained) -> None:
    """Delete all data of events that ended below the floor."""
    ended = {
        event_id
        for event_id, known in memory.events.items()
        if known.event.status is EventStatus.ENDED and known.ended_revision <= memory.floor_revision
    }
    for event_id in ended:
        del memory.events[event_id]
    memory.carried = {
        key: carried for key, carried in memory.carried.items() if key[0] not in ended
    }
    kept = {
        snapshot_id: snapshot
        for snapshot_id, snapshot in memory.snapshots.items()
        if snapshot.event_id not in ended
    }
    done.events += len(ended)
    done.snapshots += len(memory.snapshots) - len(kept)
    memory.snapshots = kept


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
