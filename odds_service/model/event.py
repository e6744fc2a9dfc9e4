"""Events: what is played, when, and by which sources it is carried."""

import enum
from collections.abc import Mapping
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
    title: of an event without sides, as the source calls it. told: source -> the status that it
    told last, without those that tell none. draws_lost: each (source, bookmaker, market type) that
    was shown with home, draw and away, and then without the draw; sorted.
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
    title: str = ""
    told: dict[str, EventStatus] = {}
    draws_lost: tuple[tuple[str, str, str], ...] = ()

    @property
    def name(self) -> str:
        """Home and away as people write them, without one that is not known; else the title."""
        return " – ".join(side for side in (self.home, self.away) if side) or self.title


def status_of(
    told: Mapping[str, EventStatus], start_time: datetime, observed_at: datetime
) -> EventStatus:
    """Return where an event stands: as the furthest source tells, else by the clock.

    A status that was derived from the clock is neither kept nor compared with one that was told.

    Args:
        told: source -> the status that it told, without those that tell none.
        start_time: of the event.
        observed_at: when it was last looked at.
    """
    if told:
        scheduled = all(status is EventStatus.SCHEDULED for status in told.values())
    else:
        scheduled = observed_at < start_time
    return EventStatus.SCHEDULED if scheduled else EventStatus.IN_PLAY
