"""Rows of the log for readers that make columns of them: no value is made of a row."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.errors import BelowFloor
from odds_service.model.change import ChangeKind
from odds_service.storage.database import Database
from odds_service.storage.log.pages import aio_durable, aio_floor, selected
from odds_service.storage.schema import events, feed_state, odds_history
from odds_service.store import LOG_COLUMNS, Extent, HistoryFilter, LogRows

_COLUMNS: Final = [odds_history.c[name] for name in LOG_COLUMNS]
_IN_ORDER: Final = select(*_COLUMNS).order_by(odds_history.c.revision)
_EVENTS_AT_ONCE: Final = 500  # ids in one query
# The terms of the index on rows that are not of markets, without which it is not used.
_NOT_OF_MARKETS: Final = odds_history.c.kind >= int(ChangeKind.EVENT_ADDED)
_OF_EVENTS: Final = odds_history.c.kind <= int(ChangeKind.EVENT_ENDED)


async def aio_extent(connection: AsyncConnection) -> Extent:
    """See store.Store.extent."""
    state = (await connection.execute(select(feed_state))).one_or_none()
    if state is None:  # no service has begun on it yet
        return Extent("", 0, 0)
    return Extent(state.database_id, state.floor_revision, state.durable_revision)


async def aio_log_rows(
    database: Database, after: int, upto: int, limit: int, only: HistoryFilter
) -> LogRows:
    """See store.Store.log_rows."""
    query = selected(_IN_ORDER, only).limit(limit)
    rows, upto = await _aio_rows(database, query, after, upto)
    return LogRows(rows, rows[-1][0] if len(rows) == limit else upto)


async def aio_source_rows(database: Database, after: int, upto: int) -> LogRows:
    """See store.Store.source_rows."""
    query = _IN_ORDER.where(
        odds_history.c.event_id == "",
        _NOT_OF_MARKETS,
        odds_history.c.kind >= int(ChangeKind.SOURCE_UP),
    )
    return LogRows(*await _aio_rows(database, query, after, upto))


async def _aio_rows(
    database: Database, query: Select[Any], after: int, upto: int
) -> tuple[list[Sequence[Any]], int]:
    """Read the rows with after < revision <= upto, in one transaction with the log's bounds.

    Returns:
        The rows, and the revision up to which the log could have held some.

    Raises:
        BelowFloor: the history no longer holds the first of them.
    """
    async with database.reading() as connection:
        floor = await aio_floor(connection)
        if after < floor:
            raise BelowFloor(floor)
        upto = max(after, min(upto, await aio_durable(connection)))
        revision = odds_history.c.revision
        between = query.where(revision > after, revision <= upto)
        rows: list[Sequence[Any]] = []
        async for chunk in database.chunks(connection, between):
            rows += chunk
        return rows, upto


async def aio_event_texts(
    connection: AsyncConnection, event_ids: Sequence[str], revision: int
) -> dict[str, str]:
    """See store.Store.event_texts."""
    found: dict[str, str] = {}
    for start in range(0, len(event_ids), _EVENTS_AT_ONCE):
        some = event_ids[start : start + _EVENTS_AT_ONCE]
        query = (
            select(
                odds_history.c.event_id,
                odds_history.c.revision,
                odds_history.c.before,
                odds_history.c.after,
            )
            .where(odds_history.c.event_id.in_(some), _NOT_OF_MARKETS, _OF_EVENTS)
            .order_by(odds_history.c.event_id, odds_history.c.revision)
        )
        for row in await connection.execute(query):
            if row.revision <= revision:
                found[row.event_id] = row.after
            elif row.event_id not in found and row.before is not None:
                found[row.event_id] = row.before
        current = select(events.c.event_id, events.c.event).where(events.c.event_id.in_(some))
        for event_id, text in await connection.execute(current):
            found.setdefault(event_id, text)
    return found
