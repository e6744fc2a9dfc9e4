"""Why a source's event belongs to one of ours: what was judged, and how it was judged."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

SourceRef = tuple[str, str]  # (source, that source's id of the event)


class ShownEvent(Struct, frozen=True):
    """What a source says of an event, as far as it tells which event it is.

    first_start: the start that the source told first; an event that is postponed is found by it
    at the sources that have not heard of it yet. shared_ids: as in ObservedEvent.
    """

    sport: str
    competition: str
    home: str
    away: str
    start_time: datetime
    first_start: datetime
    shared_ids: Mapping[str, str] = {}


class Match(Struct, frozen=True):
    """What joins a source's event to the others of one event, or keeps it apart from them.

    score: 0 (none) to 100 (certain). reason: in words, for people.
    """

    score: int = 0
    reason: str = ""


class Placed(Struct, frozen=True):
    """Where a source's event belongs. shown: None where nobody looked at what it shows."""

    event_id: str
    shown: ShownEvent | None = None
    match: Match = Match()


class Move(Struct, frozen=True):
    """A source event that belongs elsewhere than the cache has it, or for other reasons."""

    ref: SourceRef
    from_event: str
    placed: Placed
