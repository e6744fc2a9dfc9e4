"""The interface of a database engine; storage.sqlite and storage.postgres implement it."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Select, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from odds_service.errors import OddsServiceError, Superseded
from odds_service.storage.epoch_order import SUPERSEDED
from odds_service.storage.log.statements import Insert, Statements
from odds_service.storage.schema import feed_state

CLOSE_S: Final = 5.0  # limit for closing the connections, also when cancelled


class Database(ABC):
    """An engine, with its dialect and its errors.

    It is asyncio-flavoured: use it on the bridge on which the engine was created.
    """

    name: str
    running = False  # a service has begun on it: from now on errors are waited out, not refusals
    locks_rows: bool  # whether SELECT … FOR UPDATE exists; if not, a writer locks the whole file
    files: Mapping[str, Path] = {}  # part -> its file, for a database that this process writes

    def __init__(self, engine: AsyncEngine, insert: Insert) -> None:
        self.engine = engine
        self.insert = insert
        self.statements = Statements(insert, distinct=self.name == "postgresql")

    @property
    def wal_bytes(self) -> int | None:
        """The size of a write-ahead log that this process must keep small; None without one."""
        return None

    @asynccontextmanager
    @abstractmethod
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that commits at its end."""
        yield  # type: ignore[misc]  # abstract

    @asynccontextmanager
    async def fencing(self) -> AsyncIterator[AsyncConnection]:
        """Like writing(), for a new owner; a former one that blocks it must give way."""
        async with self.writing() as connection:
            yield connection

    @asynccontextmanager
    @abstractmethod
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction whose statements all see the same rows."""
        yield  # type: ignore[misc]  # abstract

    @abstractmethod
    async def aio_append(
        self, connection: AsyncConnection, table: Table, listed: Iterable[Sequence[Any]]
    ) -> None:
        """Insert rows, in the order of the table's columns, by the fastest means of the engine.

        Args:
            connection: inside a writing transaction.
            table: the table.
            listed: the rows, with times converted by `stored_time`. An iterator may produce them
                lazily, while the database already works on the first ones.
        """

    @abstractmethod
    def chunks(
        self, connection: AsyncConnection, query: Select[Any]
    ) -> AsyncIterator[Sequence[Any]]:
        """Yield all rows of a query without parameters, in chunks straight from the driver.

        Convert their times with `read_time`.
        """

    @abstractmethod
    def stored_time(self, time: datetime) -> Any:
        """Convert a time for aio_append(). Raises NaiveTime."""

    @abstractmethod
    def read_time(self, value: Any) -> datetime:
        """Convert a time from chunks()."""

    @abstractmethod
    async def aio_make_room(self, connection: AsyncConnection, times: Iterable[datetime]) -> None:
        """Ensure that odds_history accepts rows detected on the days (UTC) of `times`."""

    @abstractmethod
    def whole_periods(self, cutoff: datetime) -> datetime:
        """Return the last time at or before `cutoff` up to which history can be deleted."""

    @abstractmethod
    async def aio_drop_history(self, connection: AsyncConnection, cutoff: datetime) -> int:
        """Drop the partitions of odds_history that end at or before `cutoff`; return their number.

        An engine without partitions returns 0; its rows must be deleted instead.
        """

    async def aio_size(self) -> dict[str, int]:
        """Return the parts of the database beside `files` with their bytes."""
        return {}

    @abstractmethod
    def refusal(self, error: Exception) -> str | None:
        """Return the reason for which a row was refused; None for any other error."""

    @abstractmethod
    def trouble(self, error: Exception) -> OddsServiceError | None:
        """Return the error to raise to users of the store; None for a bug."""

    @abstractmethod
    def check_schema(self, connection: Connection, *, migrate: bool) -> None:
        """Check that the tables have the schema of this version. Raises StorageError."""

    async def aio_renew(self, epoch: str) -> None:
        """See store.Store.renew; `epoch` is the owner's, empty before it fenced.

        An engine whose owner no standby waits for has nothing to promise.
        """
        async with self.reading() as connection:
            found = await connection.scalar(select(feed_state.c.epoch))
        if epoch and found != epoch:
            raise Superseded(SUPERSEDED)

    async def aio_dispose(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


@asynccontextmanager
async def savepoint(connection: AsyncConnection) -> AsyncIterator[None]:
    """Open a part of a transaction that is undone alone if it fails.

    A full disk makes SQLite undo the whole transaction, with its savepoints. Then undoing this one
    fails too; the first error is raised, as it is the one that tells the reason. If the connection
    was lost meanwhile, that is raised: nothing else can be done on it, whatever failed before.
    """
    nested = await connection.begin_nested()
    try:
        yield
    except BaseException as error:
        try:
            await nested.rollback()  # noqa: ASYNC102  # asyncio's, which cancels once
        except Exception as later:
            if connection.invalidated:
                raise
            raise error from later
        raise
    await nested.commit()


def days_between(begin: datetime, end: datetime) -> list[datetime]:
    """Return the midnights (UTC) of the days that [begin, end] touches."""
    day = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    days = []
    while day <= end:
        days.append(day)
        day += timedelta(days=1)
    return days
