"""What one fetch of a source showed, and of what it can speak.

A fetch ends as complete, partial or failed. Only what lies in the scope of a complete one can be
missing: a failed fetch is not an empty one. Nothing is checked here: sources.boundary does that.
"""

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct, field

from odds_service.model.event import EventStatus
from odds_service.model.market import MarketKey, ObservedMarket
from odds_service.model.source import reason_word

ANY: Final = "*"  # in `unreadable`: something could not even be named, so nothing may be missed


class Completeness(enum.Enum):
    """How much of its scope an observation saw."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    FAILED = "failed"


class Scope(Struct, frozen=True, kw_only=True):
    """What was asked for.

    listing: the part of the source's offer that was pulled whole (`soccer_epl`), or, where events
    are named, that they stand in; None where that is not known. events: the source's ids of the
    events asked for, None for all of the listing. bookmakers, markets: keys and market types asked
    for, None for all. elsewhere: the market types that only other kinds of request ask this source
    for; any other type that is held and not shown is gone. None where the source cannot tell: then
    only the types asked for can be gone.
    """

    listing: str | None = None
    events: frozenset[str] | None = None
    bookmakers: frozenset[str] | None = None
    markets: frozenset[str] | None = None
    elsewhere: frozenset[str] | None = None

    def covers(self, market: str) -> bool:
        """Whether an answer of this scope speaks of a market type, also by not showing it."""
        if self.markets is None or market in self.markets:
            return True
        return self.elsewhere is not None and market not in self.elsewhere


class ObservedBookmaker(Struct, frozen=True, kw_only=True):
    """One bookmaker's markets for one event.

    unreadable: market types that were there but could not be decoded (or ANY): not removed, but
    suspended, since their prices cannot be confirmed.
    """

    bookmaker: str
    markets: Mapping[MarketKey, ObservedMarket]
    source_updated_at: datetime | None = None
    unreadable: frozenset[str] = frozenset()


class ObservedEvent(Struct, frozen=True, kw_only=True):
    """One event as a source showed it.

    shared_ids: namespace -> id, for ids that several sources use (`sr` for SportRadar).
    status: where the source tells it; None derives it from the start time.
    unreadable: bookmakers that were there but could not be decoded (or ANY): they stay untouched.
    title: of an event without sides, such as an outright, as the source calls it.
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

    sequence: number of the attempt, by the service's clock; the scraper stamps it. started_at: when
    its request started, for people. An observation with a lower number than the last applied one of
    the same source and event is discarded. observed_at: when its answer had come whole;
    observed_boot_s: the same by the boot clock, stamped by the scraper.
    unreadable: the source's ids of events that could not be decoded (or ANY); they count as seen.
    reason: why it failed or is partial, in words, without secrets. problems: name -> how many.
    quota_left: credits left of the source's quota, cost: those that this fetch took; None where it
    does not tell. mapped: markets of the source's that became canonical ones; unmapped: its name of
    a market that did not -> how many of it there were. A source whose names are the canonical ones
    leaves both out.
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
        """The word for why it failed: the first of its problems; empty unless it did."""
        if self.completeness is not Completeness.FAILED:
            return ""
        return reason_word(next(iter(self.problems), ""))
