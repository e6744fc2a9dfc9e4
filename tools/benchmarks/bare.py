"""The writer's statements without the service: by the bare driver, and the obvious way."""

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any, Final

import asyncpg
import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from odds_service.model.change import Commit, MarketChange
from odds_service.storage.log.statements import Statements
from odds_service.storage.rows.history import history_row, history_values
from odds_service.storage.rows.snapshots import snapshot_values
from odds_service.storage.schema import odds_current, odds_history, snapshots

_ASYNCPG: Final[Any] = asyncpg_dialect.dialect  # it comes without types


class Group(Struct):
    """The rows that one transaction stores, as the driver takes them."""

    history: list[tuple[Any, ...]]
    snapshots: list[tuple[Any, ...]]
    bookmakers: list[tuple[Any, ...]]


def group_of(batches: Sequence[Commit], stored_time: Callable[[datetime], Any]) -> Group:
    """Return the rows of a group of price changes; `stored_time` as in history_values()."""
    seen = {
        change.bookmaker: stored_time(change.observed_at)
        for batch in batches
        for change in batch.changes
        if isinstance(change, MarketChange)
    }
    return Group(
        [history_values(change, stored_time) for batch in batches for change in batch.changes],
        [
            snapshot_values(snapshot, stored_time)
            for batch in batches
            for snapshot in batch.snapshots
        ],
        list(seen.items()),
    )


class Bare(ABC):
    """A database used through its driver alone, with tables that the store made and filled."""

    @abstractmethod
    def write(self, groups: Iterable[Group]) -> None:
        """Run the writer's statements, one transaction for each group."""

    @abstractmethod
    def bulk(self, groups: Iterable[Group]) -> None:
        """Write only the bulk of the rows (COPY, executemany), into a table without an index."""

    @abstractmethod
    def read(self, query: str) -> int:
        """Read all rows of a query as the driver gives them, and return their number."""

    @abstractmethod
    def close(self) -> None: ...


class BarePostgres(Bare):
    """asyncpg on asyncio's own loop."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.SelectorEventLoop()
        self._connection = self._run(asyncpg.connect(url))
        statements = Statements(postgresql.insert, distinct=True)
        self._put_current = _compiled(statements.put_current, _ASYNCPG())
        self._add_bookmaker = _compiled(
            statements.add_bookmaker.values(bookmaker=sa.bindparam("bookmaker"),
                                            first_seen_at=sa.bindparam("first_seen_at")),
            _ASYNCPG(),
        )  # fmt: skip
        self._run(self._connection.execute(
            "CREATE TABLE IF NOT EXISTS bulk (LIKE odds_history INCLUDING DEFAULTS)"))  # fmt: skip

    def _run(self, work: Any) -> Any:
        return self._loop.run_until_complete(work)

    def write(self, groups: Iterable[Group]) -> None:
        self._run(self._aio_write(groups))

    async def _aio_write(self, groups: Iterable[Group]) -> None:
        connection = self._connection
        for group in groups:
            first, last = group.history[0], group.history[-1]
            async with connection.transaction():
                await connection.fetch("SELECT * FROM feed_state FOR UPDATE")
                async with connection.transaction():
                    await self._aio_copy(odds_history, group.history)
                    sql, names = self._put_current
                    stretch = {"first": first[0], "last": last[0], "begin": first[1],
                               "end": last[1]}  # fmt: skip
                    values = [stretch.get(name, _KINDS.get(name)) for name in names]
                    await connection.execute(sql, *values)
                    await connection.executemany(self._add_bookmaker[0], group.bookmakers)
                    await self._aio_copy(snapshots, group.snapshots)
                await connection.execute(
                    "UPDATE feed_state SET durable_revision = $1, detected_at = $2",
                    last[0], last[1],
                )  # fmt: skip

    async def _aio_copy(self, table: sa.Table, listed: list[tuple[Any, ...]]) -> None:
        columns = [column.name for column in table.columns]
        await self._connection.copy_records_to_table(table.name, records=listed, columns=columns)

    def bulk(self, groups: Iterable[Group]) -> None:
        self._run(self._aio_bulk(groups))

    async def _aio_bulk(self, groups: Iterable[Group]) -> None:
        for group in groups:
            await self._connection.copy_records_to_table("bulk", records=group.history)

    def read(self, query: str) -> int:
        return len(self._run(self._connection.fetch(query)))

    def close(self) -> None:
        self._run(self._connection.close())
        self._loop.close()


class BareSqlite(Bare):
    """sqlite3 in the calling thread."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            self._connection.execute(f"PRAGMA {pragma}")
        statements = Statements(sqlite.insert, distinct=False)
        dialect = sqlite.dialect()
        self._put_current = _compiled(statements.put_current, dialect)
        self._add_bookmaker = (
            "INSERT INTO bookmakers (bookmaker, first_seen_at) VALUES (?, ?) ON CONFLICT DO NOTHING"
        )
        self._inserts = {
            table.name: str(table.insert().compile(dialect=dialect))
            for table in (odds_history, snapshots)
        }
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS bulk AS SELECT * FROM odds_history LIMIT 0"
        )
        marks = ", ".join("?" for _ in odds_history.columns)
        self._bulk = f"INSERT INTO bulk VALUES ({marks})"  # noqa: S608  # names of ours

    def write(self, groups: Iterable[Group]) -> None:
        execute, many = self._connection.execute, self._connection.executemany
        for group in groups:
            first, last = group.history[0], group.history[-1]
            execute("BEGIN IMMEDIATE")
            execute("SELECT * FROM feed_state").fetchall()
            execute("SAVEPOINT one")
            many(self._inserts["odds_history"], group.history)
            sql, names = self._put_current
            stretch = {"first": first[0], "last": last[0], "begin": first[1], "end": last[1]}
            execute(sql, [stretch.get(name, _KINDS.get(name)) for name in names])
            many(self._add_bookmaker, group.bookmakers)
            many(self._inserts["snapshots"], group.snapshots)
            execute("RELEASE one")
            execute("UPDATE feed_state SET durable_revision = ?, detected_at = ?",
                    (last[0], last[1]))  # fmt: skip
            execute("COMMIT")

    def bulk(self, groups: Iterable[Group]) -> None:
        for group in groups:
            self._connection.execute("BEGIN")
            self._connection.executemany(self._bulk, group.history)
            self._connection.execute("COMMIT")

    def read(self, query: str) -> int:
        with closing(self._connection.execute(query)) as cursor:
            return len(cursor.fetchall())

    def close(self) -> None:
        self._connection.close()


