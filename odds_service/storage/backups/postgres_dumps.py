"""Dumps of PostgreSQL's tables by pg_dump, and their restore in one transaction."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import trio
from sqlalchemy import func, inspect, select, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.bridge import aio
from odds_service.errors import StorageError
from odds_service.storage import migrating
from odds_service.storage.backups.part_file import Part
from odds_service.storage.backups.programs import (
    complaint,
    connection_of,
    find_programs,
    run_program,
    running,
)
from odds_service.storage.database_store import run
from odds_service.storage.log import verifying
from odds_service.storage.postgres import Postgres
from odds_service.storage.schema import VIEWS, feed_state, metadata
from odds_service.store import Report, Verified

_LOCK_S: Final = 30  # wait for a lock that the service or a reader holds
_CHUNK_BYTES: Final = 2**16
_AS_TEXT: Final = ("--no-owner", "--no-privileges", "--file=-")  # pg_restore's own output, as SQL
_LOOK_S: Final = 0.5  # between two looks at the size of a dump
_DUMPED_TABLE: Final = re.compile(r"^\d+; \d+ \d+ TABLE (\S+) (\S+) ", re.MULTILINE)


async def dump(
    url: URL, database: Postgres, part: Part, report: Report
) -> tuple[str, Verified | None]:
    """Write a dump of a database as it is at one moment, beside its service.

    The comparison reads the same snapshot as pg_dump, so it holds for the content of the file.

    Args:
        url: The database.
        database: Its engine.
        part: The file.
        report: Gets the progress.

    Returns:
        The schema version, and the comparison; None for an older schema.

    Raises:
        StorageError: pg_dump is absent or failed, or there are no tables.
        StorageUnavailable: The server does not answer.
    """
    pg_dump, pg_restore = find_programs("pg_dump", "pg_restore")
    address, environment = connection_of(url)
    connection = await run(database, _aio_connect, database)
    try:
        snapshot = await run(database, _aio_export, connection)
        version = await run(database, _aio_version, connection)
        if version is None:
            raise StorageError("the database has no tables yet; there is nothing to copy")
        schema, tables = await run(database, _aio_tables, connection)
        command = [
            pg_dump, "--format=custom", "--no-password", f"--snapshot={snapshot}",
            f"--lock-wait-timeout={_LOCK_S}s", f"--file={part.path}", f"--dbname={address}",
        ]  # fmt: skip
        tables += await run(database, _aio_views, connection)
        command += [f'--table="{schema}"."{table}"' for table in tables]
        try:
            await _dump(command, environment, part, report)
        except StorageError as error:
            raise StorageError(f"{part.path}: {error}") from None
        verified = None
        if version == migrating.head_version():
            verified = await run(database, verifying.aio_verify, connection, report)
    finally:
        with trio.move_on_after(_LOCK_S, shield=True):
            await aio(connection.close)
    await _read_through(pg_restore, part.path, report)
    return version, verified


async def _dump(
    command: list[str], environment: dict[str, str], part: Part, report: Report
) -> None:
    """Run pg_dump and report the size of its file meanwhile. Raises StorageError."""
    failed: StorageError | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_report_size, part, report)
        try:
            await run_program(command, environment, part)
        except StorageError as error:  # raised below, outside of a group
            failed = error
        nursery.cancel_scope.cancel()
    if failed is not None:
        raise failed


async def _report_size(part: Part, report: Report) -> None:
    """Report the size of a file that a program writes. Returns only when cancelled."""
    while True:
        report("bytes dumped", os.fstat(part.lock).st_size, None)
        await trio.sleep(_LOOK_S)


async def _read_through(pg_restore: str, path: Path, report: Report) -> int:
    """Read and decompress all of a dump; return its size in bytes.

    Raises:
        StorageError: It is damaged.
    """
    said: dict[str, bytes] = {}
    count = 0
    async with (
        running([pg_restore, *_AS_TEXT, str(path)], dict(os.environ)) as source,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_collect, source.stderr, "source", said)
        await source.stdin.aclose()
        while chunk := await source.stdout.receive_some(_CHUNK_BYTES):
            count += len(chunk)
            report("bytes read back", count, None)
        await source.process.wait()
    if source.process.returncode:
        raise StorageError(f"{path}: {complaint(pg_restore, said.get('source', b''))}")
    return count


async def _read(pg_restore: str, path: Path, option: str) -> str:
    """Run pg_restore on a dump without a database. Raises StorageError."""
    try:
        return await run_program([pg_restore, option, str(path)])
    except StorageError as error:
        raise StorageError(f"{path}: {error}") from None


async def _aio_connect(database: Postgres) -> AsyncConnection:
    connection = await database.engine.connect()
    return await connection.execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    )


async def _aio_export(connection: AsyncConnection) -> str:
    # It stands idle as long as pg_dump runs.
    await connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    return str(await connection.scalar(select(func.pg_export_snapshot())))


async def _aio_version(connection: AsyncConnection) -> str | None:
    return await connection.run_sync(migrating.version_of)


async def _aio_tables(connection: AsyncConnection) -> tuple[str, list[str]]:
    """Return the schema, and the tables in it that are ours, partitions included."""

    def listed(sync: Any) -> list[str]:
        there = set(inspect(sync).get_table_names())
        return sorted(there & {*metadata.tables, migrating.VERSION_TABLE})

    names = await connection.run_sync(listed)
    partitions = await connection.scalars(
        text("SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
             "WHERE inhparent = to_regclass('odds_history') ORDER BY relname")
    )  # fmt: skip
    names += partitions
    return str(await connection.scalar(select(func.current_schema()))), names


async def _aio_views(connection: AsyncConnection) -> list[str]:
    """Return our views, which belong to the tables and are dumped with them."""
    names = await connection.run_sync(lambda sync: inspect(sync).get_view_names())
    return sorted({*names} & {*VIEWS})


async def load_dump(
    url: URL, database: Postgres, path: Path, epoch: str, report: Report, *, replace: bool
) -> tuple[str, Verified | None]:
    """Replace a database's tables by those of a dump, in one transaction.

    Args:
        url: The database.
        database: Its engine, which owns it.
        path: The dump.
        epoch: What to put into feed_state, so that no earlier owner can write.
        report: Gets the progress.
        replace: Whether the database may hold something.

    Returns:
        The schema version, and the comparison; None for an older schema.

    Raises:
        StorageError: A program is absent or failed, the file is no dump of these tables, or the
            database is not empty. The database is then as it was.
        StorageUnavailable: The server does not answer.
    """
    pg_restore, psql = find_programs("pg_restore", "psql")
    dumped = _DUMPED_TABLE.findall(await _read(pg_restore, path, "--list"))
    schemas = {schema for schema, table in dumped if table == feed_state.name}
    if not schemas:
        raise StorageError(f"{path}: no backup of odds-service's tables")
    size = await _read_through(pg_restore, path, report)
    used, schema, tables = await run(database, _aio_look, database)
    if schemas != {schema}:
        raise StorageError(
            f"{path} holds the schema {', '.join(schemas)}, and the role's schema is {schema}"
        )
    if used and not replace:
        raise StorageError("the database is not empty; say --replace to delete what it holds")
    before = f"BEGIN; SET lock_timeout = '{_LOCK_S}s'; SET client_min_messages = warning;\n"
    before += "".join(f'DROP VIEW IF EXISTS "{schema}"."{view}";\n' for view in VIEWS)
    before += "".join(f'DROP TABLE IF EXISTS "{schema}"."{table}";\n' for table in tables)
    # Without the last word, as when this process is killed, the server undoes all of it.
    after = f"""UPDATE "{schema}".feed_state SET epoch = '{epoch}';\nCOMMIT;\n"""  # noqa: S608  # ours
    address, environment = connection_of(url)
    await _pipe(
        [pg_restore, *_AS_TEXT, str(path)],
        [psql, "-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-f", "-", address],
        environment,
        (before.encode(), after.encode()),
        lambda count: report("bytes restored", count, size),
    )
    return await run(database, _aio_verify, database, report)


async def _aio_look(database: Postgres) -> tuple[bool, str, list[str]]:
    """Return whether anything is stored, the schema, and its tables, partitioned ones first."""
    async with database.reading() as connection:
        schema, tables = await _aio_tables(connection)
        used = False
        if feed_state.name in tables:
            query = select(func.count()).select_from(feed_state)
            used = bool(await connection.scalar(query))
        # Dropping odds_history drops its partitions.
        return used, schema, tables


async def _aio_verify(database: Postgres, report: Report) -> tuple[str, Verified | None]:
    async with database.reading() as connection:
        version = await connection.run_sync(migrating.version_of)
        if version is None:
            raise StorageError("the restored database has no tables")
        if version != migrating.head_version():
            return version, None
        return version, await verifying.aio_verify(connection, report)


async def _pipe(
    reader: list[str],
    writer: list[str],
    environment: dict[str, str],
    around: tuple[bytes, bytes],
    count: Callable[[int], None],
) -> None:
    """Pass the output of a program to another one, with a text before and after it.

    Args:
        reader: The program that is read.
        writer: The program that gets everything.
        environment: The variables of both.
        around: The texts. The last is sent only once the reader has succeeded.
        count: Called with the number of bytes passed so far.

    Raises:
        StorageError: One of them failed.
    """
    failed = False
    passed = 0
    said: dict[str, bytes] = {}
    async with (
        running(reader, environment) as source,
        running(writer, environment) as target,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_collect, source.stderr, "source", said)
        nursery.start_soon(_collect, target.stderr, "target", said)
        nursery.start_soon(_collect, target.stdout, "output", said)
        await source.stdin.aclose()
        try:
            await target.stdin.send_all(around[0])
            while chunk := await source.stdout.receive_some(_CHUNK_BYTES):
                await target.stdin.send_all(chunk)
                passed += len(chunk)
                count(passed)
            failed = await source.process.wait() != 0
            if not failed:
                await target.stdin.send_all(around[1])
        except trio.BrokenResourceError:  # the target has ended, and says why
            source.process.kill()
        if failed:
            target.process.kill()
        else:
            await target.stdin.aclose()
        await target.process.wait()
    if failed:
        raise complaint(reader[0], said.get("source", b""))
    if target.process.returncode:
        raise complaint(writer[0], said.get("target", b""))


async def _collect(pipe: trio.abc.ReceiveStream, name: str, said: dict[str, bytes]) -> None:
    """Read a pipe to its end, and keep the beginning."""
    said[name] = b""
    async for chunk in pipe:
        if len(said[name]) < _CHUNK_BYTES:
            said[name] += chunk
