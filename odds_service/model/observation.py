"""Observations: the outcome of one fetch of a source, with the scope that it speaks of.

A fetch ends as complete, partial or failed. Only things in the scope of a complete fetch can be
missing: a failed fetch is not an empty one. These values are not checked here; sources.boundary
does that.
"""

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct, field

from odds_service.model.event import EventStatus
from odds_service.model.market import MarketKey, ObservedMarket
from odds_service.model.source import reason_word

ANY: Final = "*"  # in `unreadable`: something had no readable name, so nothing counts as missing


class Completeness(enum.Enum):
    """The part of its scope that an observation saw."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    FAILED = "failed"


class Scope(Struct, frozen=True, kw_only=True):
    """The scope of a request: everything that it asked for.

    Args:
        listing: the part of the source's offer that was pulled whole (`soccer_epl`), or that the
            named events stand in; None where that is unknown.
        events: the source's ids of the events asked for; None for the whole listing.
        bookmakers: the keys asked for; None for all.
        markets: the market types asked for; None for all.
        elsewhere: the market types that only other kinds of request ask this source for. Any other
            type that is held and not shown is gone. None where the source cannot tell: then only
            the types asked for can be gone.
    """

    listing: str | None = None
    events: frozenset[str] | None = None
    bookmakers: frozenset[str] | None = None
    markets: frozenset[str] | None = None
    elsewhere: frozenset[str] | None = None

    def covers(self, market: str) -> bool:
        """Return whether an answer speaks of a market type, be it by not showing it."""
        if self.markets is None or market in self.markets:
            return True
        return self.elsewhere is not None and market not in self.elsewhere


class ObservedBookmaker(Struct, frozen=True, kw_only=True):
    """One bookmaker's markets for one event.

    unreadable: market types that were there but could not be decoded (or ANY). Their markets are
    suspended, not removed, since their prices cannot be confirmed.
    """

    bookmaker: str
    markets: Mapping[MarketKey, ObservedMarket]
    source_updated_at: datetime | None = None
    unreadable: frozenset[str] = frozenset()


class ObservedEvent(Struct, frozen=True, kw_only=True):
    """One event as a source showed it.

    Args:
        shared_ids: namespace -> id, for ids that several sources use (`sr` for SportRadar).
        status: the status that the source tells; None derives it from the start time.
        unreadable: bookmakers that were there but could not be decoded (or ANY); they stay as they
            are.
        title: the source's name of an event without sides, such as an outright.
    """

    source_event_id: str
    sport: str
    competition: str
    home: str
    away: str
    start_time: datetime
    bookmakers: tuple[ObservedBookmaker, ...]
    shared_ids: Mapping[str, str] = {}
    status: EventStatus | None = None
    unreadable: frozenset[str] = frozenset()
    title: str = ""


class Observation(Struct, frozen=True, kw_only=True):
    """The outcome of one fetch.

    Args:
        started_at: the start of the request, for people.
        observed_at: the time at which the answer had arrived whole.
        unreadable: the source's ids of events that could not be decoded (or ANY); they count as
            seen.
        reason: the cause of a failed or partial fetch, in words and without secrets.
        problems: name of a problem -> number of times.
        quota_left: credits left of the source's quota; None where it does not tell.
        cost: credits that this fetch took; None where the source does not tell.
        mapped: number of the source's markets that became canonical ones.
        unmapped: the source's name of a market that did not -> number of them. A source whose
            names are canonical leaves both out.
        sequence: number of the attempt, stamped by the scraper. An observation with a lower number
            than the last one applied to the same source and event is discarded.
        observed_boot_s: as observed_at, by the boot clock; stamped by the scraper.
    """

    source: str
    scope: Scope
    completeness: Completeness
    started_at: datetime
    observed_at: datetime
    events: tuple[ObservedEvent, ...] = ()
    unreadable: frozenset[str] = frozenset()
    reason: str = ""
    problems: dict[str, int] = field(default_factory=dict)
    quota_left: int | None = None
    cost: float | None = None
    mapped: int = 0
    unmapped: Mapping[str, int] = {}
    sequence: int = 0
    observed_boot_s: float = 0.0

    @property
    def failure(self) -> str:
        """The name of the failure: the first of its problems; empty for any other fetch."""
        if self.completeness is not Completeness.FAILED:
            return ""
        return reason_word(next(iter(self.problems), ""))
