"""Events: what is played, when, and by which sources it is carried."""

import enum
from datetime import datetime

from msgspec import Struct


class EventStatus(enum.IntEnum):
    """Where an event stands; ENDED means that no source shows it any more."""

    SCHEDULED = 1
    IN_PLAY = 2
    ENDED = 3


class Event(Struct, frozen=True, kw_only=True):
    """One event, whatever number of sources carry it.

    sport: e.g. `soccer`; competition: the source's key of it, e.g. `soccer_epl`.
    source_ids: source -> that source's id of the event; replaced, never changed in place.
    merged_into: of an event that ended because it is another one, that one's id.
    """

    id: str
    sport: str
    competition: str
    home: str
    away: str
    start_time: datetime
    status: EventStatus = EventStatus.SCHEDULED
    source_ids: dict[str, str] = {}
    merged_into: str = ""

    @property
    def name(self) -> str:
        """Home and away as people write them; a side that is not known is left out."""
        return " – ".join(side for side in (self.home, self.away) if side)
