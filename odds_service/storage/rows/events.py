"""Events, and their sources, as rows."""

from typing import Any

import msgspec
from sqlalchemy import Row

from odds_service.model.change import ChangeKind, EventChange
from odds_service.model.event import Event, EventStatus
from odds_service.model.match import Match, ShownEvent
from odds_service.model.snapshot import EventSource
from odds_service.model.text import MOST_CHARS
from odds_service.storage.rows import Unreadable, Values
from odds_service.storage.rows.odds import aware

_encode = msgspec.json.Encoder().encode
_decode_event = msgspec.json.Decoder(Event).decode
_decode_shown = msgspec.json.Decoder(ShownEvent).decode


def event_from(event: str) -> Event:
    """Decode an event, with over-long names cut. Raises Unreadable."""
    try:
        found = _decode_event(event)
    except msgspec.MsgspecError as error:
        raise Unreadable(str(error)) from None
    if len(event) > MOST_CHARS:
        cut = {
            field: text[:MOST_CHARS]
            for field in ("sport", "competition", "home", "away")
            if len(text := getattr(found, field)) > MOST_CHARS
        }
        if cut:
            found = msgspec.structs.replace(found, **cut)
    if found.start_time.tzinfo is None:
        found = msgspec.structs.replace(found, start_time=aware(found.start_time))
    return found


def event_row(change: EventChange) -> Values:
    event = change.after
    return {
        "event_id": event.id,
        "event": _encode(event).decode(),
        "sport": event.sport,
        "competition": event.competition,
        "start_time": event.start_time,
        "status": int(event.status),
        "revision": change.revision,
        "ended_revision": change.revision if change.kind is ChangeKind.EVENT_ENDED else 0,
    }


def carried_row(event_id: str, carried: EventSource) -> Values:
    return {
        "event_id": event_id,
        "source": carried.source,
        "source_event_id": carried.source_event_id,
        "listing": carried.listing,
        "shown": None if carried.shown is None else _encode(carried.shown).decode(),
        "match_score": carried.match.score,
        "match_reason": carried.match.reason,
        "told": None if carried.told is None else int(carried.told),
        "departed_at": carried.departed_at,
    }


def carried_from(row: Row[*tuple[Any, ...]]) -> EventSource:
    """Decode a row of event_sources."""
    return EventSource(
        row.source,
        row.source_event_id,
        row.listing,
        None,
        shown=None if row.shown is None else _shown_from(row.shown),
        match=Match(row.match_score, row.match_reason),
        told=None if row.told is None else EventStatus(row.told),
        departed_at=row.departed_at,
    )


def _shown_from(shown: str) -> ShownEvent:
    found = _decode_shown(shown)
    return msgspec.structs.replace(
        found, start_time=aware(found.start_time), first_start=aware(found.first_start)
    )
