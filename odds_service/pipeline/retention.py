"""What is too old: unconfirmed events leave the cache, old rows leave the database."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

import structlog
import trio
from msgspec import Struct
from msgspec.structs import asdict

from odds_service.cache import OddsCache
from odds_service.errors import OddsServiceError
from odds_service.model.snapshot import EventOdds
from odds_service.model.source import STALE_AFTER_INTERVALS, SourceState
from odds_service.pipeline.detect import Detector
from odds_service.pipeline.write import Writer
from odds_service.storage.base import Retention, Store

TICK_S: Final = 60.0
GRACE: Final = timedelta(minutes=15)  # after a start, for the sources to confirm what they carry
RETAIN_EVERY_S: Final = 3600.0  # PostgreSQL's partitions are made two days ahead

log = structlog.get_logger(__name__)


class PurgePolicy(Struct, frozen=True, kw_only=True):
    """For how long odds stay that nobody confirms.

    over: after the event's start, or after its last confirmation where that is later.
    unconfirmed: after the last confirmation, whenever the event starts.
    """

    over: timedelta
    unconfirmed: timedelta


def due_for_purge(
    events: Mapping[str, EventOdds],
    sources: Mapping[str, SourceState],
    policy: PurgePolicy,
    *,
    since: datetime,
    now: datetime,
) -> dict[str, set[str]]:
    """Event id -> those of its sources that may go.

    since: the start of this service. What was stored before is judged once its source has had time
    to confirm it; a source that is not among `sources` is not configured any more.
    """
    found: dict[str, set[str]] = {}
    for event_id, entry in events.items():
        for source in entry.sources:
            state = sources.get(source)
            grace = GRACE
            if state is not None:
                grace = max(grace, timedelta(seconds=STALE_AFTER_INTERVALS * state.interval_s))
            if now - since < grace:
                continue
            confirmed = max(_confirmations(entry, source), default=since)
            if (
                now - confirmed >= policy.unconfirmed
                or now - max(confirmed, entry.event.start_time) >= policy.over
            ):
                found.setdefault(event_id, set()).add(source)
    return found


def _confirmations(entry: EventOdds, source: str) -> Iterator[datetime]:
    carried = entry.sources[source]
    if carried.applied_at is not None and carried.absences == 0:
        yield carried.applied_at
    for key, odds in entry.bookmakers.items():
        if key[0] == source:
            yield odds.confirmed_at


async def purge_by_clock(
    cache: OddsCache, detector: Detector, policy: PurgePolicy, now: Callable[[], datetime]
) -> None:
    """Let unconfirmed events go, every TICK_S seconds; returns only when cancelled."""
    since = now()
    while True:
        await trio.sleep(TICK_S)
        changes = await detector.purge(
            lambda: due_for_purge(cache.events, cache.sources, policy, since=since, now=now())
        )
        if changes:
            log.info("purged", changes=changes)


async def retain_by_clock(
    store: Store, writer: Writer, retention: Retention, now: Callable[[], datetime]
) -> None:
    """Take out of the database what is too old, at the start and every RETAIN_EVERY_S seconds.

    A failure is told and tried again after TICK_S; it never ends the service. Dead letters are
    counted at each tick, since `odds-service db` may have stored or dropped some. Returns only
    when cancelled.
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
