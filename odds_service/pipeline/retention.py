"""Retention: unconfirmed events leave the cache, old rows leave the database."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

import structlog
import trio
from msgspec import Struct
from msgspec.structs import asdict

from odds_service.cache import OddsCache
from odds_service.clock import SteadyClock, later
from odds_service.errors import OddsServiceError
from odds_service.model.snapshot import EventOdds, Reading
from odds_service.model.source import STALE_AFTER_INTERVALS, SourceState
from odds_service.pipeline.detect import Detector
from odds_service.pipeline.write import Writer
from odds_service.store import Retention, Store

TICK_S: Final = 60.0
GRACE: Final = timedelta(minutes=15)  # for sources to confirm their events after a start
RETAIN_EVERY_S: Final = 3600.0  # often enough: partitions in PostgreSQL are made two days ahead
DAY_S: Final = 86_400.0
CATCH_UP: Final = 24.0  # relative to the wall clock: a day of history per hour

log = structlog.get_logger(__name__)


class PurgePolicy(Struct, frozen=True, kw_only=True):
    """The ages at which unconfirmed odds leave the cache.

    `over` counts from the event's start or from its last confirmation, whichever is later.
    `unconfirmed` counts from the last confirmation, whenever the event starts.
    """

    over: timedelta
    unconfirmed: timedelta


def due_for_purge(
    events: Mapping[str, EventOdds],
    sources: Mapping[str, SourceState],
    policy: PurgePolicy,
    *,
    since_s: float,
    now: Reading,
) -> dict[str, set[str]]:
    """Return the sources to drop from each event, by event id.

    Events that were last confirmed before `since_s` stay until their source has had time to confirm
    them again.

    Args:
        events: the entries of the cache, by event id.
        sources: the states of the configured sources.
        policy: the ages at which sources are dropped.
        since_s: the boot clock at the start of the service or at the end of the machine's last
            sleep, in seconds.
        now: the current reading of the clocks.
    """
    found: dict[str, set[str]] = {}
    boot_s = since_s if now.boot_s is None else now.boot_s
    for event_id, entry in events.items():
        for source in entry.sources:
            state = sources.get(source)
            grace_s = GRACE.total_seconds()
            if state is not None:
                grace_s = max(grace_s, STALE_AFTER_INTERVALS * state.interval_s)
            if boot_s - since_s < grace_s:
                continue
            age_s = boot_s - max(_confirmations(entry, source), default=since_s)
            over_s = min(age_s, (now.wall - entry.event.start_time).total_seconds())
            if age_s >= policy.unconfirmed.total_seconds() or over_s >= policy.over.total_seconds():
                found.setdefault(event_id, set()).add(source)
    return found


def _confirmations(entry: EventOdds, source: str) -> Iterator[float]:
    """Yield the boot-clock times at which a source last showed an event and its odds."""
    carried = entry.sources[source]
    if carried.seen_boot_s is not None:
        yield carried.seen_boot_s
    for key, odds in entry.bookmakers.items():
        if key[0] == source:
            yield odds.confirmed_boot_s


async def purge_by_clock(
    cache: OddsCache, detector: Detector, policy: PurgePolicy, clock: SteadyClock
) -> None:
    """Purge unconfirmed events every TICK_S seconds, until cancelled."""
    while True:
        await trio.sleep(TICK_S)
        clock.look()  # the machine may have just woken up
        changes = await detector.purge(
            lambda: due_for_purge(
                cache.events,
                cache.sources,
                policy,
                since_s=clock.awake_since_s,
                now=clock.reading(),
            )
        )
        if changes:
            log.info("purged", changes=changes)


class RetentionTime:
    """The clock for the age of history: the wall clock, but never much ahead of the log.

    A clock that is years ahead would delete the whole history at once. So this time starts at most
    a day after the last change, and approaches the wall clock at CATCH_UP times its pace: after a
    long stop, old rows are deleted over some days, and a wrong clock can still be corrected.
    """

    def __init__(self, last_detected_at: datetime | None) -> None:
        self._time = None if last_detected_at is None else later(last_detected_at, DAY_S)
        self._boot_s: float | None = None

    def at(self, wall: datetime, boot_s: float) -> datetime:
        """Return the time at a reading of the clocks."""
        elapsed_s = 0.0 if self._boot_s is None else max(0.0, boot_s - self._boot_s)
        if self._time is None:
            self._time = wall
        self._time = min(wall, later(self._time, elapsed_s * CATCH_UP))
        self._boot_s = boot_s
        return self._time


async def retain_by_clock(
    store: Store, writer: Writer, retention: Retention, now: Callable[[], datetime]
) -> None:
    """Delete old rows at the start and then every RETAIN_EVERY_S seconds, until cancelled.

    A failure is logged and retried after TICK_S; it never ends the service. Dead letters are
    counted at each tick, since `odds-service db` may have stored or dropped some.

    Args:
        store: holds the rows.
        writer: keeps the count of dead letters.
        retention: the ages at which rows are deleted.
        now: returns the time that ages are relative to.
    """
    due = trio.current_time()
    while True:
        try:
            if trio.current_time() >= due:
                done = await store.retain(retention, now())
                due = trio.current_time() + RETAIN_EVERY_S
                if any(asdict(done).values()):
                    log.info("retained", **asdict(done))
            writer.dead_letters = await store.count_dead_letters()
        except OddsServiceError as error:
            log.warning("retention_failed", reason=str(error))
        except Exception as error:  # a bug here must not stop the odds
            log.error("retention_crashed", exc_info=error)
        await trio.sleep(TICK_S)
