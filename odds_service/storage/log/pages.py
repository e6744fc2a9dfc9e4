"""Reads of the log: page by page, and the revision of a time."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, null, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.errors import BelowFloor
from odds_service.model.change import Change, ChangeKind
from odds_service.storage.rows.history import UNSTORED, changes_from
from odds_service.storage.schema import feed_state, odds_history
from odds_service.store import HistoryFilter, HistoryPage

_MARKET = odds_history.c.kind.between(int(ChangeKind.ADDED), int(ChangeKind.REMOVED))
_EVENT = odds_history.c.kind.between(int(ChangeKind.EVENT_ADDED), int(ChangeKind.EVENT_ENDED))


_WITHOUT_ENDED = (*(c for c in odds_history.c if c.name != "ended"), null().label("ended"))


def _between(
    after: int, upto: int, limit: int, columns: Sequence[Any] = (odds_history,)
) -> Select[Any]:
    return (
        select(*columns)
        .where(odds_history.c.revision > after, odds_history.c.revision <= upto)
        .order_by(odds_history.c.revision)
        .limit(limit)
    )


async def aio_history(
    connection: AsyncConnection, after: int, upto: int, limit: int
) -> list[Change]:
    """See store.Store.history."""
    upto = min(upto, await aio_durable(connection))
    query = _between(after, upto, limit).where(odds_history.c.kind != UNSTORED)
    changes, _ = changes_from(await connection.execute(query))
    return changes


async def aio_page(
    connection: AsyncConnection, after: int, upto: int, limit: int, only: HistoryFilter
) -> HistoryPage:
    """See store.Store.history_page."""
    upto = max(after, min(upto, await aio_durable(connection)))
    query = _between(after, upto, limit, (odds_history,) if only.ended else _WITHOUT_ENDED)
    found = (await connection.execute(selected(query, only))).all()
    changes, unstored = changes_from(found)
    return HistoryPage(changes, found[-1].revision if len(found) == limit else upto, unstored)


def selected(query: Select[Any], only: HistoryFilter) -> Select[Any]:
    """Return a query of odds_history reduced to the rows that a filter may select."""
    column = odds_history.c
    if only.event_ids:  # changes of sources and placeholders have no event
        query = query.where(column.event_id.in_([*sorted(only.event_ids), ""]))
    if only.sources:
        query = query.where(or_(_EVENT, column.kind == UNSTORED, column.source.in_(only.sources)))
    if only.bookmakers:
        query = query.where(or_(~_MARKET, column.bookmaker.in_(only.bookmakers)))
    if only.markets:
        query = query.where(or_(~_MARKET, column.market.in_(only.markets)))
    if not only.of_markets:
        query = query.where(~_MARKET)
    return query


async def aio_floor(connection: AsyncConnection) -> int:
    """Return the floor: the revision up to which history was deleted because of its age."""
    return int(await connection.scalar(select(feed_state.c.floor_revision)) or 0)


async def aio_durable(connection: AsyncConnection) -> int:
    """Return the durable revision that this transaction sees.

    That of a hot standby may be older than the owner's.
    """
    return int(await connection.scalar(select(feed_state.c.durable_revision)) or 0)


async def aio_last_detected(connection: AsyncConnection, at: datetime) -> int:
    """Return the last revision detected at or before a time, by the log's own stamps.

    This is a binary search: the stamps never decrease along the log, so they need no index. Raises
    BelowFloor.
    """
    state = (await connection.execute(select(feed_state))).one()
    if state.floor_at is not None and at < state.floor_at:
        raise BelowFloor(state.floor_revision)
    lowest, highest = state.floor_revision, state.durable_revision
    while lowest < highest:
        middle = (lowest + highest + 1) // 2
        detected_at = await aio_detected_at(connection, middle)
        if detected_at is None or detected_at > at:
            highest = middle - 1
        else:
            lowest = middle
    return int(lowest)


async def aio_revision_at(connection: AsyncConnection, at: datetime) -> int:
    """See store.Store.revision_at.

    For most revisions the stamp is the wall clock, so the stamps lead to the last one. The few
    others have a wall clock of their own, with an index.
    """
    lowest = await aio_last_detected(connection, at)
    state = (await connection.execute(select(feed_state))).one()
    revision, wall_at = odds_history.c.revision, odds_history.c.wall_at
    known = revision > state.floor_revision, revision <= state.durable_revision
    stepped = await connection.scalar(
        _last(revision).where(*known, wall_at.is_not(None), wall_at <= at)
    )
    if stepped is not None and stepped >= lowest:
        return int(stepped)
    # A revision up to `lowest` does not count if its own wall clock is later.
    plain = await connection.scalar(
        _last(revision).where(*known, wall_at.is_(None), revision <= lowest)
    )
    return max(int(plain or state.floor_revision), int(stepped or 0))


def _last(revision: Any) -> Select[Any]:
    return select(revision).order_by(revision.desc()).limit(1)


async def aio_detected_at(connection: AsyncConnection, revision: int) -> datetime | None:
    """Return the time at which a stored change was detected; None if it is not stored."""
    time: datetime | None = await connection.scalar(
        select(odds_history.c.detected_at).where(odds_history.c.revision == revision)
    )
    return time
