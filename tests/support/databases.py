"""Places where a test keeps a log: memory, SQLite and PostgreSQL."""

import itertools
import re
import shutil
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, nullcontext
from pathlib import Path
from typing import Final

from odds_service.bridge import open_bridge
from odds_service.model.change import Change, MarketChange
from odds_service.storage import open_store
from odds_service.storage.memory import Memory, owned
from odds_service.storage.memory_store import MemoryStore
from odds_service.store import Store, Stored
from tests.support.postgres import PostgresServer

ENGINES: Final = ("sqlite", "postgresql")
_numbers = itertools.count(1)


class Place(ABC):
    """A place for the log of one test, empty at first."""

    engine: str

    @abstractmethod
    def opened(self, *, owner: bool = True) -> AbstractAsyncContextManager[Store]:
        """Open the store, inside an open bridge."""

    @asynccontextmanager
    async def begun(self) -> AsyncIterator[tuple[Store, Stored]]:
        """Open a bridge and the store; yield the store and the result of its start."""
        async with open_bridge(), self.opened() as store:
            yield store, await store.begin()

    @abstractmethod
    def clear(self) -> None:
        """Forget the whole log, as if nothing had been written."""

    @abstractmethod
    def take_over(self) -> None:
        """Make the store find that another owner has taken the place."""

    @abstractmethod
    def hand_back(self) -> None:
        """Undo `take_over`."""

    @abstractmethod
    def refuse(self, condition: str) -> None:
        """Refuse changes for which an SQL condition on revision, kind and market holds."""

    @abstractmethod
    def accept(self) -> None:
        """Undo `refuse`."""

    @abstractmethod
    def has_spill(self) -> bool:
        """Return whether a stop left a spill for the next start."""


class MemoryPlace(Place):
    engine = "memory"

    def __init__(self) -> None:
        self.memory = Memory()

    @asynccontextmanager
    async def opened(self, *, owner: bool = True) -> AsyncIterator[Store]:
        with owned(self.memory) if owner else nullcontext():
            yield MemoryStore(self.memory)

    def clear(self) -> None:
        self.memory = Memory()

    def take_over(self) -> None:
        self.memory.epoch = "foreign"

    def hand_back(self) -> None:
        self.memory.epoch, _ = self.memory.epochs[-1]

    def refuse(self, condition: str) -> None:
        self.memory.constraint = _takes(condition)

    def accept(self) -> None:
        self.memory.constraint = None

    def has_spill(self) -> bool:
        return bool(self.memory.spilled)


class DatabasePlace(Place):
    """A database that a test can also read and change beside the program."""

    url: str
    spill_folder: Path | None = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def opened(self, *, owner: bool = True) -> AbstractAsyncContextManager[Store]:
        return open_store(self.url, migrate=True, owner=owner, spill_folder=self.spill_folder)

    @abstractmethod
    def sql(self, statement: str) -> list[tuple[str, ...]]:
        """Execute a statement beside the program; return values as text, NULL as ''."""

    def value(self, statement: str) -> str:
        """Return the only value of a query's result."""
        ((value,),) = self.sql(statement)
        return value

    def clear(self) -> None:
        for table in ("odds_history", "odds_current", "events", "event_sources", "snapshots"):
            self.sql(f"DELETE FROM {table}")  # noqa: S608  # names of ours
        self.sql("UPDATE feed_state SET durable_revision = 0, detected_at = NULL")

    def take_over(self) -> None:
        self.sql("UPDATE feed_state SET epoch = 'foreign'")

    def hand_back(self) -> None:
        self.sql("UPDATE feed_state SET epoch = (SELECT epoch FROM epochs)")

    @abstractmethod
    def spill(self) -> Path | None:
        """Return the spill file, None without one."""

    def has_spill(self) -> bool:
        return self.spill() is not None


class SqlitePlace(DatabasePlace):
    engine = "sqlite"

    def __init__(self, folder: Path, tables: "SqlitePlace | None" = None) -> None:
        """Make a place without a file, or with a copy of one that nobody has open."""
        super().__init__(folder)
        self.path = folder / "odds.db"
        self.url = f"sqlite:///{self.path}"
        if tables is not None:
            shutil.copy(tables.path, self.path)

    def sql(self, statement: str) -> list[tuple[str, ...]]:
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=60)) as database:
            rows = database.execute(statement).fetchall()
        return [tuple("" if value is None else str(value) for value in row) for row in rows]

    def refuse(self, condition: str) -> None:
        """Refuse by a trigger: SQLite cannot add a constraint to an existing table."""
        self.sql(f"CREATE TRIGGER refused BEFORE INSERT ON odds_history WHEN {_of_new(condition)} "
                 "BEGIN SELECT RAISE(ABORT, 'constraint refused'); END")  # fmt: skip

    def accept(self) -> None:
        self.sql("DROP TRIGGER refused")

    def spill(self) -> Path | None:
        path = self.folder / "odds.db.spill"
        return path if path.exists() else None


class PostgresPlace(DatabasePlace):
    engine = "postgresql"

    def __init__(
        self, folder: Path, server: PostgresServer, template: "PostgresPlace | None" = None
    ) -> None:
        """Make an empty database, or a copy of one that nobody has open."""
        super().__init__(folder)
        self.spill_folder = folder
        self.server = server
        self.name = f"test{next(_numbers)}"
        self.url = server.url(self.name)
        server.psql(
            f"CREATE DATABASE {self.name}"
            + ("" if template is None else f" TEMPLATE {template.name}")
        )

    def sql(self, statement: str) -> list[tuple[str, ...]]:
        found = self.server.psql(statement, self.name)
        return [tuple(line.split("|")) for line in found.splitlines()]

    def refuse(self, condition: str) -> None:
        self.sql(f"ALTER TABLE odds_history ADD CONSTRAINT refused CHECK (NOT ({condition})) "
                 "NOT VALID")  # fmt: skip

    def accept(self) -> None:
        self.sql("ALTER TABLE odds_history DROP CONSTRAINT refused")

    def spill(self) -> Path | None:
        found = list(self.folder.glob("odds-service-*.spill"))
        return found[0] if found else None


def _of_new(condition: str) -> str:
    """Return a condition on columns in the form of a trigger."""
    return re.sub(r"\b(revision|kind|market)\b", r"NEW.\1", condition)


def _takes(condition: str) -> Callable[[Change], bool]:
    """Return an SQL check of changes that is false where the condition holds."""
    database = sqlite3.connect(":memory:", check_same_thread=False)
    query = f"SELECT NOT ({condition}) FROM (SELECT ? revision, ? kind, ? market)"  # noqa: S608  # ours

    def takes(change: Change) -> bool:
        market = change.after.key.market if isinstance(change, MarketChange) else ""
        ((taken,),) = database.execute(query, (change.revision, int(change.kind), market))
        return bool(taken)

    return takes
