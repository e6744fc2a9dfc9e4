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

    Attributes:
        sport: The sport, such as `soccer`.
        competition: The source's key of the competition, such as `soccer_epl`.
        source_ids: Source -> that source's id of the event; replaced, never changed in place.
        merged_into: The id of the event that this one was merged into, else empty.
        title: The source's name for an event without sides.
        told: Source -> the last status that it reported, without sources that report none.
        draws_lost: Each (source, bookmaker, market type) shown first with home, draw and away, and
            later without the draw; sorted.
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
        """Home and away as people write them, without an unknown side; the title if both are."""
        return " – ".join(side for side in (self.home, self.away) if side) or self.title


def status_of(
    told: Mapping[str, EventStatus], start_time: datetime, observed_at: datetime
) -> EventStatus:
    """Return the status of an event: the furthest that a source reports, else by the clock.

    A status derived from the clock is neither kept nor compared with one from a source.

    Args:
        told: Source -> the status that it reports, without sources that report none.
        start_time: The event's start.
        observed_at: The time of the last look.
    """
    if told:
        scheduled = all(status is EventStatus.SCHEDULED for status in told.values())
    else:
        scheduled = observed_at < start_time
    return EventStatus.SCHEDULED if scheduled else EventStatus.IN_PLAY
