"""The spill file: changes that a stop could not write in time, for the next start.

It holds JSON lines: a header, then one batch per line. It is created whole or not at all.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.decoding import JsonDecoder
from odds_service.errors import StorageError
from odds_service.model.change import Commit
from odds_service.model.snapshot import EventSource
from odds_service.storage.database import Database
from odds_service.storage.epoch_order import held_of
from odds_service.storage.letters.letters import aio_keep
from odds_service.storage.log.epochs import aio_epochs, aio_extend, aio_state, groups
from odds_service.storage.log.writing import aio_write_batches, by_days, stretch_of
from odds_service.storage.rows.history import HistoryRow, change_from, history_row
from odds_service.storage.rows.snapshots import StoredSnapshot, stored_snapshot
from odds_service.storage.schema import dead_letters

PRIVATE: Final = 0o600  # mode of the spill: it holds what the database holds
_FORMAT: Final = 1

log = structlog.get_logger(__name__)


class SpillHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first line: the database, the epoch, and a range of revisions without gaps."""

    format: int
    database_id: str
    epoch: str
    first: int
    last: int


class _Line(msgspec.Struct, frozen=True):
    """One commit."""

    rows: list[HistoryRow]
    snapshots: list[StoredSnapshot]
    event_sources: list[tuple[str, EventSource]]


_header = JsonDecoder(SpillHeader)
_line = JsonDecoder(_Line)


def write_spill(path: Path, database_id: str, epoch: str, batches: Sequence[Commit]) -> None:
    """Write the file and flush it to the disk.

    Args:
        path: the file; it is created whole or not at all.
        database_id: the database that the changes belong to.
        epoch: the epoch that numbered them.
        batches: at least one, without gaps.

    Raises:
        OSError: the file cannot be written.
    """
    header = SpillHeader(
        format=_FORMAT,
        database_id=database_id,
        epoch=epoch,
        first=batches[0].first_revision,
        last=batches[-1].last_revision,
    )
    begun = path.with_name(path.name + ".part")
    try:
        with os.fdopen(_open_private(begun), "wb") as file:
            file.write(msgspec.json.encode(header) + b"\n")
            for batch in batches:
                changes = [history_row(change) for change in batch.changes]
                snapshots = [stored_snapshot(each) for each in batch.snapshots]
                line = _Line(changes, snapshots, list(batch.event_sources))
                file.write(msgspec.json.encode(line) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        begun.replace(path)
        _sync_folder(path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to tell
            begun.unlink()
        raise


def _open_private(path: Path) -> int:
    """Make or empty a file for its owner only, under any umask."""
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
    with suppress(OSError):  # a file system without modes
        os.fchmod(opened, PRIVATE)
    return opened


def read_spill(path: Path) -> tuple[SpillHeader, Iterator[Commit]] | None:
    """Return the header and an iterator over the commits; None if there is no file.

    Raises StorageError.
    """
    try:
        with path.open("rb") as file:
            header = _header.decode(file.readline())
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise _unreadable(path, error) from None
    if header.format != _FORMAT:
        raise _unreadable(path, f"format {header.format}")
    return header, _batches(path)


def _batches(path: Path) -> Iterator[Commit]:
    try:
        with path.open("rb") as file:
            file.readline()
            for text in file:
                line = _line.decode(text)
                changes = [change_from(row) for row in line.rows]
                snapshots = [each.snapshot() for each in line.snapshots]
                yield Commit(changes, snapshots, line.event_sources)
    except (OSError, msgspec.MsgspecError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, why: object) -> StorageError:
    return StorageError(
        f"the changes that the last stop left in {path} cannot be read ({why}); "
        "move the file away to start without them"
    )


def _set_aside(path: Path, header: SpillHeader) -> str:
    aside = path.with_name(f"{path.name}.{header.database_id[:8]}")
    path.replace(aside)
    return str(aside)


def _remove(path: Path) -> None:
    path.unlink()
    _sync_folder(path)


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


async def aio_replay(
    database: Database, path: Path, now: datetime, own_epoch: str = ""
) -> tuple[int, int]:
    """Store the content of the spill file, and delete the file.

    It fits if no epoch was opened after its own and if it continues the durable revision. It may
    begin earlier, as the group being written at the stop may have been committed. Of a file that
    does not fit, changes that the history holds are dropped: a new owner may have read them from
    the bus. The others become dead letters. A repeat is harmless.

    Args:
        database: the engine.
        path: the file; it need not exist.
        now: the time to record with dead letters.
        own_epoch: an epoch that this start has opened already, and that does not count.

    Returns:
        The numbers of stored and of misfit changes.
    """
    found = read_spill(path)
    if found is None:
        return 0, 0
    header, batches = found
    async with database.writing() as connection:
        state = await aio_state(database, connection)
        # Not that of feed_state: a restore puts another one there, and opens none.
        known = [opened for opened in await aio_epochs(connection) if opened[0] != own_epoch]
    if header.database_id != state.database_id:
        log.error("spill_of_another_database", moved_to=_set_aside(path, header))
        return 0, 0
    changes = header.last - header.first + 1
    last_epoch = known[-1][0] if known else None
    fits = header.epoch == last_epoch and header.first <= state.durable_revision + 1
    misfits = 0
    if fits:
        for group in groups(batches):
            for piece in by_days(group):
                async with database.writing() as connection:
                    state = await aio_state(database, connection)
                    durable, last = state.durable_revision, piece[-1].last_revision
                    if last > durable:
                        await aio_extend(connection, header.epoch, durable, last)
                    await aio_write_batches(database, connection, state, piece, header.epoch)
        log.info("spill_stored", first=header.first, last=header.last)
    else:
        held = held_of(known, header.epoch, state.durable_revision)
        reason = f"spilled at a stop; the log went on without it (epoch {header.epoch})"
        async with database.writing() as connection:
            await _aio_keep_all(connection, header.epoch, batches, held, reason, now)
        misfits = sum(revision not in held for revision in range(header.first, header.last + 1))
        told = {"first": header.first, "last": header.last, "epoch": header.epoch}
        if misfits:
            log.error("spill_does_not_fit", **told, known=changes - misfits)
        else:
            log.info("spill_already_stored", **told)
    _remove(path)
    return (changes, 0) if fits else (0, misfits)


async def _aio_keep_all(
    connection: AsyncConnection,
    epoch: str,
    batches: Iterator[Commit],
    held: range,
    reason: str,
    now: datetime,
) -> None:
    query = select(dead_letters.c.revision).where(dead_letters.c.epoch == epoch)
    kept = set(await connection.scalars(query))
    for batch in batches:
        entries = [
            entry
            for entry in stretch_of([batch]).entries()
            if entry[0].revision not in kept and entry[0].revision not in held
        ]
        if entries:
            await aio_keep(connection, epoch, entries, reason, now, applies=False)
