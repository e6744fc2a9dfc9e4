"""Retention: deletes old rows in short transactions, so that the writer never waits long.

The floor is raised before the rows below it are deleted, so that nobody reads a part of them.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Delete, Table, and_, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.errors import BelowFloor
from odds_service.model.event import EventStatus
from odds_service.storage.database import Database, days_between
from odds_service.storage.log.pages import aio_last_detected
from odds_service.storage.log.writing import aio_locked_state
from odds_service.storage.schema import (
    event_sources,
    events,
    feed_state,
    odds_current,
    odds_history,
    scrape_runs,
    snapshots,
)
from odds_service.store import Retained, Retention

SLICE_REVISIONS: Final = 20_000  # deleted per transaction: takes well under a second
SLICE_EVENTS: Final = 50
AHEAD: Final = timedelta(days=2)  # partitions are created so far in advance


async def aio_retain(database: Database, policy: Retention, now: datetime) -> Retained:
    """See store.Store.retain."""
    done = Retained()
    async with database.writing() as connection:
        await aio_locked_state(database, connection)
        await database.aio_make_room(
            connection, days_between(now.astimezone(UTC), now.astimezone(UTC) + AHEAD)
        )
    if policy.history is not None:
        floor = await _aio_move_floor(database, now - policy.history, done)
        while deleted := await _aio_slice(database, _oldest(floor)):
            done.history += deleted
        await _aio_forget_ended(database, floor, done)
        while deleted := await _aio_slice(database, _superseded(floor)):
            done.snapshots += deleted
    if policy.ended is not None:
        upto = await _aio_last_before(database, now - policy.ended)
        while deleted := await _aio_slice(database, _current_of_ended(upto)):
            done.current += deleted
    if policy.runs is not None:
        old = scrape_runs.c.started_at < now - policy.runs
        done.runs = await _aio_slice(database, delete(scrape_runs).where(old))
    return done


async def _aio_slice(database: Database, statement: Delete) -> int:
    """Execute a delete in its own transaction; return the number of rows."""
    async with database.writing() as connection:
        await aio_locked_state(database, connection)
        return (await connection.execute(statement)).rowcount


async def _aio_move_floor(database: Database, cutoff: datetime, done: Retained) -> int:
    """Raise the floor to the last revision to delete, drop partitions; return the floor."""
    cutoff = database.whole_periods(cutoff)
    floor = await _aio_last_before(database, cutoff)
    async with database.writing() as connection:
        state = await aio_locked_state(database, connection)
        if floor > state.floor_revision:
            moved = {"floor_revision": floor, "floor_at": cutoff}
            await connection.execute(update(feed_state).values(**moved))
        done.partitions = await database.aio_drop_history(connection, cutoff)
    return max(floor, int(state.floor_revision))


async def _aio_last_before(database: Database, cutoff: datetime) -> int:
    """Return the last revision stamped before a time; 0 if history does not reach back to it."""
    async with database.reading() as connection:
        try:
            return await aio_last_detected(connection, cutoff - timedelta(microseconds=1))
        except BelowFloor:
            return 0


def _oldest(floor: int) -> Delete:
    """Return the statement that deletes the oldest rows below the floor."""
    first = select(func.min(odds_history.c.revision)).scalar_subquery()
    return delete(odds_history).where(
        odds_history.c.revision <= floor, odds_history.c.revision < first + SLICE_REVISIONS
    )


def _superseded(floor: int) -> Delete:
    """Return the statement that deletes snapshots superseded by another one below the floor."""
    newer = snapshots.alias()
    old = (
        select(snapshots.c.snapshot_id)
        .where(
            snapshots.c.snapshot_id <= floor,
            select(newer.c.snapshot_id)
            .where(
                newer.c.event_id == snapshots.c.event_id,
                newer.c.source == snapshots.c.source,
                newer.c.bookmaker == snapshots.c.bookmaker,
                newer.c.snapshot_id > snapshots.c.snapshot_id,
                newer.c.snapshot_id <= floor,
            )
            .exists(),
        )
        .limit(SLICE_REVISIONS)
    )
    return delete(snapshots).where(snapshots.c.snapshot_id.in_(old))


def _ended(upto: int) -> ColumnElement[bool]:
    return and_(events.c.status == int(EventStatus.ENDED), events.c.ended_revision <= upto)


def _current_of_ended(upto: int) -> Delete:
    """Return the statement that deletes current odds of ended events; history holds them too."""
    some = (
        select(odds_current.c.event_id)
        .join(events, events.c.event_id == odds_current.c.event_id)
        .where(_ended(upto))
        .distinct()
        .limit(SLICE_EVENTS)
    )
    return delete(odds_current).where(odds_current.c.event_id.in_(some))


async def _aio_forget_ended(database: Database, floor: int, done: Retained) -> None:
    """Delete all data of events that ended below the floor."""
    query = select(events.c.event_id).where(_ended(floor)).limit(SLICE_EVENTS)
    while True:
        async with database.writing() as connection:
            await aio_locked_state(database, connection)
            some = list(await connection.scalars(query))
            if not some:
                return
            done.events += len(some)
            done.current += await _aio_delete(connection, odds_current, some)
            done.snapshots += await _aio_delete(connection, snapshots, some)
            await _aio_delete(connection, event_sources, some)
            await _aio_delete(connection, events, some)


async def _aio_delete(connection: AsyncConnection, table: Table, event_ids: list[str]) -> int:
    found = await connection.execute(delete(table).where(table.c.event_id.in_(event_ids)))
    return found.rowcount
