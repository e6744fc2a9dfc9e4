"""The load at a start: live odds, states of sources, and the position of the log."""

import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import structlog
from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.errors import StorageUnavailable
from odds_service.model.event import Event, EventStatus
from odds_service.model.market import Market, MarketKey, Markets, MarketStatus
from odds_service.model.snapshot import BookmakerKey, BookmakerOdds, EventOdds, EventSource
from odds_service.storage.asks import aio_asks
from odds_service.storage.database import Database
from odds_service.storage.letters.letters import aio_count
from odds_service.storage.letters.refused import aio_refused_changes
from odds_service.storage.log.epochs import aio_begin_epoch, aio_epochs, aio_state
from odds_service.storage.log.writing import aio_own_state
from odds_service.storage.reads.as_of import aio_odds_at
from odds_service.storage.rows import Unreadable
from odds_service.storage.rows.events import carried_from, event_from
from odds_service.storage.rows.many_odds import ManyOdds
from odds_service.storage.rows.snapshots import lagging_from
from odds_service.storage.rows.sources import state_from
from odds_service.storage.schema import (
    event_sources,
    events,
    feed_state,
    odds_current,
    snapshots,
    source_states,
)
from odds_service.store import GHOSTS_SINCE, MOST_GHOSTS, Opening, Report, Stored

log = structlog.get_logger(__name__)

LOG_EVERY_S: Final = 10.0  # while a large database is loaded
_IDS_AT_ONCE: Final = 1_000  # of events that refused changes affect, before all are read

Shown = dict[str, dict[BookmakerKey, dict[MarketKey, Market]]]  # event -> bookmaker -> market


