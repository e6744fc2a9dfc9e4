"""Retention: deletes old rows in short transactions, so that the writer never waits long.

The floor is raised before the rows below it are deleted, so that nobody reads a part of them.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Delete, Table, and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.errors import BelowFloor
from odds_service.model.event import EventStatus
from odds_service.storage.database import Database, days_between
from odds_service.storage.letters.letters import aio_give_up
from odds_service.storage.letters.selecting import APPLIES
from odds_service.storage.log.pages import aio_last_detected
from odds_service.storage.log.writing import aio_locked_state
from odds_service.storage.schema import (
    dead_letters,
    event_sources,
    events,
    feed_state,
    lost_changes,
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
        await _aio_forget_ended(database, _ended(floor), done, (odds_current, snapshots))
        await _aio_slice(database, delete(lost_changes).where(lost_changes.c.revision <= floor))
        for old in (_superseded(floor), _orphans(floor)):
            while deleted := await _aio_slice(database, old):
                done.snapshots += deleted
    if policy.events is not None:
        upto = await _aio_last_before(database, now - policy.events)
        going = and_(_ended(upto), ~_has_letters())
        await _aio_forget_ended(database, going, done, (odds_current,))
    if policy.letters is not None:
        while given_up := await _aio_give_up_letters(database, now - policy.letters):
            done.letters += given_up
    if policy.ended is not None:
        upto = await _aio_last_before(database, now - policy.ended)
        while deleted := await _aio_slice(database, _current_of_ended(upto)):
            done.current += deleted
    if policy.runs is not None:
        begun = scrape_runs.c.started_at < now - policy.runs
        done.runs = await _aio_slice(database, delete(scrape_runs).where(begun))
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


def _has_letters() -> ColumnElement[bool]:
    """Return the condition of an event to which letters belong, which would revive it."""
    return (
        select(dead_letters.c.letter_id)
        .where(APPLIES, dead_letters.c.event_id == events.c.event_id)
        .exists()
    )


def _orphans(floor: int) -> Delete:
    """Return the statement that deletes snapshots of forgotten events that history left too."""
    mine = snapshots.c.event_id
    kept = (
        select(events.c.event_id).where(events.c.event_id == mine).exists(),
        select(odds_current.c.event_id).where(odds_current.c.event_id == mine).exists(),
        select(odds_history.c.event_id)
        .where(odds_history.c.event_id == mine, odds_history.c.revision > floor)
        .exists(),
    )
    old = (
        select(snapshots.c.snapshot_id)
        .where(snapshots.c.snapshot_id <= floor, ~or_(*kept))
        .limit(SLICE_REVISIONS)
    )
    return delete(snapshots).where(snapshots.c.snapshot_id.in_(old))


async def _aio_give_up_letters(database: Database, cutoff: datetime) -> int:
    """Delete some of the letters kept before a time; return their number."""
    async with database.writing() as connection:
        state = await aio_locked_state(database, connection)
        old = select(dead_letters.c.letter_id).where(dead_letters.c.kept_at < cutoff)
        oldest = old.order_by(dead_letters.c.letter_id).limit(SLICE_REVISIONS)
        deleted = await aio_give_up(connection, dead_letters.c.letter_id.in_(oldest))
        # The history has left these behind already.
        below = lost_changes.c.revision <= state.floor_revision
        await connection.execute(delete(lost_changes).where(below))
        return deleted


async def _aio_forget_ended(
    database: Database, going: ColumnElement[bool], done: Retained, tables: Sequence[Table]
) -> None:
    """Delete ended events.

    Args:
        database: the engine.
        going: the condition of the events.
        done: counts the deleted rows.
        tables: the tables of odds from which to delete what belongs to them.
    """
    query = select(events.c.event_id).where(going).limit(SLICE_EVENTS)
    while True:
        async with database.writing() as connection:
            await aio_locked_state(database, connection)
            some = list(await connection.scalars(query))
            if not some:
                return
            done.events += len(some)
            for table in tables:
                deleted = await _aio_delete(connection, table, some)
                if table is odds_current:
                    done.current += deleted
                else:
                    done.snapshots += deleted
            await _aio_delete(connection, event_sources, some)
            await _aio_delete(connection, events, some)


async def _aio_delete(connection: AsyncConnection, table: Table, event_ids: list[str]) -> int:
    found = await connection.execute(delete(table).where(table.c.event_id.in_(event_ids)))
    return found.rowcount
