"""The embedded database: a SQLite file in WAL mode, owned by one process through a lock file."""

import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import sqlalchemy.exc
from sqlalchemy import Connection, Select, Table, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from odds_service.errors import OddsServiceError, StorageError, StorageUnavailable
from odds_service.storage import migrating
from odds_service.storage.database import Database
from odds_service.storage.schema import NaiveTime, from_microseconds, microseconds

BUSY_S: Final = 5.0  # wait for another program's lock on the file

# The driver's errors for values that it cannot pass on; SQLite never sees them.
_UNFIT: Final = (NaiveTime, UnicodeEncodeError, OverflowError)
_REFUSED: Final = (sqlite3.IntegrityError, sqlite3.DataError)


class Sqlite(Database):
    """The SQLite engine; see storage.database.Database."""

    name = "sqlite"
    locks_rows = False

    def __init__(self, path: Path) -> None:
        # isolation_level None: Python's sqlite3 must not begin transactions by itself.
        engine = create_async_engine(
            f"sqlite+aiosqlite:///{path}", connect_args={"isolation_level": None}
        )
        event.listen(engine.sync_engine, "connect", _set_up)
        event.listen(engine.sync_engine, "begin", _begin)
        event.listen(engine.sync_engine, "invalidate", _undo)
        super().__init__(engine, sqlite.insert)
        self._place = f"database {path}"
        self.files = {"database": path, "wal": path.with_name(path.name + "-wal")}
        self._writing = engine.execution_options(begin="IMMEDIATE")

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        async with self._writing.begin() as connection:
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        async with self.engine.connect() as connection:
            yield connection

    async def aio_append(
        self, connection: AsyncConnection, table: Table, listed: Iterable[Sequence[Any]]
    ) -> None:
        values = list(listed)
        if values:
            await (await _aio_driver(connection)).executemany(_insert_text(table), values)

    async def chunks(
        self, connection: AsyncConnection, query: Select[Any]
    ) -> AsyncIterator[Sequence[Any]]:
        text = query.compile(dialect=self.engine.dialect, compile_kwargs={"literal_binds": True})
        yield (await connection.exec_driver_sql(str(text))).all()

    def stored_time(self, time: datetime) -> Any:
        return microseconds(time)

    def read_time(self, value: Any) -> datetime:
        return from_microseconds(value)

    async def aio_make_room(self, connection: AsyncConnection, times: Iterable[datetime]) -> None:
        """Do nothing: a single table holds all days."""

    def whole_periods(self, cutoff: datetime) -> datetime:
        return cutoff

    async def aio_drop_history(self, connection: AsyncConnection, cutoff: datetime) -> int:
        return 0

    def refusal(self, error: Exception) -> str | None:
        if isinstance(error, sqlalchemy.exc.StatementError) and error.orig is not None:
            cause: BaseException = error.orig
        else:
            cause = error
        if isinstance(cause, _UNFIT):
            return f"{type(cause).__name__}: {cause}"
        return str(cause) if isinstance(cause, _REFUSED) else None

    def trouble(self, error: Exception) -> OddsServiceError | None:
        if isinstance(error, sqlalchemy.exc.TimeoutError):
            return StorageUnavailable("SQLite: all connections are in use")
        cause = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
        if not isinstance(cause, sqlite3.Error):
            return None
        said = str(cause)
        if "malformed" in said or "not a database" in said:
            return StorageError(f"{self._place}: {said}")
        if isinstance(cause, sqlite3.OperationalError):
            # Locked by another program, disk full, file gone: all of these may pass.
            return StorageUnavailable(f"{self._place}: {said}")
        return None

    def check_schema(self, connection: Connection, *, migrate: bool) -> None:
        version, wanted = migrating.version_of(connection), migrating.head_version()
        if version == wanted:
            return
        if not migrate:
            raise StorageError(f"the database is at schema {version}, this version wants {wanted}")
        migrating.upgrade(connection)


async def _aio_driver(connection: AsyncConnection) -> Any:
    """Return aiosqlite's connection, which avoids SQLAlchemy's work on each row."""
    return (await connection.get_raw_connection()).driver_connection


def _set_up(connection: Any, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    # WAL: readers do not wait for the writer. FULL: a commit survives a power cut.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_S * 1000:.0f}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    mode = connection.get_execution_options().get("begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")


def _undo(connection: DBAPIConnection, *_: object) -> None:
    """Release the lock before a cancelled statement's connection is closed.

    SQLite closes a connection only after the last of its cursors is gone. The cursor of the
    cancelled statement lives on in a traceback, and would block all writers until it is collected.
    """
    connection.rollback()


@lru_cache
def _insert_text(table: Table) -> str:
    return str(table.insert().compile(dialect=sqlite.dialect()))


@contextmanager
def owned(path: Path) -> Iterator[None]:
    """Own the database file, by a lock on a file beside it. Raises StorageError."""
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
        yield
    finally:
        os.close(lock)
