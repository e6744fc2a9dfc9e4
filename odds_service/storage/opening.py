"""Opening of the store that a database URL names."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Final, TypeVar

import trio
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from odds_service.bridge import aio
from odds_service.errors import StorageError
from odds_service.storage.database import CLOSE_S, Database
from odds_service.storage.database_store import DatabaseStore, check_schema, run
from odds_service.storage.memory import Memory
from odds_service.storage.memory import owned as owned_memory
from odds_service.storage.memory_store import MemoryStore
from odds_service.storage.postgres import Postgres
from odds_service.storage.sqlite import Sqlite, owned
from odds_service.store import Store

D = TypeVar("D", bound=Database)

MEMORY_URL: Final = "memory:"  # for trials: a restart loses everything

_EXAMPLES: Final = "sqlite:///odds.db or postgresql://user@host/name"
_POSTGRES: Final = ("postgresql", "postgres")  # libpq accepts both schemes


def parse_url(text: str) -> URL:
    """Parse a database URL. Raises StorageError, whose text never contains a password."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise StorageError(f"database.url is not a URL; write {_EXAMPLES}") from None
    kind = url.drivername.partition("+")[0]
    if kind in _POSTGRES:
        return url.set(drivername="postgresql")
    if kind != "sqlite":
        raise StorageError(f"database.url: {kind} is not supported; write {_EXAMPLES}")
    if not url.database or url.database == ":memory:":
        raise StorageError("database.url names no file; write sqlite:///odds.db")
    return url


@asynccontextmanager
async def open_store(
    text: str, *, migrate: bool = False, owner: bool = True, spill_folder: Path = Path()
) -> AsyncIterator[Store]:
    """Open the store that a URL names; call it inside an open bridge.

    Args:
        text: the URL.
        migrate: upgrade PostgreSQL's tables if they are outdated; an owner always upgrades
            SQLite's.
        owner: become the only owner, as required to begin and write; False for tools that run
            beside a service.
        spill_folder: folder for changes that a stop cannot write to PostgreSQL (for SQLite they go
            beside the file).

    Raises:
        StorageError: the URL, the file, a folder or the schema is wrong, or the database has an
            owner.
        StorageUnavailable: the server does not answer.
    """
    if text == MEMORY_URL:
        if not owner:
            raise StorageError(
                "database.url: memory: exists only inside the service; no tool can open it"
            )
        memory = Memory()
        with owned_memory(memory):
            yield MemoryStore(memory)
        return
    url = parse_url(text)
    if url.drivername == "sqlite":
        path = Path(url.database or "")
        check_path(path, owner=owner)
        with owned(path) if owner else nullcontext():
            async with disposing(Sqlite(path)) as database:
                await check_schema(database, migrate=owner)
                yield DatabaseStore(database, lambda _: path.with_name(path.name + ".spill"))
        return
    if owner and not os.access(spill_folder, os.W_OK):
        raise StorageError(f"database.spill_folder: {spill_folder} cannot be written to")
    async with disposing(Postgres(url)) as database:
        if owner:
            await run(database, database.aio_own)
        await check_schema(database, migrate=migrate)
        yield DatabaseStore(database, lambda id_: spill_folder / f"odds-service-{id_[:12]}.spill")


def check_path(path: Path, *, owner: bool) -> None:
    """Check that a SQLite file can be opened, or made by an owner. Raises StorageError."""
    if not path.parent.is_dir():
        raise StorageError(f"database {path}: the folder {path.parent} does not exist")
    if not owner and not path.is_file():
        raise StorageError(f"database {path}: there is no such file")
    if path.exists() and not path.is_file():
        raise StorageError(f"database {path}: this is no file")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise StorageError(f"database {path}: no right to read and write it")


@asynccontextmanager
async def disposing(database: D) -> AsyncIterator[D]:
    """Close the connections of a database at the end, within CLOSE_S."""
    try:
        yield database
    finally:
        with trio.move_on_after(CLOSE_S, shield=True):
            await aio(database.aio_dispose)
