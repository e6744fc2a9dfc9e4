"""Backup and restore of the database that a URL names."""

import os
import uuid
from functools import partial
from pathlib import Path

import msgspec
import trio
from sqlalchemy.engine import URL

from odds_service.errors import StorageError
from odds_service.storage import migrating
from odds_service.storage.backups import sqlite_files
from odds_service.storage.backups.part_file import Part, part_file, remove_side_files
from odds_service.storage.backups.postgres_dumps import dump, load_dump
from odds_service.storage.database_store import run
from odds_service.storage.log import verifying
from odds_service.storage.opening import MEMORY_URL, check_path, disposing, parse_url
from odds_service.storage.postgres import Postgres
from odds_service.storage.sqlite_file import owned
from odds_service.storage.sqlite_reading import ReadOnlySqlite
from odds_service.store import Report, Verified, unreported


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """A finished backup or restore.

    Attributes:
        size_bytes: The size of the backup.
        schema: The schema version of its tables.
        verified: The comparison of its odds with its history; None for an older schema, which this
            version cannot compare.
    """

    size_bytes: int
    schema: str
    verified: Verified | None


async def back_up(text: str, path: Path, report: Report = unreported) -> Copied:
    """Write a verified copy of a database, as it is at one moment, beside its running service.

    A copy with faults of the odds is kept, since it is a true copy. Call it in an open bridge.

    Args:
        text: The URL of the database.
        path: The file to make: a SQLite database, or an archive of pg_dump.
        report: Gets the progress, from any thread.

    Raises:
        StorageError: The file exists or cannot be written, the database or the copy is damaged, or
            a program of PostgreSQL is missing or failed.
        StorageUnavailable: The server does not answer.

    Cancellation: Nothing is left.
    """
    url = _parse(text)
    with part_file(path) as part:
        if url.drivername == "sqlite":
            schema, verified = await _copy_file(Path(url.database or ""), part, report)
        else:
            async with disposing(Postgres(url)) as database:
                schema, verified = await dump(url, database, part, report)
    return Copied(size_bytes=_size(path), schema=schema, verified=verified)


async def restore(text: str, path: Path, report: Report = unreported, *, replace: bool) -> Copied:
    """Put the content of a backup into a database that no service uses.

    The next start opens a new epoch after the last revision of the backup, so cursors beyond it get
    an image. Call it in an open bridge.

    Args:
        text: The URL of the database.
        path: The backup. It stays as it is.
        report: Gets the progress, from any thread.
        replace: Whether to delete what the database holds.

    Raises:
        StorageError: The backup is damaged or of another kind of database, the database has an
            owner or is not empty, or a program of PostgreSQL is missing or failed. The database is
            then as it was.
        StorageUnavailable: The server does not answer.

    Cancellation: The database is as it was.
    """
    url = _parse(text)
    _check_backup(path)
    # No client ever gets this epoch: it shuts out an owner that lost its lock, and what a stop
    # spilled still fits to the epoch that was opened last. See decision 55.
    epoch = f"restored-{uuid.uuid4().hex}"
    if url.drivername == "sqlite":
        schema, verified = await _put_file(
            path, Path(url.database or ""), epoch, report, replace=replace
        )
    else:
        async with disposing(Postgres(url)) as database:
            await run(database, database.aio_own)
            schema, verified = await load_dump(url, database, path, epoch, report, replace=replace)
    return Copied(size_bytes=_size(path), schema=schema, verified=verified)


def _parse(text: str) -> URL:
    if text == MEMORY_URL:
        raise StorageError("database.url: memory: exists only inside the service; no tool sees it")
    return parse_url(text)


def _size(path: Path) -> int:
    return path.stat().st_size


def _check_backup(path: Path) -> None:
    if not path.is_file():
        raise StorageError(f"{path}: there is no such file")
    if not os.access(path, os.R_OK):
        raise StorageError(f"{path}: no right to read it")


def _target(path: Path, backup: Path) -> Path:
    """Return the database's path without symbolic links. Raises StorageError."""
    check_path(path, owner=True)
    if path.exists() and path.samefile(backup):
        raise StorageError(f"{backup} is the database itself")
    return path.resolve()


async def _copy_file(source: Path, part: Part, report: Report) -> tuple[str, Verified | None]:
    check_path(source, owner=False)
    await _in_thread(partial(sqlite_files.copy_database, source, part.path, report=report))
    return await _check_file(part.path, report)


async def _put_file(
    backup: Path, path: Path, epoch: str, report: Report, *, replace: bool
) -> tuple[str, Verified | None]:
    path = _target(path, backup)
    with owned(path):
        if not replace and await trio.to_thread.run_sync(sqlite_files.is_used, path):
            raise StorageError(
                f"database {path} is not empty; say --replace to delete what it holds"
            )
        with part_file(path, replace=True) as part:
            await _in_thread(partial(sqlite_files.copy_database, backup, part.path, report=report))
            found = await _check_file(part.path, report)
            sqlite_files.execute(part.path, f"UPDATE feed_state SET epoch = '{epoch}'")  # noqa: S608  # ours
            remove_side_files(part.path)
            await trio.to_thread.run_sync(sqlite_files.retire, path)
    return found


async def _check_file(path: Path, report: Report) -> tuple[str, Verified | None]:
    """Check pages and odds of a copy. Raises StorageError."""
    await _in_thread(partial(sqlite_files.check_pages, path, report=report))
    async with disposing(ReadOnlySqlite(path)) as database:

        async def aio_check() -> tuple[str, Verified | None]:
            async with database.reading() as connection:
                version = await connection.run_sync(migrating.version_of)
                if version is None:
                    raise StorageError(f"{path}: no database of odds-service")
                if version != migrating.head_version():
                    return version, None
                return version, await verifying.aio_verify(connection, report)

        return await run(database, aio_check)


async def _in_thread(work: partial[None]) -> None:
    """Run blocking work that calls a function now and then, which ends it after a cancellation."""
    await trio.to_thread.run_sync(work, trio.from_thread.check_cancelled)
