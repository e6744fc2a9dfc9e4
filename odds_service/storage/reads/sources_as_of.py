"""States of sources in the past, from their changes and their last answers.

They depend only on the data stored then, not on the present configuration.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.model.change import ChangeKind
from odds_service.model.observation import Completeness
from odds_service.model.source import SourceState
from odds_service.storage.rows.sources import state_from
from odds_service.storage.schema import odds_history, scrape_runs, source_states
from odds_service.storage.successes import RUNS_SEARCHED, with_success

_OF_SOURCES: Final = (
    odds_history.c.event_id == "",  # the index is by event
    odds_history.c.kind.between(int(ChangeKind.SOURCE_UP), int(ChangeKind.SOURCE_DOWN)),
)


async def aio_sources_at(
    connection: AsyncConnection, revision: int, at: datetime
) -> list[SourceState]:
    """See store.Store.sources_at.

    A source's state is that of its last change up to the revision, or else the one before its first
    later change, or else the stored one if that is old enough. Sources for which none of these is
    known are left out.
    """
    states: dict[str, SourceState] = {}
    for row in await connection.execute(select(source_states)):
        if row.revision <= revision:
            states[row.source] = state_from(row.state)
    upto, column = odds_history.c.revision <= revision, odds_history.c.revision
    for row in await _aio_changes(connection, upto, func.max(column)):
        states[row.source] = state_from(row.after)
    for row in await _aio_changes(connection, ~upto, func.min(column)):
        if row.source not in states and row.before is not None:
            states[row.source] = state_from(row.before)
    answered = await _aio_answered(connection, at)
    return [with_success(states[source], answered.get(source)) for source in sorted(states)]


async def _aio_changes(
    connection: AsyncConnection, condition: Any, which: Any
) -> Sequence[Row[Any, Any, Any]]:
    """Return the first or last change of each source among those that meet a condition."""
    chosen = (
        select(which.label("revision"))
        .where(condition, *_OF_SOURCES)
        .group_by(odds_history.c.source)
        .subquery()
    )
    query = select(odds_history.c.source, odds_history.c.before, odds_history.c.after).join(
        chosen, chosen.c.revision == odds_history.c.revision
    )
    return (await connection.execute(query)).all()


async def _aio_answered(connection: AsyncConnection, at: datetime) -> dict[str, datetime]:
    """Return the last answer of each source that answered shortly before a time."""
    query = (
        select(scrape_runs.c.source, func.max(scrape_runs.c.finished_at).label("at"))
        .where(
            scrape_runs.c.started_at.between(at - RUNS_SEARCHED, at),
            scrape_runs.c.finished_at <= at,
            scrape_runs.c.outcome != Completeness.FAILED.value,
        )
        .group_by(scrape_runs.c.source)
    )
    return {row.source: row.at for row in await connection.execute(query)}
