"""The store over a database: runs units of work on the bridge and translates their errors."""

import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import trio
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
from odds_service.storage.log import epochs, pages, retaining, verifying, writing
from odds_service.storage.reads import (
    as_of,
    closing_odds,
    load,
    log_rows,
    runs,
    sources_as_of,
)
from odds_service.store import (
    ClosingOdds,
    DeadLetter,
    Extent,
    Fence,
    HistoryFilter,
    HistoryPage,
    LogRows,
    Opening,
    PastOdds,
    Report,
    Retained,
    Retention,
    RunPlace,
    RunsFilter,
    RunsPage,
    StartedEvents,
    Stored,
    StoreSize,
    Verified,
    WriteGroup,
    unreported,
)

P = ParamSpec("P")
T = TypeVar("T")

_EVERYTHING = HistoryFilter()
_LIVE = Opening()
_PLACES = frozenset({"database", "spill"})  # files whose file systems are looked at


class DatabaseStore:
    """See store.Store.

    Args:
        spill_places: paths of the spill file by the database's id, the preferred one first; a tool
            has none.
    """

    def __init__(
        self, database: Database, spill_places: Callable[[str], Sequence[Path]] = lambda _: ()
    ) -> None:
        self._database = database
        self._spill_places = spill_places
        self._spilling = threading.Lock()
        self._epoch = ""
        self._database_id = ""
        self._replayed = self._misfits = 0  # of the spill, by open_epoch()

    async def begin(self, opening: Opening = _LIVE) -> Stored:
        stored = await self._run(self._aio_begin, opening)
        self._epoch, self._database_id = stored.epoch, stored.database_id
        self._database.running = True
        return stored

    async def _aio_begin(self, opening: Opening) -> Stored:
        now = datetime.now(UTC)
        async with self._database.writing() as connection:
            state = await epochs.aio_state(self._database, connection)
        replayed, misfits = await self._aio_replay(state.database_id, now)
        stored = await load.aio_begin(self._database, now, opening)
        return replace(stored, replayed=replayed, misfits=misfits)

    async def _aio_replay(
        self, database_id: str, now: datetime, own_epoch: str = ""
    ) -> tuple[int, int]:
        """Store the spills; return the numbers of stored and of misfit changes."""
        replayed = misfits = 0
        for path in dict.fromkeys(self._spill_places(database_id)):
            stored_now, unfit = await spill.aio_replay(self._database, path, now, own_epoch)
            replayed, misfits = replayed + stored_now, misfits + unfit
        return replayed, misfits

    async def fence(self) -> Fence:
        fence = await self._run(epochs.aio_fence, self._database)
        self._epoch, self._database_id = fence.epoch, fence.database_id
        self._database.running = True
        return fence

    async def store_surplus(self, epoch: str, commits: Sequence[Commit]) -> int:
        return await self._run(
            epochs.aio_store_surplus, self._database, self._epoch, epoch, commits
        )

    async def open_epoch(self, opening: Opening = _LIVE) -> list[tuple[str, int]]:
        async def aio_open() -> list[tuple[str, int]]:
            now = datetime.now(UTC)
            replayed, misfits = await self._aio_replay(self._database_id, now, self._epoch)
            self._replayed, self._misfits = self._replayed + replayed, self._misfits + misfits
            return await epochs.aio_open_epoch(self._database, self._epoch, opening, now)

        return await self._run(aio_open)

    async def load(self) -> Stored:
        stored = await self._run(load.aio_load, self._database, self._epoch, datetime.now(UTC))
        return replace(stored, replayed=self._replayed, misfits=self._misfits)

    async def warm(self) -> Stored:
        stored = await self._run(load.aio_warm, self._database, datetime.now(UTC))
        self._database.running = True
        return stored

    async def renew(self) -> None:
        await self._run(self._database.aio_renew, self._epoch)

    async def write(self, group: WriteGroup) -> int:
        return await self._run(writing.aio_write, self._database, self._epoch, group)

    async def put_asks(self, asks: Mapping[str, Asks]) -> None:
        await self._run(stored_asks.aio_put_asks, self._database, self._epoch, asks)

    def spill(self, batches: Sequence[Commit]) -> str:
        failed = None
        for path in dict.fromkeys(self._spill_places(self._database_id)):
            try:
                with self._spilling:
                    spill.write_spill(path, self._database_id, self._epoch, batches)
            except OSError as error:  # that disk is full, or away: another may not be
                failed = failed or error
            else:
                return str(path)
        raise failed or OSError("no folder for spills")

    @property
    def wal_bytes(self) -> int | None:
        return self._database.wal_bytes

    async def history(self, after: int, upto: int, limit: int) -> list[Change]:
        return await self._read(pages.aio_history, after, upto, limit)

    async def history_page(
        self, after: int, upto: int, limit: int, only: HistoryFilter = _EVERYTHING
    ) -> HistoryPage:
        return await self._read(pages.aio_page, after, upto, limit, only)

    async def extent(self) -> Extent:
        return await self._read(log_rows.aio_extent)

    async def log_rows(
        self, after: int, upto: int, limit: int, only: HistoryFilter = _EVERYTHING
    ) -> LogRows:
        return await self._run(log_rows.aio_log_rows, self._database, after, upto, limit, only)

    async def source_rows(self, after: int, upto: int) -> LogRows:
        return await self._run(log_rows.aio_source_rows, self._database, after, upto)

    async def event_texts(self, event_ids: Sequence[str], revision: int) -> dict[str, str]:
        return await self._read(log_rows.aio_event_texts, event_ids, revision)

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

    async def runs(self, only: RunsFilter, before: RunPlace | None, limit: int) -> RunsPage:
        return await self._read(runs.aio_runs, only, before, limit)

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

    async def size(self) -> StoreSize:
        files = dict(self._database.files)
        if spills := self._spill_places(self._database_id):
            files["spill"] = spills[0]  # the preferred one
        parts = await self._run(self._database.aio_size)
        parts |= await trio.to_thread.run_sync(_file_sizes, files)
        places = {part: path.parent for part, path in files.items() if part in _PLACES}
        return StoreSize(parts, places)

    async def verify(self, report: Report = unreported) -> Verified:
        return await self._read(verifying.aio_verify, report)

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


def _file_sizes(files: Mapping[str, Path]) -> dict[str, int]:
    """Return the sizes of files, 0 for those that are not there. Blocks."""
    sizes = {}
    for part, path in files.items():
        try:
            sizes[part] = path.stat().st_size
        except FileNotFoundError:
            sizes[part] = 0
    return sizes


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
        async with database.writing() if migrate else database.reading() as connection:
            await connection.run_sync(lambda sync: database.check_schema(sync, migrate=migrate))

    await run(database, aio_check)
