"""Answers about the past: odds at a revision, closing odds, runs."""

from datetime import datetime

from msgspec import Struct

from odds_service.model.market import AtStart, Market
from odds_service.model.scrape_run import ScrapeRun
from odds_service.model.snapshot import EventOdds


class PastOdds(Struct, frozen=True):
    """The odds as they were at a revision.

    Attributes:
        revision: the revision.
        at: its time; None before the first change.
        unstored: number of unknown changes after it (refused, and dropped from the dead letters).
            Unless it is 0, a market may show the odds from before or after one of them.
    """

    revision: int
    at: datetime | None
    events: list[EventOdds]
    unstored: int


class StartedEvents(Struct, frozen=True, kw_only=True):
    """A selection of events that started before a time; empty fields do not restrict."""

    before: datetime
    event_ids: frozenset[str] = frozenset()
    sports: frozenset[str] = frozenset()
    competitions: frozenset[str] = frozenset()
    start_from: datetime | None = None


class ClosingOdds(Struct, frozen=True):
    """The last OPEN odds of a market before its event's start.

    Attributes:
        confirmed_at: last time at which they were seen true, not after the start.
        at_start: whether they still stood at the start.
        looked_at: last look at the event at or before the start. It is later than confirmed_at if
            the market was gone by then.
        opening: the first OPEN odds of the market; None if the history does not reach back so far.
    """

    event_id: str
    start_time: datetime
    source: str
    bookmaker: str
    market: Market
    confirmed_at: datetime
    at_start: AtStart
    looked_at: datetime
    opening: Market | None = None

    @property
    def offered(self) -> bool:
        """Return whether the market is known to have been offered at the start."""
        return self.at_start is AtStart.OFFERED

    @property
    def age_s(self) -> float:
        """Seconds from the last confirmation to the start."""
        return (self.start_time - self.confirmed_at).total_seconds()


RunPlace = tuple[datetime, str, str]  # started_at, source, listing: the key of a run


class RunsFilter(Struct, frozen=True, kw_only=True):
    """A selection of runs that began at or after `start` and before `end`; None for no bound.

    Attributes:
        sources: the sources; empty for all.
    """

    sources: frozenset[str] = frozenset()
    start: datetime | None = None
    end: datetime | None = None


class RunsPage(Struct, frozen=True):
    """Some runs, the newest first.

    Attributes:
        runs: the runs, without those whose records cannot be read.
        next: the place before which the next page begins; None on the last page.
    """

    runs: list[ScrapeRun]
    next: RunPlace | None
