"""Selections of dead letters in SQL, so that only those that matter are decoded.

Hundreds of thousands of letters may pile up; of each market, event and source, only the first one
after a revision or the last one before it counts. A letter that does not apply is never selected:
its revision belongs to another change, or its text is lost.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    and_,
    func,
    literal_column,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.model.change import Change, ChangeKind
from odds_service.storage.letters.letters import Letter, Subject, read_letter
from odds_service.storage.rows import Unreadable
from odds_service.storage.rows.history import change_from
from odds_service.storage.schema import dead_letters, lost_changes

# A literal instead of a parameter, since the indexes are partial.
APPLIES: Final = dead_letters.c.applies == literal_column("1", Integer)

_subject: Final = dead_letters.c.subject
OF_MARKET: Final = _subject == int(Subject.MARKET)
OF_EVENT: Final = _subject == int(Subject.EVENT)
OF_SOURCE: Final = _subject == int(Subject.SOURCE)
IS_END: Final = and_(OF_EVENT, dead_letters.c.kind == int(ChangeKind.EVENT_ENDED))

EVENT: Final = ("event_id",)
MARKET: Final = ("event_id", "place")
CARRIER: Final = ("event_id", "source", "carries")

Narrow: TypeAlias = Callable[[Select[Any]], Select[Any]]  # leaves letters out of a query of letters

_AT_ONCE: Final = 1_000  # revisions in a query, whose number of parameters is limited


def within(after: int, upto: int, event_ids: Sequence[str] = ()) -> ColumnElement[bool]:
    """Return the condition of letters that apply, with after < revision <= upto.

    Args:
        after: a revision.
        upto: a revision.
        event_ids: the events to which the letters belong; empty for all letters.
    """
    revision = dead_letters.c.revision
    chosen = [dead_letters.c.event_id.in_(event_ids)] if event_ids else []
    return and_(APPLIES, revision > after, revision <= upto, *chosen)


def each(which: Any, condition: ColumnElement[bool], group: Sequence[str]) -> Select[Any]:
    """Return the query of one revision for each group of letters, by func.min or func.max."""
    columns = [dead_letters.c[name] for name in group]
    revision = which(dead_letters.c.revision).label("revision")
    return select(*columns, revision).where(condition).group_by(*columns)


def _all(query: Select[Any]) -> Select[Any]:
    return query


async def aio_letters(
    connection: AsyncConnection,
    chosen: Select[Any],
    narrow: Narrow = _all,
) -> list[bytes]:
    """Return letters in the order of their revisions.

    The letters are read by their revisions, not by a join: PostgreSQL cannot tell how few groups
    there are, and would read and sort the texts of all letters instead.

    Args:
        connection: inside a transaction.
        chosen: a query by `each`.
        narrow: leaves out those that do not count.
    """
    revisions = sorted(row.revision for row in await connection.execute(chosen))
    letters: list[bytes] = []
    for first in range(0, len(revisions), _AT_ONCE):
        some = revisions[first : first + _AT_ONCE]
        query: Select[Any] = (
            select(dead_letters.c.letter)
            .select_from(dead_letters)
            .where(APPLIES, dead_letters.c.revision.in_(some))
            .order_by(dead_letters.c.revision)
        )
        letters += await connection.scalars(narrow(query))
    return letters


def decoded(letter: bytes) -> tuple[Change, Letter] | None:
    """Decode a letter; return None if this version cannot."""
    kept = read_letter(letter)
    if kept is None:
        return None
    try:
        return change_from(kept.row), kept
    except Unreadable:
        return None


async def aio_first_refused(
    connection: AsyncConnection, revision: int, upto: int, event_ids: Sequence[str]
) -> tuple[list[Change], int]:
    """Return the first refused change of each market and event after a revision, and each end.

    Args:
        connection: inside a transaction.
        revision: the revision.
        upto: the last revision of interest.
        event_ids: the events of interest; empty for all.

    Returns:
        The changes, and the number of refused changes of all events that nobody knows any more.
    """
    lost = select(func.count()).where(lost_changes.c.revision > revision)
    unknown = await connection.scalar(lost) or 0
    changes: list[Change] = []
    if (
        await connection.scalar(
            select(dead_letters.c.revision).where(within(revision, upto)).limit(1)
        )
        is None
    ):
        return changes, unknown
    chosen = within(revision, upto, event_ids)
    for condition, group in (
        (OF_MARKET, MARKET),
        (and_(OF_EVENT, dead_letters.c.kind != int(ChangeKind.EVENT_ENDED)), EVENT),
        (IS_END, EVENT),
    ):
        first = each(func.min, and_(chosen, condition), group)
        for letter in await aio_letters(connection, first):
            found = decoded(letter)
            if found is None:
                unknown += 1
            else:
                changes.append(found[0])
    return changes, unknown
