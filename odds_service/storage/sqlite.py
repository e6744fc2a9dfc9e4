"""The embedded store: one SQLite file in WAL mode, owned by one process through a lock file."""

import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import sqlalchemy.exc
import trio
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from odds_service.bridge import aio
from odds_service.errors import StorageError, StorageUnavailable
from odds_service.model.change import Change
from odds_service.storage import sql
from odds_service.storage.base import Stored, WriteGroup

P = ParamSpec("P")
T = TypeVar("T")

CLOSE_S: Final = 5.0  # for the connections to close, also when cancelled
BUSY_S: Final = 5.0  # how long a statement waits for another program's lock on the file


class SqliteStore:
    """See storage.base.Store."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._epoch = ""

    async def begin(self) -> Stored:
        stored = await self._run(sql.aio_begin, datetime.now(UTC))
        self._epoch = stored.epoch
        return stored

    async def write(self, group: WriteGroup) -> None:
        await self._run(sql.aio_write, self._epoch, group)

    async def history(self, after: int, upto: int, limit: int) -> list[Change]:
        return await self._run(sql.aio_history, after, upto, limit)

    async def oldest_revision(self) -> int | None:
        return await self._run(sql.aio_oldest_revision)

    async def _run(
        self,
        work: Callable[Concatenate[AsyncEngine, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        try:
            return await aio(work, self._engine, *args, **kwargs)
        except (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError) as error:
            # Locked by another program, disk full, file gone: all may pass.
            raise StorageUnavailable(f"SQLite: {error.orig}") from None
        except sqlalchemy.exc.DatabaseError as error:
            if "malformed" in str(error.orig) or "not a database" in str(error.orig):
                raise StorageError(f"SQLite: {error.orig}") from None
            raise


def _set_up(connection: Any, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    # WAL: readers do not wait for the writer. FULL: a commit survives a power cut.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_S * 1000:.0f}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@asynccontextmanager
async def open_sqlite(path: Path) -> AsyncIterator[SqliteStore]:
    """Open the file, made when it is missing. Raises StorageError: not usable, or in use."""
    if not path.parent.is_dir():
        raise StorageError(f"database {path}: the folder {path.parent} does not exist")
    lock_path = path.with_name(path.name + ".lock")
    try:
        lock = os.open(lock_path, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise StorageError(f"database {path}: {lock_path}: {error.strerror}") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(f"database {path} is in use by another odds-service") from None
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
        event.listen(engine.sync_engine, "connect", _set_up)
        try:
            yield SqliteStore(engine)
        finally:
            with trio.move_on_after(CLOSE_S, shield=True):
                await aio(engine.dispose)
    finally:
        os.close(lock)
