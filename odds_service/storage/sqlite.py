"""The embedded database: a SQLite file in WAL mode, owned by one process."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy.exc
import structlog
from sqlalchemy import Connection, Select, Table, event, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from odds_service.errors import OddsServiceError, StorageError, StorageUnavailable
from odds_service.storage import migrating
from odds_service.storage.database import Database
from odds_service.storage.schema import NaiveTime, from_microseconds, microseconds
from odds_service.storage.sqlite_file import WAL_BYTES, SideFileLost, SqliteFile, file_uri

BUSY_S: Final = 5.0  # wait for another program's lock on the file
READ_S: Final = 120.0  # the longest read of a service: the -wal cannot be emptied past an old one
EMPTYING_S: Final = 10.0  # between two attempts to empty the -wal beside a long reader
_WARN_BYTES: Final = 4 * WAL_BYTES

# The driver's errors for values that it cannot pass on; SQLite never sees them.
_UNFIT: Final = (NaiveTime, UnicodeEncodeError, OverflowError)
_REFUSED: Final = (sqlite3.IntegrityError, sqlite3.DataError)

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Sqlite(Database):
    """The SQLite engine; see storage.database.Database."""

    name = "sqlite"
    locks_rows = False

    def __init__(self, path: Path, file: SqliteFile | None = None) -> None:
        """Make the engine; nothing is opened yet.

        Args:
            path: The file.
            file: The same file as opened by its owner; None for tools.
        """
        engine = create_async_engine(
            f"sqlite+aiosqlite:///{path}",
            # isolation_level None: Python's sqlite3 must not begin transactions by itself.
            connect_args={"isolation_level": None, "uri": file is not None},
        )
        event.listen(engine.sync_engine, "do_connect", self._name_file)
        event.listen(engine.sync_engine, "connect", self._set_up)
        event.listen(engine.sync_engine, "begin", _begin)
        event.listen(engine.sync_engine, "invalidate", _undo)
        super().__init__(engine, sqlite.insert)
        self._path = path
        self._file = file
        self._place = f"database {path}"
        self.files = {"database": path, "wal": path.with_name(path.name + "-wal")}
        self._writing = engine.execution_options(begin="IMMEDIATE")
        self._users = 0  # open transactions
        self._closed = False  # while all connections are being replaced
        self._emptying = False
        self._empty_from = 0.0  # the loop's time before which the -wal is not emptied again
        self._warned = False

    @property
    def wal_bytes(self) -> int | None:
        return None if self._file is None else self._file.wal_bytes

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that commits at its end.

        Raises StorageUnavailable before it begins, or after its commit, if the file is not in its
        place: then nobody may rely on the commit, and a repeat is due.
        """
        await self._aio_check()
        with self._in_use():
            async with self._writing.begin() as connection:
                yield connection
        await self._aio_check()
        await self._aio_empty_wal()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        with self._in_use():
            async with self.engine.connect() as connection:
                with _ended_after(READ_S, await _aio_driver(connection), self._file is not None):
                    yield connection

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        if self._closed:
            raise StorageUnavailable(f"{self._place}: its -wal file is being made anew")
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1

    async def _aio_check(self) -> None:
        """Compare the files with the opened ones, in a worker thread: a disk can hang."""
        if self._file is None:
            return
        try:
            await _aio_blocking(self._file.check)
        except SideFileLost as lost:
            await self._aio_reopen(self._file, lost)

    async def _aio_reopen(self, file: SqliteFile, lost: SideFileLost) -> None:
        """Replace all connections after the -wal or -shm was removed beside an intact database.

        The open connections still have the removed file. A new one beside them would read another
        -wal by the index of theirs, so the content is saved and all of them are closed first.

        Raises:
            StorageUnavailable: Transactions are open, or the content cannot be saved now.
        """
        if self._closed or self._users:
            raise StorageUnavailable(f"{lost}; it is made anew when {self._users} reads have ended")
        self._closed = True
        try:
            if file.opened and not await _aio_blocking(file.empty_wal):
                raise StorageUnavailable(f"{lost}, and its content cannot be saved yet")
            await self.engine.dispose()
            await _aio_blocking(file.close)
            await _aio_blocking(file.open)
        finally:
            self._closed = False
        log.warning("side_file_made_anew", reason=str(lost))

    async def _aio_empty_wal(self) -> None:
        """Empty a large -wal; SQLite by itself does so only while nobody happens to read."""
        now = asyncio.get_running_loop().time()
        file = self._file
        if file is None or file.wal_bytes <= WAL_BYTES or now < self._empty_from or self._emptying:
            return
        self._emptying = True
        try:
            emptied = await _aio_blocking(file.empty_wal)
        finally:
            self._emptying = False
        self._empty_from = 0.0 if emptied else now + EMPTYING_S
        if emptied:
            self._warned = False
        elif file.wal_bytes > _WARN_BYTES and not self._warned:
            self._warned = True
            log.warning("wal_grows", bytes=file.wal_bytes, hint="another program reads for long")

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
        await connection.execute(select(1))  # begins the transaction
        # The driver's own rows are tuples; SQLAlchemy would make an object of each.
        yield await (await _aio_driver(connection)).execute_fetchall(str(text))

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
        if said == "interrupted":
            return StorageUnavailable(f"{self._place}: a read was ended after {READ_S:.0f} s")
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

    def _name_file(self, _dialect: Any, _entry: Any, arguments: list[Any], _named: Any) -> None:
        """Connect a service to the opened file only; SQLite would make one where none is."""
        if self._file is not None:
            self._file.check()  # a few calls of stat(), once for each connection
            arguments[:] = [file_uri(self._path)]

    def _set_up(self, connection: Any, _entry: ConnectionPoolEntry) -> None:
        try:
            if self._file is not None:
                self._file.check()  # again: it may have been replaced meanwhile
            cursor = connection.cursor()
            # WAL: readers do not wait for the writer. FULL: a commit survives a power cut.
            for pragma in (
                "journal_mode=WAL",
                "synchronous=FULL",
                f"busy_timeout={BUSY_S * 1000:.0f}",
                f"journal_size_limit={WAL_BYTES}",
            ):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()
        except BaseException:
            connection.close()
            raise


async def _aio_blocking(work: Callable[[], T]) -> T:
    """Run blocking work in a worker thread."""
    return await asyncio.get_running_loop().run_in_executor(None, work)


@contextmanager
def _ended_after(seconds: float, driver: Any, limited: bool) -> Iterator[None]:
    """Interrupt the statements of a connection once a time has passed.

    Args:
        seconds: The time.
        driver: aiosqlite's connection.
        limited: False to let them go on.
    """
    if not limited:
        yield
        return
    loop = asyncio.get_running_loop()
    strikes: list[asyncio.TimerHandle] = []

    def strike() -> None:
        driver._conn.interrupt()  # no effect between two statements, so it is repeated
        strikes[:] = [loop.call_later(1.0, strike)]

    strikes.append(loop.call_later(seconds, strike))
    try:
        yield
    finally:
        strikes[0].cancel()


async def _aio_driver(connection: AsyncConnection) -> Any:
    """Return aiosqlite's connection, which avoids SQLAlchemy's work on each row."""
    return (await connection.get_raw_connection()).driver_connection


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
