"""Adaptation of stored odds and source states to the clocks of this run."""

from msgspec.structs import replace

from odds_service.feed import ChangeFeed
from odds_service.model.snapshot import EventOdds, Reading
from odds_service.model.source import SourceState
from odds_service.sources.base import OpenSource
from odds_service.store import Stored


def feed_of(stored: Stored) -> ChangeFeed:
    """Return a feed at the durable revision of a database."""
    detected_at, epochs = stored.last_detected_at, stored.epochs
    return ChangeFeed(stored.epoch, stored.revision, detected_at=detected_at, epochs=epochs)


def odds_on_boot_clock(entry: EventOdds, now: Reading) -> EventOdds:
    """Return stored odds with their times on this boot's clock.

    A time ahead of the wall clock counts as now.
    """
    bookmakers = {}
    for key, odds in entry.bookmakers.items():
        boot_s, lagging = now.boot_at(odds.confirmed_at), now.on_boot_clock(odds.lagging)
        bookmakers[key] = replace(odds, confirmed_boot_s=boot_s, lagging=lagging)
    return replace(entry, bookmakers=bookmakers)


def starting_state(source: OpenSource, stored: SourceState | None) -> SourceState:
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
