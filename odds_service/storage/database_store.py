"""The store over a database: runs units of work on the bridge and translates their errors."""

import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.bridge import aio
from odds_service.model.asks import Asks
from odds_service.model.change import Change, Commit
from odds_service.model.event import Event
from odds_service.model.source import SourceState
from odds_service.storage import asks as stored_asks
from odds_service.storage.database import Database
from odds_service.storage.letters import letters, retrying, spill
from odds_service.storage.log import pages, retaining, verifying, writing
from odds_service.storage.reads import as_of, closing_odds, load, sources_as_of
from odds_service.store import (
    ClosingOdds,
    DeadLetter,
    HistoryFilter,
    HistoryPage,
    PastOdds,
    Retained,
    Retention,
    StartedEvents,
    Stored,
    Verified,
    WriteGroup,
)

P = ParamSpec("P")
T = TypeVar("T")

_EVERYTHING = HistoryFilter()


class DatabaseStore:
    """See store.Store.

    Attributes:
        spill_path: path of the spill file, by the database's id.
    """

    def __init__(self, database: Database, spill_path: Callable[[str], Path]) -> None:
        self._database = database
        self._spill_path = spill_path
        self._spilling = threading.Lock()
        self._epoch = ""
        self._database_id = ""

    async def begin(self) -> Stored:
        stored = await self._run(self._aio_begin)
        self._epoch, self._database_id = stored.epoch, stored.database_id
        return stored

    async def _aio_begin(self) -> Stored:
        now = datetime.now(UTC)
        async with self._database.writing() as connection:
            state = await load.aio_state(self._database, connection)
        path = self._spill_path(state.database_id)
        replayed, misfits = await spill.aio_replay(self._database, path, now)
        stored = await load.aio_warm(self._database, now)
        return replace(stored, replayed=replayed, misfits=misfits)

    async def write(self, group: WriteGroup) -> int:
        return await self._run(writing.aio_write, self._database, self._epoch, group)

    async def put_asks(self, asks: Mapping[str, Asks]) -> None:
        await self._run(stored_asks.aio_put_asks, self._database, self._epoch, asks)

    def spill(self, batches: Sequence[Commit]) -> str:
        path = self._spill_path(self._database_id)
        with self._spilling:
            spill.write_spill(path, self._database_id, self._epoch, batches)
        return str(path)

    async def history(self, after: int, upto: int, limit: int) -> list[Change]:
        return await self._read(pages.aio_history, after, upto, limit)

    async def history_page(
        self, after: int, upto: int, limit: int, only: HistoryFilter = _EVERYTHING
    ) -> HistoryPage:
        return await self._read(pages.aio_page, after, upto, limit, only)

    async def oldest_revision(self) -> int:
        return await self._read(pages.aio_floor) + 1

    async def revision_at(self, at: datetime) -> int:
        return await self._read(pages.aio_revision_at, at)

    async def odds_at(
        self, revision: int, event_ids: Sequence[str] = (), at: datetime | None = None
    ) -> PastOdds:
        return await self._read(as_of.aio_odds_at, revision, event_ids, at)

    async def sources_at(self, revision: int, at: datetime) -> list[SourceState]:
        return await self._read(sources_as_of.aio_sources_at, revision, at)

    async def started_events(
        self, only: StartedEvents, after: tuple[datetime, str] | None, limit: int
    ) -> list[Event]:
        return await self._read(closing_odds.aio_started, only, after, limit)

    async def closing_odds(self, event_ids: Sequence[str]) -> list[ClosingOdds]:
        return await self._read(closing_odds.aio_closing, event_ids)

    async def dead_letters(self, after: int = 0, limit: int = 1_000) -> list[DeadLetter]:
        return await self._read(letters.aio_letters, after, limit)

    async def count_dead_letters(self) -> int:
        return await self._read(letters.aio_count)

    async def retry_dead_letter(self, letter_id: int) -> str:
        return await self._run(retrying.aio_retry, self._database, letter_id)

    async def drop_dead_letter(self, letter_id: int) -> bool:
        return await self._run(letters.aio_drop, self._database, letter_id)

    async def retain(self, policy: Retention, now: datetime) -> Retained:
        return await self._run(retaining.aio_retain, self._database, policy, now)

    async def verify(self) -> Verified:
        return await self._read(verifying.aio_verify)

    async def _read(
        self,
        work: Callable[Concatenate[AsyncConnection, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a unit of work in one reading transaction."""

        async def aio_work() -> T:
            async with self._database.reading() as connection:
                return await work(connection, *args, **kwargs)

        return await self._run(aio_work)

    async def _run(self, work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        return await run(self._database, work, *args, **kwargs)


async def run(
    database: Database, work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run a unit of work on the bridge.

    Raises StorageError, StorageUnavailable, and our own errors that `work` raises.
    """
    try:
        return await aio(work, *args, **kwargs)
    except Exception as error:
        told = database.trouble(error)
        if told is None:
            raise
        raise told from None


async def check_schema(database: Database, *, migrate: bool) -> None:
    """Check that the tables have the schema of this version, or upgrade them.

    Raises StorageError, StorageUnavailable.
    """

    async def aio_check() -> None:
        async with database.writing() as connection:
            await connection.run_sync(lambda sync: database.check_schema(sync, migrate=migrate))

    await run(database, aio_check)
