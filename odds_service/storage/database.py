"""What differs per database; storage.sqlite and storage.postgres mirror each other in it."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Select, Table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from odds_service.errors import OddsServiceError
from odds_service.storage.log.statements import Insert, Statements
from odds_service.storage.rows.odds import OddsPacker

CLOSE_S: Final = 5.0  # for the connections to close, also when cancelled


class Database(ABC):
    """An engine with the words and the manners of its database.

    asyncio-flavoured: to be used on the bridge, where the engine was made.
    """

    name: str
    locks_rows: bool  # whether SELECT … FOR UPDATE is known; else a writer locks it all

    def __init__(self, engine: AsyncEngine, insert: Insert) -> None:
        self.engine = engine
        self.insert = insert
        self.statements = Statements(insert, distinct=self.name == "postgresql")
        self.packer = OddsPacker()

    @asynccontextmanager
    @abstractmethod
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits at its end."""
        yield  # type: ignore[misc]  # abstract

    @asynccontextmanager
    @abstractmethod
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction whose statements all see the same."""
        yield  # type: ignore[misc]  # abstract

    @abstractmethod
    async def aio_append(
        self, connection: AsyncConnection, table: Table, listed: Iterable[Sequence[Any]]
    ) -> None:
        """Insert rows, in the order of the table's columns, the fastest way there is.

        Their times are made by `stored_time`. The rows may be made while they are taken: the
        database works on the first ones meanwhile.
        """

    @abstractmethod
    def chunks(
        self, connection: AsyncConnection, query: Select[Any]
    ) -> AsyncIterator[Sequence[Any]]:
        """All rows of a query without parameters, as the driver gives them: the fastest way.

        Some at a time; its times are to be read by `read_time`.
        """

    @abstractmethod
    def stored_time(self, time: datetime) -> Any:
        """A time as `aio_append` takes it. Raises NaiveTime."""

    @abstractmethod
    def read_time(self, value: Any) -> datetime:
        """A time that `chunks` gave."""

    @abstractmethod
    async def aio_make_room(self, connection: AsyncConnection, times: Iterable[datetime]) -> None:
        """See that odds_history takes rows detected on the days of `times` (UTC)."""

    @abstractmethod
    def whole_periods(self, cutoff: datetime) -> datetime:
        """The last time at or before `cutoff` up to which history can be taken out."""

    @abstractmethod
    async def aio_drop_history(self, connection: AsyncConnection, cutoff: datetime) -> int:
        """Drop the partitions of odds_history that end at or before `cutoff`: how many.

        Where there are none, the rows are to be deleted.
        """

    @abstractmethod
    def refusal(self, error: Exception) -> str | None:
        """Why the database, or its driver, refused a row; None for any other trouble."""

    @abstractmethod
    def trouble(self, error: Exception) -> OddsServiceError | None:
        """The error for those who use the store; None for one that is a bug."""

    @abstractmethod
    def check_schema(self, connection: Connection, *, migrate: bool) -> None:
        """See that the tables are as this version wants them. Raises StorageError."""

    async def aio_dispose(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


def days_between(begin: datetime, end: datetime) -> list[datetime]:
    """Midnights (UTC) of the days that [begin, end] touches."""
    day = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    days = []
    while day <= end:
        days.append(day)
        day += timedelta(days=1)
    return days
