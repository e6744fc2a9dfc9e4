"""Forgetting by the settings: unconfirmed odds leave the cache, old rows leave the database."""

from datetime import datetime, timedelta

import trio

from odds_service.assembly import Parts
from odds_service.config import RetentionSettings
from odds_service.pipeline.retention import (
    PurgePolicy,
    RetentionTime,
    purge_by_clock,
    retain_by_clock,
)
from odds_service.store import Retention


def purge_policy(settings: RetentionSettings) -> PurgePolicy:
    """Return how long the cache keeps odds that no source confirms."""
    return PurgePolicy(
        over=timedelta(hours=settings.over_hours),
        unconfirmed=timedelta(hours=settings.unconfirmed_hours),
    )


def retention(settings: RetentionSettings) -> Retention:
    """Return how long the database keeps its rows; no limit of history where none is set."""
    days = settings.history_days
    return Retention(
        history=None if days is None else timedelta(days=days),
        runs=timedelta(days=settings.runs_days),
    )


async def forget(parts: Parts) -> None:
    """Purge the cache and retain the database by the clock; returns only when cancelled."""
    settings, clock = parts.settings.retention, parts.clock
    aged = RetentionTime(parts.stored.last_detected_at)

    def retention_time() -> datetime:
        boot_s = clock.boot_s()
        return aged.at(clock.wall_at(boot_s), boot_s)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            purge_by_clock, parts.cache, parts.detector, purge_policy(settings), clock
        )
        nursery.start_soon(
            retain_by_clock, parts.store, parts.writer, retention(settings), retention_time
        )
