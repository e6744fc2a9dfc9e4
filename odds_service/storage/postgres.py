"""PostgreSQL: COPY for bulk rows, history partitioned by day, single ownership by a lock."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import sqlalchemy.exc
import structlog
from sqlalchemy import URL, Connection, Select, Table, event, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from odds_service.errors import OddsServiceError, StorageError, StorageUnavailable
from odds_service.storage import migrating
from odds_service.storage.database import Database
from odds_service.storage.pooler import aio_check_pooler
from odds_service.storage.postgres_owner import Ownership
from odds_service.storage.postgres_sessions import Sessions, broken
from odds_service.storage.postgres_url import CONNECT_S, limit_s, read_target
from odds_service.storage.schema import NaiveTime, metadata

STATEMENT_S: Final = 60.0  # limit of a statement; it also detects a dead network
LOCK_S: Final = 5.0  # wait for a lock that somebody else holds; then the statement fails
POOL: Final = 6

_CHUNK: Final = 10_000  # rows of a large result that are fetched at once
_PREFIX: Final = "odds_history_p"

# SQLSTATE classes of errors caused by a row: data exception, integrity constraint, program limit
# (an index entry too long), and an exception raised by a trigger.
_REFUSED: Final = ("22", "23", "54", "P0001")
# Errors that waiting at a start does not fix: wrong role or password, unknown database, no rights,
# a read-only database.
_WRONG: Final = ("28", "3D", "42501", "25006")
_WRONG_ERRORS: Final = (
    ssl.SSLError,
    asyncpg.ClientConfigurationError,
    asyncpg.TargetServerAttributeNotMatched,
)
_NO_SUCH_TABLE: Final = "42P01"
# The driver's errors for values that it cannot encode; the server never sees them.
_UNFIT: Final = (NaiveTime, UnicodeEncodeError, OverflowError, asyncpg.exceptions.DataError)

log = structlog.get_logger(__name__)


# A partition counts for its table; sizes include indexes and TOAST.
_TABLE_SIZES: Final = """
SELECT coalesce(parent.relname, own.relname), sum(pg_total_relation_size(own.oid))
FROM pg_class own
LEFT JOIN pg_inherits ON inhrelid = own.oid
LEFT JOIN pg_class parent ON parent.oid = inhparent
WHERE own.relkind IN ('r', 'p')
AND own.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('odds_history'))
AND CAST(coalesce(parent.relname, own.relname) AS text) = ANY(CAST(:names AS text[]))
GROUP BY 1
"""


class Postgres(Database):
    """The PostgreSQL engine; see storage.database.Database."""

    name = "postgresql"
    locks_rows = True

    def __init__(self, url: URL) -> None:
        target = read_target(url)
        settings = {
            "application_name": "odds-service",
            "statement_timeout": f"{STATEMENT_S * 1000:.0f}",
            "lock_timeout": f"{LOCK_S * 1000:.0f}",
            # A client that disappeared must not hold locks for hours.
            "idle_in_transaction_session_timeout": f"{STATEMENT_S * 1000:.0f}",
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
            "client_connection_check_interval": "5s",
            **target.settings,
        }
        own_s = limit_s(target.settings, "statement_timeout")
        self._sessions = Sessions(target, settings, min(own_s or STATEMENT_S, STATEMENT_S))
        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._sessions.aio_connect,
            pool_size=POOL,
            max_overflow=POOL,
            pool_timeout=CONNECT_S,
        )
        super().__init__(engine, postgresql.insert)
        event.listen(engine.sync_engine, "handle_error", self._failed)
        self._place = target.place
        self._reading = engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self._owner = Ownership(self._sessions, self.trouble)
        self._days: set[datetime] = set()  # with a known partition

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        if self._owner.lost:
            await self._owner.aio_take_again()
        async with self.engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        async with self._reading.connect() as connection:
            yield connection

    async def aio_append(
        self, connection: AsyncConnection, table: Table, listed: Iterable[Sequence[Any]]
    ) -> None:
        driver = await _aio_driver(connection)
        async with self._direct(connection):
            await driver.copy_records_to_table(
                table.name, records=listed, columns=[column.name for column in table.columns]
            )

    async def chunks(
        self, connection: AsyncConnection, query: Select[Any]
    ) -> AsyncIterator[Sequence[Any]]:
        compiled = query.compile(
            dialect=self.engine.dialect, compile_kwargs={"literal_binds": True}
        )
        await connection.execute(select(1))  # begins the transaction that the cursor needs
        driver = await _aio_driver(connection)
        async with self._direct(connection):
            cursor = await driver.cursor(str(compiled))
        while True:
            async with self._direct(connection):
                rows = await cursor.fetch(_CHUNK)
            if not rows:
                return
            yield rows

    def stored_time(self, time: datetime) -> Any:
        if time.tzinfo is None:
            raise NaiveTime(time)  # the driver would guess the zone
        return time

    def read_time(self, value: Any) -> datetime:
        time: datetime = value
        return time

    async def aio_make_room(self, connection: AsyncConnection, times: Iterable[datetime]) -> None:
        """Create missing partitions as plain tables, then attach them.

        This way they neither wait for readers of the history nor block them.
        """
        days = sorted({_midnight(time) for time in set(times)})
        if self._days.issuperset(days):
            return
        there = self._days = await _aio_partitions(connection)
        for day in days:
            if day not in there:
                name = f"{_PREFIX}{day:%Y%m%d}"
                await connection.execute(
                    text(f"CREATE TABLE {name} (LIKE odds_history INCLUDING DEFAULTS "
                         "INCLUDING CONSTRAINTS INCLUDING STORAGE)")
                )  # fmt: skip
                upto = day + timedelta(days=1)
                await connection.execute(
                    text(f"ALTER TABLE odds_history ATTACH PARTITION {name} FOR VALUES "
                         f"FROM ('{day.isoformat()}') TO ('{upto.isoformat()}')")
                )  # fmt: skip

    def whole_periods(self, cutoff: datetime) -> datetime:
        return _midnight(cutoff)

    async def aio_drop_history(self, connection: AsyncConnection, cutoff: datetime) -> int:
        days = await _aio_partitions(connection)
        self._days = set()
        old = [day for day in sorted(days) if day + timedelta(days=1) <= cutoff]
        for day in old:
            await connection.execute(text(f"DROP TABLE {_PREFIX}{day:%Y%m%d}"))
        return len(old)

    async def aio_size(self) -> dict[str, int]:
        async with self.reading() as connection:
            whole = await connection.scalar(text("SELECT pg_database_size(current_database())"))
            rows = await connection.execute(text(_TABLE_SIZES), {"names": list(metadata.tables)})
            parts = {str(name): int(size) for name, size in rows}
        # The database also holds the catalogue, and perhaps tables of others.
        return {**parts, "other": max(0, int(whole or 0) - sum(parts.values()))}

    def refusal(self, error: Exception) -> str | None:
        cause = _cause(error)
        if isinstance(cause, _UNFIT):
            return f"{type(cause).__name__}: {cause}"
        state = _state(cause)
        if not state.startswith(_REFUSED):
            return None
        constraint = getattr(cause, "constraint_name", None)
        if state == "23514" and constraint is None:
            return None  # a partition is missing: not the fault of the row
        return str(cause)

    def trouble(self, error: Exception) -> OddsServiceError | None:
        self._days = set()  # the database may have been replaced, and lack partitions
        cause = _cause(error)
        if broken(cause):
            self._discard()
        state = _state(cause)
        wrong = state.startswith(_WRONG) or (
            # A plain ConnectionError is asyncpg's own: the server has no TLS.
            isinstance(cause, _WRONG_ERRORS) or type(cause) is ConnectionError
        )
        if wrong and not self.running:
            return StorageError(f"{self._place}: {_one_line(cause)}")
        if state == _NO_SUCH_TABLE:
            return StorageUnavailable(
                f"{self._place}: {_one_line(cause)}; was the database replaced?"
            )
        if isinstance(
            cause,
            asyncpg.PostgresError
            | asyncpg.InterfaceError
            | asyncpg.InternalClientError
            | OSError
            | asyncio.TimeoutError
            | sqlalchemy.exc.TimeoutError
            | sqlalchemy.exc.PendingRollbackError,  # the connection was lost in the transaction
        ):
            return StorageUnavailable(f"{self._place}: {_one_line(cause)}")
        return None

    def _failed(self, context: ExceptionContext) -> None:
        """Throw the pool away before a rollback waits for a dead connection, and each other too."""
        if broken(_cause(context.original_exception)):
            self._discard()
            context.is_disconnect = True

    @asynccontextmanager
    async def _direct(self, connection: AsyncConnection) -> AsyncIterator[None]:
        """Like _failed(), for calls of the driver that SQLAlchemy does not see."""
        try:
            yield
        except Exception as error:
            if broken(error):
                self._discard()
                await connection.invalidate(error)  # noqa: ASYNC120  # asyncio's
            raise

    def _discard(self) -> None:
        """Give up all connections without a word to the server; the next ones are new."""
        self.engine.sync_engine.dispose(close=False)
        self._sessions.discard()

    def check_schema(self, connection: Connection, *, migrate: bool) -> None:
        version, wanted = migrating.version_of(connection), migrating.head_version()
        if version == wanted:
            return
        if migrate:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            migrating.upgrade(connection)
            return
        state = "has no tables yet" if version is None else f"is at schema {version}"
        raise StorageError(
            f"the database {state}, this version wants {wanted}: "
            "run `odds-service db upgrade`, or start with --migrate"
        )

    async def aio_check_pooler(self) -> None:
        """Refuse a pooler that shares sessions between transactions. Raises StorageError."""
        await aio_check_pooler(self._sessions)

    async def aio_own(self) -> None:
        """Become the only owner of the database, until `aio_dispose`. Raises StorageError.

        The lock belongs to a session of its own. If that is lost (the server was restarted), the
        next transaction takes the lock again; meanwhile the epoch keeps a second owner from
        writing, see storage.log.writing.
        """
        await self._owner.aio_take()

    async def aio_stand_by(self) -> None:
        """Like aio_own(), once the present owner has stopped, died, or is silent for too long."""
        await self._owner.aio_stand_by()

    async def aio_renew(self, epoch: str) -> None:
        await self._owner.aio_renew(epoch)

    @asynccontextmanager
    async def fencing(self) -> AsyncIterator[AsyncConnection]:
        async with self.writing() as connection:
            process = await connection.scalar(text("SELECT pg_backend_pid()"))
            ending = asyncio.create_task(self._owner.aio_end_blockers(int(process or 0)))
            try:
                yield connection
            finally:
                ending.cancel()
                await asyncio.wait({ending})  # noqa: ASYNC102  # asyncio's, which cancels once
                if not ending.cancelled():
                    log.warning("blockers_not_ended", reason=str(ending.exception()))

    async def aio_dispose(self) -> None:
        await self._owner.aio_release()
        await super().aio_dispose()


def _midnight(time: datetime) -> datetime:
    """Return the midnight (UTC) before a time."""
    return time.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


async def _aio_driver(connection: AsyncConnection) -> Any:
    """Return asyncpg's connection; statements on it join SQLAlchemy's transaction."""
    return (await connection.get_raw_connection()).driver_connection


async def _aio_partitions(connection: AsyncConnection) -> set[datetime]:
    """Return the days that have a partition."""
    names = await connection.scalars(
        text("SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
             "WHERE inhparent = 'odds_history'::regclass")
    )  # fmt: skip
    return {
        datetime.strptime(name.removeprefix(_PREFIX), "%Y%m%d").replace(tzinfo=UTC)
        for name in names
    }


def _cause(error: BaseException) -> BaseException:
    """Return the driver's error inside SQLAlchemy's."""
    while True:
        inner = getattr(error, "orig", None) or (
            error.__cause__ if hasattr(error, "pgcode") else None
        )
        if not isinstance(inner, BaseException):
            return error
        error = inner


def _state(cause: BaseException) -> str:
    return getattr(cause, "sqlstate", None) or ""


def _one_line(cause: BaseException) -> str:
    if isinstance(cause, asyncpg.TargetServerAttributeNotMatched):
        return "no server is what target_session_attrs wants"
    return "; ".join(str(cause).split("\n")) or type(cause).__name__
