"""Events: their sides, their start, and the sources that carry them."""

import enum
from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct


class EventStatus(enum.IntEnum):
    """The status of an event; ENDED means that no source shows it any more."""

    SCHEDULED = 1
    IN_PLAY = 2
    ENDED = 3


class Event(Struct, frozen=True, kw_only=True):
    """One event, shared by all sources that carry it.

    sport: e.g. `soccer`; competition: the source's key of it, e.g. `soccer_epl`.
    source_ids: source -> that source's id of the event; replaced, never changed in place.
    merged_into: the id of the event that this one turned out to be, else empty.
    title: the source's name for an event without sides. told: source -> its last status, without
    sources that give none. draws_lost: each (source, bookmaker, market type) that was shown with
    home, draw and away, and then without the draw; sorted.
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
        """Home and away as people write them, without an unknown side; else the title."""
        return " – ".join(side for side in (self.home, self.away) if side) or self.title


def status_of(
    told: Mapping[str, EventStatus], start_time: datetime, observed_at: datetime
) -> EventStatus:
    """Return the status of an event: the latest one that a source gives, else by the clock.

    A status derived from the clock is neither kept nor compared with one from a source.

    Args:
        told: source -> its status, without sources that give none.
        start_time: the event's start.
        observed_at: the time of the last look.
    """
    if told:
        scheduled = all(status is EventStatus.SCHEDULED for status in told.values())
    else:
        scheduled = observed_at < start_time
    return EventStatus.SCHEDULED if scheduled else EventStatus.IN_PLAY
