"""A database for a test, on either engine, with a way to look into it beside the program."""

import itertools
import re
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Final

from odds_service.bridge import open_bridge
from odds_service.storage import open_store
from odds_service.store import Store, Stored
from tests.support.postgres import PostgresServer

ENGINES: Final = ("sqlite", "postgresql")
_numbers = itertools.count(1)


class Place(ABC):
    """Where a test's tables are: empty at first, and its own."""

    engine: str
    url: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def opened(self, *, owner: bool = True) -> AbstractAsyncContextManager[Store]:
        """The store, inside an open bridge."""
        return open_store(self.url, migrate=True, owner=owner, spill_folder=self.folder)

    @asynccontextmanager
    async def begun(self) -> AsyncIterator[tuple[Store, Stored]]:
        """A bridge, the store, and what its start found."""
        async with open_bridge(), self.opened() as store:
            yield store, await store.begin()

    @abstractmethod
    def sql(self, statement: str) -> list[tuple[str, ...]]:
        """Execute a statement beside the program; values come as text, NULL as ''."""

    def value(self, statement: str) -> str:
        """The one value that a query gives."""
        ((value,),) = self.sql(statement)
        return value

    @abstractmethod
    def refuse(self, condition: str) -> None:
        """Have the database refuse rows of odds_history for which the condition holds."""

    @abstractmethod
    def accept(self) -> None:
        """Take what `refuse` did back."""

    @abstractmethod
    def spill(self) -> Path | None:
        """The spill file, if there is one."""


class SqlitePlace(Place):
    engine = "sqlite"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.path = folder / "odds.db"
        self.url = f"sqlite:///{self.path}"

    def sql(self, statement: str) -> list[tuple[str, ...]]:
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=60)) as database:
            rows = database.execute(statement).fetchall()
        return [tuple("" if value is None else str(value) for value in row) for row in rows]

    def refuse(self, condition: str) -> None:
        """SQLite adds no constraint to a table; a trigger says the same."""
        self.sql(f"CREATE TRIGGER refused BEFORE INSERT ON odds_history WHEN {_of_new(condition)} "
                 "BEGIN SELECT RAISE(ABORT, 'constraint refused'); END")  # fmt: skip

    def accept(self) -> None:
        self.sql("DROP TRIGGER refused")

    def spill(self) -> Path | None:
        path = self.folder / "odds.db.spill"
        return path if path.exists() else None


class PostgresPlace(Place):
    engine = "postgresql"

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        super().__init__(folder)
        self.server = server
        self.name = f"test{next(_numbers)}"
        self.url = server.url(self.name)
        server.psql(f"CREATE DATABASE {self.name}")

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
    """A condition on columns, as a trigger writes it."""
    return re.sub(r"\b(revision|kind|market)\b", r"NEW.\1", condition)