class LoadLog:
    """Log lines about the progress of a load, one every LOG_EVERY_S.

    Args:
        clock: A clock in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun = self._said = clock()

    def __call__(self, what: str, done: int, total: int | None = None) -> None:
        """Log how many things were read, in the form of store.Report."""
        now = self._clock()
        if now >= self._said + LOG_EVERY_S:
            self._said = now
            of_all = {} if total is None else {"total": total}
            log.info("loading", what=what, read=done, **of_all, seconds=round(now - self._begun, 1))


async def aio_begin(database: Database, now: datetime, opening: Opening) -> Stored:
    """Open a new epoch after the durable revision, and return the stored state.

    Raises StorageError; see Opening.check().
    """
    async with database.writing() as connection:
        state = await aio_state(database, connection)
        known = await aio_begin_epoch(connection, state, uuid.uuid4().hex, opening, now)
        return await _aio_stored(database, connection, state, known, now)


async def aio_load(database: Database, epoch: str, now: datetime) -> Stored:
    """See store.Store.load."""
    async with database.writing() as connection:
        state = await aio_own_state(database, connection, epoch)
        known = await aio_epochs(connection)
        return await _aio_stored(database, connection, state, known, now)


async def aio_warm(database: Database, now: datetime) -> Stored:
    """See store.Store.warm."""
    async with database.reading() as connection:
        state = (await connection.execute(select(feed_state))).one_or_none()
        known = await aio_epochs(connection)
        if state is None or not known:
            raise StorageUnavailable("no service has begun on this database yet")
        return await _aio_stored(database, connection, state, known, now)


async def _aio_stored(
    database: Database,
    connection: AsyncConnection,
    state: Row[Any],
    known: list[tuple[str, int]],
    now: datetime,
) -> Stored:
    """Return the stored state; log the progress of a long load.

    Args:
        database: the engine.
        connection: inside a transaction.
        state: the row of feed_state.
        known: (epoch, its first revision), the present one last.
        now: the present time.
    """
    states = {}
    for row in await connection.execute(select(source_states)):
        with suppress(Unreadable):
            states[row.source] = state_from(row.state)
    live = await aio_live_events(database, connection, LoadLog())
    refused = await aio_refused_changes(connection, state.durable_revision)
    if refused.unreadable:
        log.error("unreadable_letters", letters=len(refused.unreadable))
    if affected := refused.event_ids:
        # A query takes a limited number of ids.
        ids = sorted(affected) if len(affected) <= _IDS_AT_ONCE else ()
        as_served = await aio_odds_at(connection, state.durable_revision, ids, now, refused)
        live = [entry for entry in live if entry.event.id not in affected]
        live += [entry for entry in as_served.events if entry.event.id in affected]
    states |= {source: change.after for source, change in refused.sources.items()}
    return Stored(
        events=live,
        ghosts=await aio_ghosts(connection, now),
        sources=list(states.values()),
        revision=state.durable_revision,
        epoch=known[-1][0],
        epochs=known,
        last_detected_at=state.detected_at,
        database_id=state.database_id,
        dead_letters=await aio_count(connection),
        asks=await aio_asks(connection),
    )


async def aio_live_events(
    database: Database, connection: AsyncConnection, report: Report
) -> list[EventOdds]:
    """Return the events that have not ended, with their live odds; report the progress."""
    live: dict[str, Event] = {}
    query = select(events.c.event_id, events.c.event).where(
        events.c.status != int(EventStatus.ENDED)
    )
    for row in await connection.execute(query):
        try:
            live[row.event_id] = event_from(row.event)
        except Unreadable as error:
            log.error("unreadable_event", event_id=row.event_id, reason=str(error)[:200])
    carried: dict[str, dict[str, EventSource]] = {event_id: {} for event_id in live}
    of_live = select(event_sources).join(events, events.c.event_id == event_sources.c.event_id)
    of_live = of_live.where(
        events.c.status != int(EventStatus.ENDED), event_sources.c.departed_at.is_(None)
    )
    for row in await connection.execute(of_live):
        if row.event_id in live and row.source in live[row.event_id].source_ids:
            carried[row.event_id][row.source] = carried_from(row)
    shared = ManyOdds(database.read_time)
    markets = await _aio_live_markets(database, connection, report, shared)
    shown: dict[str, dict[BookmakerKey, BookmakerOdds]] = {event_id: {} for event_id in live}
    for done, snapshot in enumerate(await connection.execute(_LATEST_SNAPSHOTS)):
        report("snapshots", done, None)
        whose = shared.bookmaker(snapshot.source, snapshot.bookmaker)
        alive = markets.get(snapshot.event_id, {}).get(whose)
        event = live.get(snapshot.event_id)
        if alive and event is not None:
            claimed = snapshot.source_updated_at
            shown[event.id][whose] = BookmakerOdds(
                snapshot.snapshot_id,
                event.id,
                *whose,
                shared.time(snapshot.observed_at),
                shared.time(snapshot.confirmed_at),
                None if claimed is None else shared.time(claimed),
                alive,
                lagging=lagging_from(snapshot.lagging),
            )
    return [
        EventOdds(event, carried[event_id], shown[event_id]) for event_id, event in live.items()
    ]


async def aio_ghosts(connection: AsyncConnection, now: datetime) -> list[tuple[str, EventSource]]:
    """Return the source events that departed from recent events, the latest first.

    A row without `shown` is left out: another event has the source event now.
    """
    query = (
        select(event_sources)
        .join(events, events.c.event_id == event_sources.c.event_id)
        .where(
            event_sources.c.departed_at.is_not(None),
            event_sources.c.shown.is_not(None),
            events.c.start_time > now - GHOSTS_SINCE,
        )
        .order_by(event_sources.c.departed_at.desc())
        .limit(MOST_GHOSTS)
    )
    found = []
    for row in await connection.execute(query):
        try:
            found.append((row.event_id, carried_from(row)))
        except Unreadable as error:
            log.error("unreadable_ghost", event_id=row.event_id, reason=str(error)[:200])
    return found


_OF_LIVE_EVENTS = (
    odds_current.join(events, events.c.event_id == odds_current.c.event_id),
    events.c.status != int(EventStatus.ENDED),
    odds_current.c.revision > events.c.ended_revision,
)

# A bookmaker's last snapshot: the last capture that changed something, tombstones included.
_LATEST = (
    select(func.max(odds_current.c.snapshot_id).label("snapshot_id"))
    .select_from(_OF_LIVE_EVENTS[0])
    .where(*_OF_LIVE_EVENTS[1:])
    .group_by(odds_current.c.event_id, odds_current.c.source, odds_current.c.bookmaker)
    .subquery()
)
_LATEST_SNAPSHOTS = select(snapshots).join(
    _LATEST, _LATEST.c.snapshot_id == snapshots.c.snapshot_id
)

_LIVE_MARKETS = (
    select(
        odds_current.c.event_id,
        odds_current.c.source,
        odds_current.c.bookmaker,
        odds_current.c.market,
        odds_current.c.line,
        odds_current.c.participant,
        odds_current.c.odds,
        odds_current.c.revision,
        odds_current.c.changed_at,
    )
    .select_from(_OF_LIVE_EVENTS[0])
    .where(*_OF_LIVE_EVENTS[1:], odds_current.c.status != int(MarketStatus.REMOVED))
)


async def _aio_live_markets(
    database: Database, connection: AsyncConnection, report: Report, shared: ManyOdds
) -> Shown:
    markets: Shown = {}
    done = 0
    async for chunk in database.chunks(connection, _LIVE_MARKETS):
        report("markets", done, None)
        done += len(chunk)
        for event_id, source, bookmaker, *parts, odds, revision, changed_at in chunk:
            key = shared.key(*parts)
            of_event = markets.setdefault(event_id, {})
            of_bookmaker = of_event.setdefault(shared.bookmaker(source, bookmaker), Markets())
            try:
                of_bookmaker[key] = shared.market(key, odds, revision, changed_at)
            except Unreadable as error:
                whose = {"event_id": event_id, "source": source, "bookmaker": bookmaker}
                log.error("unreadable_market", **whose, market=key.market, reason=str(error)[:200])
    return markets
