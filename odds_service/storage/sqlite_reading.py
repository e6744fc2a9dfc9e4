"""Reading of a SQLite file that must not be written, such as a copy on a read-only disk."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from odds_service.errors import OddsServiceError, StorageError, StorageUnavailable
from odds_service.storage.sqlite import Sqlite


class ReadOnlySqlite(Sqlite):
    """The SQLite engine on a file that it neither changes nor locks."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        # The engine made above is never connected: it would switch the file to WAL mode.
        self.engine = create_async_engine(
            "sqlite+aiosqlite:///", connect_args={"isolation_level": None, "uri": True}
        )
        self._uri = reading_uri(path)
        event.listen(self.engine.sync_engine, "do_connect", self._name_copy)

    def _name_copy(self, _dialect: Any, _entry: Any, arguments: list[Any], _named: Any) -> None:
        arguments[:] = [self._uri]

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction in which SQLite refuses each change."""
        async with self.reading() as connection:
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        async with self.engine.connect() as connection:
            await connection.exec_driver_sql("BEGIN")
            yield connection

    def trouble(self, error: Exception) -> OddsServiceError | None:
        told = super().trouble(error)
        if not isinstance(told, StorageUnavailable):
            return told
        if "readonly database" in str(told):
            return StorageError(f"{self._place}: no right to write to it and its folder")
        if "unable to open" in str(told):
            return StorageError(
                f"{self._place}: its -wal file cannot be read in a folder without the right to "
                "write; copy both files into another folder"
            )
        return told


def may_write(path: Path) -> bool:
    """Return whether a SQLite file can be written; SQLite makes files beside it then."""
    return os.access(path, os.W_OK) and os.access(path.resolve().parent, os.W_OK)


def reading_uri(path: Path) -> str:
    """Return the URI by which SQLite reads a file and changes nothing.

    A file in WAL mode without a -wal is whole and belongs to no running service, so it is opened as
    immutable: any other way of opening it makes files beside it.
    """
    path = path.resolve()
    whole = not path.with_name(path.name + "-wal").exists()
    return f"file:{quote(str(path))}?mode=ro{'&immutable=1' if whole else ''}"
