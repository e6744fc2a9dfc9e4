"""Epochs: the fence against a former owner, its surplus, and the opening of a new epoch."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.model.change import Commit
from odds_service.storage.database import Database
from odds_service.storage.epoch_order import (
    Epochs,
    check_consecutive,
    check_continues,
    later_epochs,
)
from odds_service.storage.log.writing import aio_own_state, aio_write_batches, by_days
from odds_service.storage.schema import epochs, feed_state
from odds_service.store import Fence, Opening

# Whether an import opened the last epoch; no row before the first one.
LAST_IMPORTED: Final = select(epochs.c.imported).order_by(epochs.c.place.desc()).limit(1)
_GROUP_CHANGES: Final = 5_000  # per transaction


async def aio_state(database: Database, connection: AsyncConnection) -> Row[Any]:
    """Lock and return the row of feed_state; insert it at the very first start."""
    query = select(feed_state)
    if database.locks_rows:
        query = query.with_for_update()
    found = (await connection.execute(query)).one_or_none()
    if found is not None:
        return found
    first = {
        "one": 1, "database_id": uuid.uuid4().hex, "epoch": "",
        "durable_revision": 0, "floor_revision": 0,
    }  # fmt: skip
    await connection.execute(feed_state.insert(), first)
    return (await connection.execute(select(feed_state))).one()


async def aio_epochs(connection: AsyncConnection) -> Epochs:
    """Return all opened epochs."""
    rows = await connection.execute(select(epochs).order_by(epochs.c.place))
    return [(row.epoch, row.first_revision) for row in rows]


async def aio_fence(database: Database) -> Fence:
    """See store.Store.fence."""
    async with database.fencing() as connection:
        state = await aio_state(database, connection)
        epoch = uuid.uuid4().hex
        await connection.execute(update(feed_state).values(epoch=epoch))
        known = await aio_epochs(connection)
        return Fence(
            epoch=epoch,
            old_epoch=known[-1][0] if known else "",
            durable_revision=state.durable_revision,
            epochs=known,
            database_id=state.database_id,
            last_detected_at=state.detected_at,
        )


async def aio_begin_epoch(
    connection: AsyncConnection, state: Row[Any], epoch: str, opening: Opening, now: datetime
) -> Epochs:
    """Open an epoch after the durable revision, or move it there; return all epochs.

    Args:
        connection: inside a writing transaction.
        state: the locked row of feed_state.
        epoch: the epoch.
        opening: the kind of the start.
        now: the time to record.

    Raises:
        StorageError: see Opening.check().
    """
    imported = bool(await connection.scalar(LAST_IMPORTED))
    opening.check(imported=imported, last_detected_at=state.detected_at)
    await connection.execute(update(feed_state).values(epoch=epoch))
    opened = {
        "epoch": epoch, "first_revision": state.durable_revision + 1, "opened_at": now,
        "imported": int(opening.recorded_from is not None),
    }  # fmt: skip
    moved = await connection.execute(update(epochs).where(epochs.c.epoch == epoch).values(opened))
    if not moved.rowcount:
        await connection.execute(epochs.insert(), opened)
    return await aio_epochs(connection)


async def aio_open_epoch(database: Database, epoch: str, opening: Opening, now: datetime) -> Epochs:
    """Open the fenced epoch. Raises StorageError and Superseded; see store.Store.open_epoch."""
    async with database.writing() as connection:
        state = await aio_own_state(database, connection, epoch)
        return await aio_begin_epoch(connection, state, epoch, opening, now)


async def aio_store_surplus(
    database: Database, fenced: str, epoch: str, commits: Sequence[Commit]
) -> int:
    """See store.Store.store_surplus; `fenced` is the new owner's epoch."""
    check_consecutive(commits)
    refused = 0
    for group in groups(commits):
        for piece in by_days(group):
            async with database.writing() as connection:
                state = await aio_own_state(database, connection, fenced)
                durable, last = state.durable_revision, piece[-1].last_revision
                check_continues(durable, piece[0].first_revision)
                if last > durable:
                    await aio_extend(connection, epoch, durable, last)
                    refused += await aio_write_batches(database, connection, state, piece, epoch)
    return refused


async def aio_extend(connection: AsyncConnection, epoch: str, durable: int, upto: int) -> None:
    """Move the beginnings of later, empty epochs, so that an earlier one can go on.

    Args:
        connection: inside a writing transaction.
        epoch: the epoch that numbered the next revisions.
        durable: the durable revision.
        upto: the last of the next revisions.

    Raises:
        ForeignSurplus: see later_epochs().
    """
    later = later_epochs(await aio_epochs(connection), epoch, durable)
    if later:
        await connection.execute(
            update(epochs).where(epochs.c.epoch.in_(later)).values(first_revision=upto + 1)
        )


def groups(commits: Iterable[Commit], changes: int = _GROUP_CHANGES) -> Iterator[list[Commit]]:
    """Split commits for transactions of at least so many changes each, but for the last one."""
    group: list[Commit] = []
    size = 0
    for commit in commits:
        group.append(commit)
        size += len(commit.changes)
        if size >= changes:
            yield group
            group, size = [], 0
    if group:
        yield group
