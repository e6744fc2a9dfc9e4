"""Dead letters: changes that are missing from the history, with the reasons."""

from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Row, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.model.change import Change
from odds_service.model.snapshot import EventSource, Snapshot
from odds_service.storage.database import Database
from odds_service.storage.rows import Unreadable
from odds_service.storage.rows.history import HistoryRow, change_from, changes_from, history_row
from odds_service.storage.schema import dead_letters, epochs
from odds_service.store import DeadLetter

_REASON_CHARS: Final = 500  # of a database's message, which may quote a whole row


class Letter(msgspec.Struct, frozen=True, array_like=True):
    """A change as its row, together with its snapshot and sources."""

    row: HistoryRow
    snapshot: Snapshot | None
    carried: tuple[EventSource, ...]


Entry = tuple[Change, Snapshot | None, tuple[EventSource, ...]]  # with its snapshot and sources

_decode = msgspec.json.Decoder(Letter).decode


async def aio_keep(
    connection: AsyncConnection,
    epoch: str,
    listed: Sequence[Entry],
    reason: str,
    now: datetime,
) -> None:
    """Keep changes as dead letters.

    Args:
        connection: inside a writing transaction.
        epoch: the epoch that numbered the changes.
        listed: each change with its snapshot and sources.
        reason: why they are not stored.
        now: the time to record.
    """
    values = [
        {
            "epoch": epoch,
            "revision": change.revision,
            "reason": reason[:_REASON_CHARS].replace("\0", " "),
            "kept_at": now,
            "attempts": 1,
            "letter": _written(change, snapshot, carried),
        }
        for change, snapshot, carried in listed
    ]
    await connection.execute(dead_letters.insert(), values)


def _written(
    change: Change,
    snapshot: Snapshot | None,
    carried: tuple[EventSource, ...],
) -> bytes:
    """Return a letter as JSON; empty for invalid Unicode, which no database accepts."""
    try:
        return msgspec.json.encode(Letter(history_row(change), snapshot, carried))
    except UnicodeEncodeError:
        return b""


def read_letter(letter: bytes) -> Letter | None:
    """Decode a letter; return None if it could not be encoded."""
    return _decode(letter) if letter else None


async def aio_letters(connection: AsyncConnection, after: int, limit: int) -> list[DeadLetter]:
    """See store.Store.dead_letters."""
    query = (
        select(dead_letters)
        .where(dead_letters.c.letter_id > after)
        .order_by(dead_letters.c.letter_id)
        .limit(limit)
    )
    return [_shown(row) for row in await connection.execute(query)]


def _shown(row: Row[Any]) -> DeadLetter:
    letter = read_letter(row.letter)
    changes, _ = ([], []) if letter is None else changes_from([letter.row])
    return DeadLetter(
        letter_id=row.letter_id,
        epoch=row.epoch,
        revision=row.revision,
        reason=row.reason,
        kept_at=row.kept_at,
        attempts=row.attempts,
        change=changes[0] if changes else None,
    )


async def aio_kept(
    connection: AsyncConnection, after: int, upto: int
) -> list[tuple[Change, tuple[EventSource, ...]]]:
    """Return the changes of letters that still own their revisions in (after, upto], in order.

    A letter does not own its revision if the log continued without it (see storage.letters.spill).
    """
    opened = [
        (row.first_revision, row.epoch)
        for row in await connection.execute(select(epochs).order_by(epochs.c.place))
    ]
    firsts = [first for first, _ in opened]
    query = (
        select(dead_letters)
        .where(dead_letters.c.revision > after, dead_letters.c.revision <= upto)
        .order_by(dead_letters.c.revision, dead_letters.c.letter_id)
    )
    kept = []
    for row in await connection.execute(query):
        place = bisect_right(firsts, row.revision) - 1
        letter = read_letter(row.letter)
        if letter is not None and place >= 0 and opened[place][1] == row.epoch:
            with suppress(Unreadable):
                kept.append((change_from(letter.row), letter.carried))
    return kept


async def aio_count(connection: AsyncConnection) -> int:
    count: int | None = await connection.scalar(select(func.count()).select_from(dead_letters))
    return count or 0


async def aio_drop(database: Database, letter_id: int) -> bool:
    """See store.Store.drop_dead_letter."""
    async with database.writing() as connection:
        found = await connection.execute(
            delete(dead_letters).where(dead_letters.c.letter_id == letter_id)
        )
        return found.rowcount > 0