# Values that the statements hold themselves: which kinds are changes of markets.
_KINDS: Final = {"kind_1": 1, "kind_2": 5}


def _compiled(statement: Any, dialect: Any) -> tuple[str, list[str]]:
    """Return a statement's text, and the names of its parameters in order."""
    compiled = statement.compile(dialect=dialect)
    return str(compiled), list(compiled.positiontup or ())


class Obvious:
    """A beginner's use of SQLAlchemy: an execute per row and table, a commit per event."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.SelectorEventLoop()
        self._engine: AsyncEngine = create_async_engine(url)

    def write(self, batches: Iterable[Commit], limit: int) -> None:
        """Write the given number of the batches' changes."""
        self._loop.run_until_complete(self._aio_write(batches, limit))

    async def _aio_write(self, batches: Iterable[Commit], limit: int) -> None:
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        upsert = insert(odds_current)
        put = upsert.on_conflict_do_update(
            index_elements=list(odds_current.primary_key.columns),
            set_={c.name: upsert.excluded[c.name] for c in odds_current.columns
                  if not c.primary_key},
        )  # fmt: skip
        by_event: dict[str, list[MarketChange]] = {}
        taken = 0
        for change in (change for batch in batches for change in batch.changes):
            if isinstance(change, MarketChange) and taken < limit:
                by_event.setdefault(change.event_id, []).append(change)
                taken += 1
        for changes in by_event.values():
            async with self._engine.begin() as connection:
                for change in changes:
                    row = history_row(change)
                    await connection.execute(odds_history.insert(), row._asdict())
                    current = {name: getattr(row, name) for name in _SHARED}
                    current |= {"odds": row.after, "changed_at": row.observed_at}
                    await connection.execute(put, current)

    def close(self) -> None:
        self._loop.run_until_complete(self._engine.dispose())
        self._loop.close()


_SHARED: Final = ("event_id", "source", "bookmaker", "market", "line", "participant", "status",
                  "revision", "snapshot_id")  # fmt: skip
