"""Matches: the event that a source event belongs to, and the reason for it."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

SourceRef = tuple[str, str]  # (source, that source's id of the event)


class ShownEvent(Struct, frozen=True):
    """The part of a source's event that identifies it.

    first_start: the start that the source told first. It finds a postponed event at sources that
    do not know of the postponement yet. shared_ids: as in ObservedEvent.
    """

    sport: str
    competition: str
    home: str
    away: str
    start_time: datetime
    first_start: datetime
    shared_ids: Mapping[str, str] = {}


class Match(Struct, frozen=True):
    """The tie between a source event and the others of its event, or the lack of one.

    score: 0 (none) to 100 (certain). reason: text for people.
    """

    score: int = 0
    reason: str = ""


class Placed(Struct, frozen=True):
    """The event that a source event belongs to.

    event_id: empty while it has no event. shown: None for stored events without this field.
    """

    event_id: str
    shown: ShownEvent | None = None
    match: Match = Match()


class Move(Struct, frozen=True):
    """A source event that belongs to another event than in the cache, or matches it otherwise.

    from_event: the id of the event that the cache has it in. placed: its place from now on.
    """

    ref: SourceRef
    from_event: str
    placed: Placed
