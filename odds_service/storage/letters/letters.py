"""Dead letters: changes that are missing from the history, with the reasons."""

import enum
from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Row, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.decoding import JsonDecoder
from odds_service.model.change import Change, EventChange, MarketChange
from odds_service.model.snapshot import EventSource, Snapshot
from odds_service.storage.database import Database
from odds_service.storage.rows.history import HistoryRow, changes_from, history_row
from odds_service.storage.rows.snapshots import StoredSnapshot, stored_snapshot
from odds_service.storage.schema import MARKET_COLUMNS, dead_letters, lost_changes
from odds_service.store import DeadLetter


class Subject(enum.IntEnum):
    """The subject of a letter's change."""

    MARKET = 1
    EVENT = 2
    SOURCE = 3


_REASON_CHARS: Final = 500  # of a database's message, which may quote a whole row


class Letter(msgspec.Struct, frozen=True, array_like=True):
    """A change as its row, together with its snapshot and sources."""

    row: HistoryRow
    snapshot: StoredSnapshot | None
    carried: tuple[EventSource, ...]


Entry = tuple[Change, Snapshot | None, tuple[EventSource, ...]]  # with its snapshot and sources

_decode = JsonDecoder(Letter).decode


async def aio_keep(
    connection: AsyncConnection,
    epoch: str,
    listed: Sequence[Entry],
    reason: str,
    now: datetime,
    *,
    applies: bool,
) -> None:
    """Keep changes as dead letters.

    Args:
        connection: inside a writing transaction.
        epoch: the epoch that numbered the changes.
        listed: each change with its snapshot and sources.
        reason: why they are not stored.
        now: the time to record.
        applies: whether their revisions are theirs, so that past odds depend on them.
    """
    values = [
        {
            "epoch": epoch,
            "revision": change.revision,
            "reason": reason[:_REASON_CHARS].replace("\0", " "),
            "kept_at": now,
            "attempts": 1,
        }
        | _written(change, snapshot, carried, applies=applies)
        for change, snapshot, carried in listed
    ]
    await connection.execute(dead_letters.insert(), values)
    lost = [{"revision": each["revision"]} for each in values if applies and not each["letter"]]
    if lost:
        await connection.execute(lost_changes.insert(), lost)


def _written(
    change: Change, snapshot: Snapshot | None, carried: tuple[EventSource, ...], *, applies: bool
) -> dict[str, Any]:
    """Return the columns of a letter and its place; empty for text that no database accepts."""
    try:
        row = history_row(change)
        kept = None if snapshot is None else stored_snapshot(snapshot)
        letter = msgspec.json.encode(Letter(row, kept, carried))
    except UnicodeEncodeError:
        nowhere = dict.fromkeys(MARKET_COLUMNS, "")
        counts = {"applies": 0, "subject": _subject(change), "kind": int(change.kind)}
        return {"letter": b"", "carries": 0, "place": ""} | counts | nowhere
    # PostgreSQL's text cannot hold NUL.
    names = {name: getattr(row, name).replace("\0", "\ufffd") for name in MARKET_COLUMNS}
    counts = {"applies": int(applies), "subject": _subject(change), "kind": row.kind}
    place = digest(names.values())
    return {"letter": letter, "carries": len(carried), "place": place} | counts | names


def digest(names: Iterable[str]) -> str:
    """Return a short text for the names of a market, each of which may fill a kilobyte."""
    return blake2b("\x1f".join(names).encode(), digest_size=12).hexdigest()


def _subject(change: Change) -> int:
    if isinstance(change, MarketChange):
        return int(Subject.MARKET)
    return int(Subject.EVENT if isinstance(change, EventChange) else Subject.SOURCE)


def read_letter(letter: bytes) -> Letter | None:
    """Decode a letter; return None if it could not be encoded, or is damaged."""
    try:
        return _decode(letter) if letter else None
    except msgspec.MsgspecError:
        return None


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


async def aio_count(connection: AsyncConnection) -> int:
    count: int | None = await connection.scalar(select(func.count()).select_from(dead_letters))
    return count or 0


async def aio_drop(database: Database, letter_id: int) -> bool:
    """See store.Store.drop_dead_letter."""
    async with database.writing() as connection:
        return await aio_give_up(connection, dead_letters.c.letter_id == letter_id) > 0


async def aio_give_up(connection: AsyncConnection, which: ColumnElement[bool]) -> int:
    """Delete letters; the changes of those that applied are lost. Return the number of letters."""
    applied = select(dead_letters.c.revision).where(which, dead_letters.c.applies == 1)
    await connection.execute(lost_changes.insert().from_select(["revision"], applied))
    return (await connection.execute(delete(dead_letters).where(which))).rowcount
