"""The log of a memory as rows: the twin of storage.reads.log_rows."""

from collections.abc import Sequence
from typing import Any

import msgspec

from odds_service.errors import BelowFloor
from odds_service.model.change import Change, EventChange, SourceChange
from odds_service.model.event import Event
from odds_service.storage.memory import Memory
from odds_service.storage.rows.history import UNSTORED, history_row
from odds_service.store import LOG_COLUMNS, HistoryFilter, LogRows

_encode = msgspec.json.Encoder().encode


def log_rows(memory: Memory, after: int, upto: int, limit: int, only: HistoryFilter) -> LogRows:
    """See store.Store.log_rows."""
    if after < memory.floor_revision:
        raise BelowFloor(memory.floor_revision)
    upto = max(after, min(upto, memory.durable_revision))
    rows = []
    for change in memory.changes(after, upto):
        if change.revision not in memory.refused and not selects(only, change):
            continue
        rows.append(_row(memory, change))
        if len(rows) == limit:
            return LogRows(rows, change.revision)
    return LogRows(rows, upto)


def source_rows(memory: Memory, after: int, upto: int) -> LogRows:
    """See store.Store.source_rows."""
    if after < memory.floor_revision:
        raise BelowFloor(memory.floor_revision)
    upto = max(after, min(upto, memory.durable_revision))
    found = [
        _row(memory, change)
        for change in memory.changes(after, upto)
        if isinstance(change, SourceChange) and change.revision not in memory.refused
    ]
    return LogRows(found, upto)


def event_texts(memory: Memory, event_ids: Sequence[str], revision: int) -> dict[str, str]:
    """See store.Store.event_texts."""
    wanted = set(event_ids)
    found: dict[str, Event] = {}
    for change in memory.changes(memory.floor_revision, memory.durable_revision):
        if not isinstance(change, EventChange) or change.event_id not in wanted:
            continue
        if change.revision in memory.refused:
            continue
        if change.revision <= revision:
            found[change.event_id] = change.after
        elif change.event_id not in found and change.before is not None:
            found[change.event_id] = change.before
    for event_id in wanted:
        if event_id in memory.events:
            found.setdefault(event_id, memory.events[event_id].event)
    return {event_id: _encode(event).decode() for event_id, event in found.items()}


def _row(memory: Memory, change: Change) -> Sequence[Any]:
    if change.revision in memory.refused:
        empty = dict.fromkeys(LOG_COLUMNS)
        named = {"revision": change.revision, "detected_at": change.detected_at, "kind": UNSTORED}
        return tuple((empty | named).values())
    row = history_row(change)
    return tuple(getattr(row, name) for name in LOG_COLUMNS)


def selects(only: HistoryFilter, change: Change) -> bool:
    """Return whether a filter selects a change."""
    if isinstance(change, SourceChange):
        return not only.sources or change.source in only.sources
    if only.event_ids and change.event_id not in only.event_ids:
        return False
    if isinstance(change, EventChange):
        return True
    return (
        only.of_markets
        and (not only.sources or change.source in only.sources)
        and (not only.bookmakers or change.bookmaker in only.bookmakers)
        and (not only.markets or change.after.key.market in only.markets)
    )
