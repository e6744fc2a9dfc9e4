"""Observations: the outcome of one fetch of a source, with its scope.

A fetch ends as complete, partial or failed. Only things in the scope of a complete fetch can be
missing: a failed fetch is not an empty one. sources.boundary checks these values; they are not
checked here.
"""

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct, field

from odds_service.model.event import EventStatus
from odds_service.model.market import MarketKey, ObservedMarket
from odds_service.model.source import reason_word

ANY: Final = "*"  # in `unreadable`: something lacked a readable name, so nothing counts as missing


class Completeness(enum.Enum):
    """The extent to which an observation saw its scope."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    FAILED = "failed"


class Scope(Struct, frozen=True, kw_only=True):
    """The scope of a request: everything that it asked for.

    Attributes:
        listing: The part of the source's offer that was fetched whole (`soccer_epl`), or that the
            named events belong to; None if unknown.
        events: The source's ids of the events asked for; None for the whole listing.
        bookmakers: The keys asked for; None for all.
        markets: The market types asked for; None for all.
        elsewhere: The market types requested only by other kinds of requests to this source. Any
            other type that we hold and the answer lacks is gone. If None (unknown), only the types
            asked for can be gone.
    """

    listing: str | None = None
    events: frozenset[str] | None = None
    bookmakers: frozenset[str] | None = None
    markets: frozenset[str] | None = None
    elsewhere: frozenset[str] | None = None

    def covers(self, market: str) -> bool:
        """Return whether a market type that is missing from the answer counts as gone."""
        if self.markets is None or market in self.markets:
            return True
        return self.elsewhere is not None and market not in self.elsewhere


class ObservedBookmaker(Struct, frozen=True, kw_only=True):
    """One bookmaker's markets for one event.

    Attributes:
        unreadable: The market types that were present but could not be decoded (or ANY). Their
            markets are suspended, not removed, since their prices cannot be confirmed.
    """

    bookmaker: str
    markets: Mapping[MarketKey, ObservedMarket]
    source_updated_at: datetime | None = None
    unreadable: frozenset[str] = frozenset()


class ObservedEvent(Struct, frozen=True, kw_only=True):
    """One event as shown by a source.

    Attributes:
        shared_ids: Namespace -> id, for ids that several sources use (`sr` for SportRadar).
        status: The status that the source reports; None to derive it from the start time.
        unreadable: The bookmakers that were present but could not be decoded (or ANY); they remain
            unchanged.
        title: The source's name for an event without sides, such as an outright.
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


class UnmappedSample(Struct, frozen=True, kw_only=True):
    """One event with a market that was not mapped, in the source's words.

    Attributes:
        sport: The canonical sport.
        event_id: The source's id of the event.
        event_name: Its name for people.
        outcomes: The texts of the market's outcomes, or of those that are unknown.
    """

    sport: str
    event_id: str
    event_name: str
    outcomes: tuple[str, ...] = ()


class Observation(Struct, frozen=True, kw_only=True):
    """The outcome of one fetch.

    Attributes:
        started_at: The start of the request, for people.
        observed_at: The time at which the whole answer had arrived.
        unreadable: The source's ids of events that could not be decoded (or ANY); they count as
            seen.
        reason: The cause of a failed or partial fetch, for people and without secrets.
        problems: Name of a problem -> number of occurrences.
        quota_left: The credits left in the source's quota; None if it does not say.
        cost: The credits that this fetch took; None if the source does not say.
        mapped: The number of the source's markets mapped to canonical ones.
        unmapped: The source's name of a market that was not mapped -> number of such markets. A
            source with canonical names sets neither.
        unmapped_samples: Name in `unmapped` -> one event that has such a market.
        sequence: The number of the attempt, stamped by the scraper. An observation with a lower
            number than the last one applied to the same source and event is discarded.
        observed_boot_s: The boot clock at observed_at, in seconds; stamped by the scraper.
        tier: The tier of the pull, stamped by the scraper; empty if unknown.
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
    unmapped_samples: Mapping[str, UnmappedSample] = {}
    sequence: int = 0
    observed_boot_s: float = 0.0
    tier: str = ""

    @property
    def failure(self) -> str:
        """The name of the failure: the first of its problems; empty for any other fetch."""
        if self.completeness is not Completeness.FAILED:
            return ""
        return reason_word(next(iter(self.problems), ""))
