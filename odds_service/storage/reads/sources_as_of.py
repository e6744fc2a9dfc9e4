"""The sources as they were: what their changes say, and when they last answered.

An answer about the past rests on what was stored then, not on what is configured now.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec.structs import replace
from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.model.change import ChangeKind
from odds_service.model.observation import Completeness
from odds_service.model.source import SourceState, SourceStatus
from odds_service.storage.rows.sources import state_from
from odds_service.storage.schema import odds_history, scrape_runs, source_states

# So far back the record of pulls is searched for a success: thousands of rows.
RUNS_LOOKED_THROUGH: Final = timedelta(hours=1)

_OF_SOURCES: Final = (
    odds_history.c.event_id == "",  # the index is by event
    odds_history.c.kind.between(int(ChangeKind.SOURCE_UP), int(ChangeKind.SOURCE_DOWN)),
)


async def aio_sources_at(
    connection: AsyncConnection, revision: int, at: datetime
) -> list[SourceState]:
    """See store.Store.sources_at.

    Per source the state of its last change up to the revision, else the one before its first
    change after it, else the stored one where that is as old. Sources of which none of these is
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
    return [_told_until(states[source], answered.get(source)) for source in sorted(states)]


def _told_until(state: SourceState, answered_at: datetime | None) -> SourceState:
    """The state, with a success that came after the change that told it."""
    told_at = state.last_success_at
    if answered_at is None or (told_at is not None and told_at >= answered_at):
        return state
    failures = 0 if state.status is SourceStatus.UP else state.consecutive_failures
    return replace(state, last_success_at=answered_at, consecutive_failures=failures)


async def _aio_changes(
    connection: AsyncConnection, condition: Any, which: Any
) -> Sequence[Row[Any, Any, Any]]:
    """Of each source the first or last change for which a condition holds."""
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
    """When each source last answered, where that was shortly before a time."""
    query = (
        select(scrape_runs.c.source, func.max(scrape_runs.c.finished_at).label("at"))
        .where(
            scrape_runs.c.started_at.between(at - RUNS_LOOKED_THROUGH, at),
            scrape_runs.c.finished_at <= at,
            scrape_runs.c.outcome != Completeness.FAILED.value,
        )
        .group_by(scrape_runs.c.source)
    )
    return {row.source: row.at for row in await connection.execute(query)}
