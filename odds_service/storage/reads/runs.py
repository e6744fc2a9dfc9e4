"""Runs, the records of pulls, the newest first."""

from contextlib import suppress

from sqlalchemy import literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.storage.rows import Unreadable
from odds_service.storage.rows.sources import run_from
from odds_service.storage.schema import scrape_runs
from odds_service.store import RunPlace, RunsFilter, RunsPage

_PLACE = tuple(scrape_runs.primary_key.columns)


async def aio_runs(
    connection: AsyncConnection, only: RunsFilter, before: RunPlace | None, limit: int
) -> RunsPage:
    """See store.Store.runs. The primary key is read backwards, and nothing is sorted."""
    column = scrape_runs.c
    query = select(scrape_runs)
    if only.sources:
        query = query.where(column.source.in_(sorted(only.sources)))
    if only.start is not None:
        query = query.where(column.started_at >= only.start)
    if only.end is not None:
        query = query.where(column.started_at < only.end)
    if before is not None:
        place = (literal(value, key.type) for value, key in zip(before, _PLACE, strict=True))
        query = query.where(tuple_(*_PLACE) < tuple_(*place))
    query = query.order_by(*(key.desc() for key in _PLACE)).limit(limit + 1)
    rows = (await connection.execute(query)).all()
    found = []
    for row in rows[:limit]:
        with suppress(Unreadable):
            found.append(run_from(row))
    last = rows[limit - 1] if len(rows) > limit else None
    return RunsPage(found, None if last is None else (last.started_at, last.source, last.listing))
