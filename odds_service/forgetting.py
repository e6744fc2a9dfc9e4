"""Removal of unconfirmed odds from the cache and of old rows from the database."""

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
    """Return the lifetimes of unconfirmed odds in the cache."""
    return PurgePolicy(
        over=timedelta(hours=settings.over_hours),
        unconfirmed=timedelta(hours=settings.unconfirmed_hours),
    )


def retention(settings: RetentionSettings) -> Retention:
    """Return the lifetimes of rows in the database; history is unlimited by default."""
    days = settings.history_days
    return Retention(
        history=None if days is None else timedelta(days=days),
        runs=timedelta(days=settings.runs_days),
        events=timedelta(days=settings.ended_days),
        letters=timedelta(days=settings.letters_days),
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
