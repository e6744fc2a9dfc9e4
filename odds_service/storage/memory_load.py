"""The load at a start of a store in memory; the twin of storage.reads.load."""

from collections.abc import Mapping
from datetime import datetime

from msgspec.structs import replace

from odds_service.model.snapshot import (
    BookmakerKey,
    EventOdds,
    EventSource,
    Snapshot,
    odds_as_known,
)
from odds_service.storage.memory import Memory
from odds_service.storage.memory_past import captured
from odds_service.store import GHOSTS_SINCE, MOST_GHOSTS, Stored


def stored_of(memory: Memory, now: datetime) -> Stored:
    """Return the stored state in the last opened epoch."""
    entries, last = memory.now.events.values(), captured(memory, memory.durable_revision)
    return Stored(
        events=[as_known(memory, entry, last, None) for entry in entries],
        ghosts=_ghosts(memory, now),
        sources=list(memory.now.sources.values()),
        revision=memory.durable_revision,
        epoch=memory.epochs[-1][0],
        epochs=list(memory.epochs),
        last_detected_at=memory.detected_at,
        database_id=memory.database_id,
        dead_letters=len(memory.letters),
        asks=dict(memory.asks),
    )


def as_known(
    memory: Memory,
    entry: EventOdds,
    snapshots: Mapping[tuple[str, BookmakerKey], Snapshot],
    at: datetime | None,
) -> EventOdds:
    """Return an event as a start or a past reading sees it.

    Args:
        memory: the log.
        entry: the event with its odds.
        snapshots: each bookmaker's last snapshot; supplies the confirmations.
        at: the time up to which confirmations count; None for all.
    """
    event_id, carried = entry.event.id, memory.carried
    sources = {
        source: replace(_stored(carried[event_id, source]), departed_at=None)
        for source in entry.event.source_ids
        if (event_id, source) in carried
    }
    bookmakers = {
        key: odds_as_known(event_id, key, odds.markets, snapshots.get((event_id, key)), at)
        for key, odds in entry.bookmakers.items()
    }
    return EventOdds(entry.event, sources, bookmakers)


def _ghosts(memory: Memory, now: datetime) -> list[tuple[str, EventSource]]:
    """Return the source events that departed from recent events, the latest first."""
    departed = [
        (carried.departed_at, event_id, carried)
        for (event_id, _), carried in memory.carried.items()
        if carried.departed_at is not None
        and carried.shown is not None
        and event_id in memory.events
        and memory.events[event_id].event.start_time > now - GHOSTS_SINCE
    ]
    departed.sort(key=lambda ghost: ghost[0], reverse=True)
    return [(event_id, _stored(carried)) for _, event_id, carried in departed[:MOST_GHOSTS]]


def _stored(carried: EventSource) -> EventSource:
    """Return a source event without the fields that only one run knows."""
    return replace(carried, applied=None, absences=0, seen_boot_s=None, tier="")
