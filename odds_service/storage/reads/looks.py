"""The last look at an event before its start, when a later look overwrote its time.

`snapshots.confirmed_at` is the time of the very last confirmation. If that came after the start,
the last one before the start is found in the record of pulls. A failed pull is not a look.
"""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.errors import BelowFloor
from odds_service.model.change import ChangeKind
from odds_service.model.observation import Completeness
from odds_service.model.source import SourceState, SourceStatus
from odds_service.storage.log.pages import aio_revision_at
from odds_service.storage.reads.sources_as_of import aio_sources_at
from odds_service.storage.schema import event_sources, odds_history, scrape_runs
from odds_service.storage.successes import earliest_success


class Looks:
    """The last looks of an event's sources at it before its start; queried once per source."""

    def __init__(self, connection: AsyncConnection, event_id: str, start_time: datetime) -> None:
        self._connection = connection
        self._event_id = event_id
        self._start_time = start_time
        self._found: dict[tuple[str, datetime], datetime] = {}
        self._states: dict[str, SourceState] | None = None

    async def aio_last(self, source: str, seen_at: datetime) -> datetime:
        """Return when the source last showed the event before its start.

        Args:
            source: a source that carries the event.
            seen_at: a known look at or before the start; never later than the result.
        """
        key = source, seen_at
        if key not in self._found:
            self._found[key] = await self._aio_found(source, seen_at)
        return self._found[key]

    async def aio_state(self, source: str) -> SourceState | None:
        """Return the state of a source at the start; None if unknown."""
        if self._states is None:
            try:
                revision = await aio_revision_at(self._connection, self._start_time)
                states = await aio_sources_at(self._connection, revision, self._start_time)
            except BelowFloor:
                states = []
            self._states = {state.source: state for state in states}
        return self._states.get(source)

    async def _aio_found(self, source: str, seen_at: datetime) -> datetime:
        pulls = await self._aio_pulls(source)
        last: datetime | None = await self._connection.scalar(
            select(func.max(scrape_runs.c.finished_at)).where(
                scrape_runs.c.started_at.between(seen_at, self._start_time),
                scrape_runs.c.finished_at <= self._start_time,
                scrape_runs.c.source == source,
                scrape_runs.c.listing.in_(pulls),
                scrape_runs.c.outcome != Completeness.FAILED.value,
            )
        )
        if last is not None:
            return max(seen_at, last)
        if await self._aio_recorded(seen_at):
            return seen_at
        return await self._aio_bound(source, seen_at)

    async def _aio_recorded(self, seen_at: datetime) -> bool:
        """Return whether the record of pulls reaches back to a time."""
        oldest: datetime | None = await self._connection.scalar(
            select(func.min(scrape_runs.c.started_at))
        )
        return oldest is not None and oldest <= seen_at

    async def _aio_pulls(self, source: str) -> list[str]:
        """Return the names of the pulls that show the event: its listing's and its own."""
        query = select(event_sources.c.listing, event_sources.c.source_event_id).where(
            event_sources.c.event_id == self._event_id, event_sources.c.source == source
        )
        return [
            name
            for row in await self._connection.execute(query)
            for name in (row.listing, row.source_event_id)
            if name is not None
        ]

    async def _aio_bound(self, source: str, seen_at: datetime) -> datetime:
        """Return a lower bound of the time of the last look, from the source's state."""
        state = await self.aio_state(source)
        if state is None:
            return seen_at
        bound = earliest_success(state, self._start_time, seen_at)
        if state.status is SourceStatus.UP and not await self._aio_answered(source, bound):
            return seen_at  # the service may have been stopped, of which the log says nothing
        return bound

    async def _aio_answered(self, source: str, since: datetime) -> bool:
        """Return whether a change shows that a source answered between a time and the start."""
        column = odds_history.c
        try:
            after = await aio_revision_at(self._connection, since)
            upto = await aio_revision_at(self._connection, self._start_time)
        except BelowFloor:
            return False
        query = select(column.revision).where(
            column.revision > after,
            column.revision <= upto,
            column.source == source,
            column.observed_at.between(since, self._start_time),
            ~column.kind.between(int(ChangeKind.SOURCE_STALE), int(ChangeKind.SOURCE_DOWN)),
        )
        return await self._connection.scalar(query.limit(1)) is not None
