"""The last look at an event before its start, when a later look overwrote its time.

`snapshots.confirmed_at` is the time of the very last confirmation. If that came after the start,
the last one before the start is found in the record of pulls. A failed pull is not a look.
"""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.errors import BelowFloor
from odds_service.model.observation import Completeness
from odds_service.storage.log.pages import aio_revision_at
from odds_service.storage.reads.sources_as_of import aio_sources_at
from odds_service.storage.schema import event_sources, scrape_runs
from odds_service.storage.successes import earliest_success


class Looks:
    """The last looks of an event's sources at it before its start; queried once per source."""

    def __init__(self, connection: AsyncConnection, event_id: str, start_time: datetime) -> None:
        self._connection = connection
        self._event_id = event_id
        self._start_time = start_time
        self._found: dict[tuple[str, datetime], datetime] = {}

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

    async def _aio_found(self, source: str, seen_at: datetime) -> datetime:
        if not await self._aio_recorded(seen_at):
            return await self._aio_bound(source, seen_at)
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
        return seen_at if last is None else max(seen_at, last)

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
        try:
            revision = await aio_revision_at(self._connection, self._start_time)
        except BelowFloor:
            return seen_at
        for state in await aio_sources_at(self._connection, revision, self._start_time):
            if state.source == source:
                return earliest_success(state, self._start_time, seen_at)
        return seen_at
