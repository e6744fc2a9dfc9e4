"""A look at the database of a URL that changes nothing, beside its owner or without one."""

import os
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.engine import URL

from odds_service.errors import StorageError
from odds_service.storage import migrating
from odds_service.storage.database import Database
from odds_service.storage.database_store import run
from odds_service.storage.log.epochs import LAST_IMPORTED
from odds_service.storage.opening import MEMORY_URL, check_folder, check_path, disposing, parse_url
from odds_service.storage.postgres import Postgres
from odds_service.storage.sqlite import Sqlite
from odds_service.store import Opening


async def probe_store(
    text: str, *, migrate: bool, adopt: bool = False, spill_folder: Path | None = None
) -> str:
    """Return what a service would find and do at its start, in words; call it in an open bridge.

    Args:
        text: The URL.
        migrate: Whether the service would upgrade PostgreSQL's tables.
        adopt: Whether it would start on a database that an import filled.
        spill_folder: The folder for spills; None for its default.

    Raises:
        StorageError: The URL, the file, its folder or the schema is wrong, or nobody adopted what
            an import left.
        StorageUnavailable: The server does not answer.
    """
    if text == MEMORY_URL:
        return "memory: a restart will lose everything"
    url = parse_url(text)
    if url.drivername == "sqlite":
        return await _probe_file(url, spill_folder, adopt=adopt)
    check_folder(spill_folder or Path())
    async with disposing(Postgres(url)) as database:
        await run(database, database.aio_check_pooler)
        version = await _version(database, migrate=migrate, adopt=adopt)
    return f"{_shown(url)}: {_fate(version)}"


async def _probe_file(url: URL, spill_folder: Path | None, *, adopt: bool) -> str:
    path = Path(url.database or "")
    if not _there(path, spill_folder):
        return f"{path}: new, will be made"
    async with disposing(Sqlite(path)) as database:
        version = await _version(database, migrate=True, adopt=adopt)
    return f"{path}: {_fate(version)}"


def _there(path: Path, spill_folder: Path | None) -> bool:
    """Return whether the file exists. Raises StorageError if it could not be used or made."""
    check_path(path, owner=True)
    if not os.access(path.parent, os.W_OK):
        raise StorageError(f"database {path}: no right to write to the folder {path.parent}")
    check_folder(spill_folder or path.resolve().parent)
    return path.exists()


async def _version(database: Database, *, migrate: bool, adopt: bool) -> str | None:
    """Return the schema version. Raises StorageError for what a start would refuse."""

    def look(connection: Connection) -> str | None:
        version = migrating.version_of(connection)
        if not migrate:
            database.check_schema(connection, migrate=False)
        if version == migrating.head_version():  # older ones know no imports
            imported = bool(connection.scalar(LAST_IMPORTED))
            Opening(adopt=adopt).check(imported=imported, last_detected_at=None)
        return version

    async def aio_look() -> str | None:
        async with database.reading() as connection:
            return await connection.run_sync(look)

    return await run(database, aio_look)


def _shown(url: URL) -> str:
    """Return a URL without its passwords; SQLAlchemy hides only that of the user."""
    return url.difference_update_query(["password", "sslpassword"]).render_as_string()


def _fate(version: str | None) -> str:
    wanted = migrating.head_version()
    if version is None:
        return "no tables yet, will be made"
    return f"schema {version}" + ("" if version == wanted else f", will be upgraded to {wanted}")
