"""Matches between source events and events, with their reasons."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

SourceRef = tuple[str, str]  # (source, that source's id of the event)


class ShownEvent(Struct, frozen=True):
    """The identifying part of a source event.

    Attributes:
        first_start: The first start time that the source reported. It matches a postponed event
            with sources that do not know of the postponement yet.
        shared_ids: Namespace -> id, as in ObservedEvent.
    """

    sport: str
    competition: str
    home: str
    away: str
    start_time: datetime
    first_start: datetime
    shared_ids: Mapping[str, str] = {}


class Match(Struct, frozen=True):
    """The match of a source event with the others of its event, if any.

    Attributes:
        score: 0 (no match) to 100 (certain).
        reason: The reason, for people.
    """

    score: int = 0
    reason: str = ""


class Placed(Struct, frozen=True):
    """The event that a source event belongs to.

    Attributes:
        event_id: The event's id; empty while there is none.
        shown: The identity of the source event; None if it was stored without this field.
        match: The match, with its reason.
    """

    event_id: str
    shown: ShownEvent | None = None
    match: Match = Match()


class Move(Struct, frozen=True):
    """A source event whose event or match differs from the cache.

    Attributes:
        ref: The source event.
        from_event: The id of its event in the cache.
        placed: Its event from now on.
    """

    ref: SourceRef
    from_event: str
    placed: Placed
