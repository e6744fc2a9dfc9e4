"""Adaptation of stored odds and source states to the clocks of this run."""

from datetime import datetime

from msgspec.structs import replace

from odds_service.model.snapshot import EventOdds, Reading
from odds_service.model.source import SourceState
from odds_service.sources.base import Source


def odds_on_boot_clock(entry: EventOdds, now: Reading) -> EventOdds:
    """Return stored odds with their times on this boot's clock.

    A time ahead of the wall clock counts as now.
    """
    bookmakers = {}
    for key, odds in entry.bookmakers.items():
        lagging = {
            market: replace(seen, boot_s=_boot_of(seen.at, now))
            for market, seen in odds.lagging.items()
        }
        boot_s = _boot_of(odds.confirmed_at, now)
        bookmakers[key] = replace(odds, confirmed_boot_s=boot_s, lagging=lagging)
    return replace(entry, bookmakers=bookmakers)


def _boot_of(at: datetime, now: Reading) -> float:
    return (now.boot_s or 0.0) - max(0.0, (now.wall - at).total_seconds())


def starting_state(source: Source, stored: SourceState | None) -> SourceState:
    """Return the state of a source at a start: STALE until its first success.

    It keeps the last announced status, so that a restart announces nothing.
    """
    pace = source.pace
    return SourceState(
        source=source.name,
        # A source with one payload per event answers at least at every discovery, so the shorter
        # interval reveals a missing success.
        interval_s=min(pace.slowest_s, pace.discovery_s) if pace.by_event else pace.slowest_s,
        paces=tuple((tier.within_s, tier.interval_s) for tier in pace.tiers),
        announced=None if stored is None else stored.announced,
    )
