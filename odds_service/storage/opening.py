"""Opening of the store that a database URL names."""

import os
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

import structlog
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
from odds_service.storage.postgres_url import one_host, read_target
from odds_service.storage.sqlite import Sqlite
from odds_service.storage.sqlite_file import SqliteFile, owned
from odds_service.storage.sqlite_reading import ReadOnlySqlite, may_write
from odds_service.store import Store

D = TypeVar("D", bound=Database)

MEMORY_URL: Final = "memory:"  # for trials: a restart loses everything

_EXAMPLES: Final = "sqlite:///odds.db or postgresql://user@host/name"
_POSTGRES: Final = ("postgresql", "postgres")  # libpq accepts both schemes

log = structlog.get_logger(__name__)


def parse_url(text: str) -> URL:
    """Parse a database URL. Raises StorageError, whose text never contains a password."""
    try:
        url = make_url(one_host(text))
    except (ArgumentError, ValueError):
        raise StorageError(f"database.url is not a URL; write {_EXAMPLES}") from None
    kind = url.drivername.partition("+")[0]
    if kind in _POSTGRES:
        read_target(url)
        return url.set(drivername="postgresql")
    if kind != "sqlite":
        raise StorageError(f"database.url: {kind} is not supported; write {_EXAMPLES}")
    if not url.database or url.database == ":memory:":
        raise StorageError("database.url names no file; write sqlite:///odds.db")
    return url


@asynccontextmanager
async def open_store(
    text: str,
    *,
    migrate: bool = False,
    owner: bool = True,
    spill_folder: Path | None = None,
    standby: bool = False,
) -> AsyncIterator[Store]:
    """Open the store that a URL names; call it inside an open bridge.

    Args:
        text: the URL.
        migrate: upgrade PostgreSQL's tables if they are outdated; an owner always upgrades
            SQLite's.
        owner: become the only owner, as required to begin and write; False for tools that run
            beside a service.
        spill_folder: folder for changes that a stop cannot write; None for the SQLite file's own,
            and for the working folder with PostgreSQL.
        standby: wait until the present owner has stopped, died, or promises nothing any more (see
            Store.renew), and become the owner then; PostgreSQL only. Renew from then on.

    Raises:
        StorageError: the URL, the file, a folder or the schema is wrong, or the database has an
            owner.
        StorageUnavailable: the server does not answer.
    """
    if standby and (text == MEMORY_URL or parse_url(text).drivername == "sqlite"):
        raise StorageError("database.url: only PostgreSQL can hand a service over to a standby")
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
        if owner:
            async with _open_owned(path, spill_folder) as store:
                yield store
            return
        async with disposing(Sqlite(path) if may_write(path) else ReadOnlySqlite(path)) as database:
            await check_schema(database, migrate=False)
            yield DatabaseStore(database)
        return
    # Its driver takes long to import; a service on SQLite is spared it.
    from odds_service.storage.postgres import Postgres

    folder = spill_folder or Path()
    if owner:
        check_folder(folder)
    async with disposing(Postgres(url)) as database:
        if owner:
            await run(database, database.aio_check_pooler)
            await run(database, database.aio_stand_by if standby else database.aio_own)
        await check_schema(database, migrate=migrate)
        yield DatabaseStore(database, lambda id_: (_spill_in(folder, id_), _spill_in(Path(), id_)))


@asynccontextmanager
async def _open_owned(path: Path, spill_folder: Path | None) -> AsyncIterator[Store]:
    """Own, check and open a SQLite file; see open_store()."""
    with owned(path) as file:
        file.check_halves()
        check_folder(spill_folder or file.path.parent)
        file.lock()
        if file.ended_uncleanly():
            await _check_content(file)
        try:
            await trio.to_thread.run_sync(file.open)
            async with disposing(Sqlite(file.path, file)) as database:
                await check_schema(database, migrate=True)
                yield DatabaseStore(database, lambda id_: _spills(path, file, spill_folder, id_))
        finally:
            with trio.move_on_after(CLOSE_S, shield=True):
                await trio.to_thread.run_sync(file.close, abandon_on_cancel=True)


def _spills(path: Path, file: SqliteFile, folder: Path | None, id_: str) -> list[Path]:
    """Return the places of a SQLite file's spill: the folder of the settings, or beside the file.

    A start looks into all of them, since the setting may be newer than the spill. Several services
    may share the folder, so the name there has the database's id.
    """
    beside = [file.side(".spill"), path.with_name(path.name + ".spill")]
    return beside if folder is None else [_spill_in(folder, id_), *beside]


def _spill_in(folder: Path, id_: str) -> Path:
    return folder / f"odds-service-{id_[:12]}.spill"


def check_folder(folder: Path) -> None:
    """Make and remove a file in the folder for spills. Raises StorageError."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StorageError(
            f"database.spill_folder: {folder} cannot be written to: {error.strerror}"
        ) from None


async def _check_content(file: SqliteFile) -> None:
    """Check a file whose last owner died. Raises StorageError if it is damaged.

    Cancellation: the check is ended at once, and the next start repeats it.
    """
    log.warning("unclean_end", database=str(file.path), next="quick_check")
    began = trio.current_time()
    connection = file.connect("ro")
    try:
        await trio.to_thread.run_sync(file.quick_check, connection, abandon_on_cancel=True)
    finally:
        with suppress(sqlite3.ProgrammingError):  # closed: the check has ended
            connection.interrupt()
    log.info("quick_check_passed", seconds=round(trio.current_time() - began, 1))


def check_path(path: Path, *, owner: bool) -> None:
    """Check that a SQLite file can be opened, or made by an owner. Raises StorageError."""
    if not path.parent.is_dir():
        raise StorageError(f"database {path}: the folder {path.parent} does not exist")
    if not owner and not path.is_file():
        raise StorageError(f"database {path}: there is no such file")
    if path.exists() and not path.is_file():
        raise StorageError(f"database {path}: this is no file")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK if owner else os.R_OK):
        raise StorageError(
            f"database {path}: no right to {'read and write' if owner else 'read'} it"
        )


@asynccontextmanager
async def disposing(database: D) -> AsyncIterator[D]:
    """Close the connections of a database at the end, within CLOSE_S."""
    try:
        yield database
    finally:
        with trio.move_on_after(CLOSE_S, shield=True):
            await aio(database.aio_dispose)
