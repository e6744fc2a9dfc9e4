"""Closing odds: what each bookmaker showed last, open, before an event began."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.model.change import ChangeKind
from odds_service.model.event import Event
from odds_service.model.market import MarketKey, MarketStatus
from odds_service.storage.reads.looks import Looks
from odds_service.storage.rows import Unreadable
from odds_service.storage.rows.events import event_from
from odds_service.storage.rows.odds import market_from
from odds_service.storage.schema import PLACE, events, odds_history, snapshots
from odds_service.store import ClosingOdds, StartedEvents

_Key = tuple[str, ...]  # the values of PLACE


async def aio_started(
    connection: AsyncConnection,
    only: StartedEvents,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[Event]:
    """See store.Store.started_events."""
    column = events.c
    query = select(column.event).where(column.start_time < only.before)
    if only.event_ids:
        query = query.where(column.event_id.in_(only.event_ids))
    if only.sports:
        query = query.where(column.sport.in_(only.sports))
    if only.competitions:
        query = query.where(column.competition.in_(only.competitions))
    if only.start_from is not None:
        query = query.where(column.start_time >= only.start_from)
    if after is not None:
        start_time, event_id = after
        later_id = and_(column.start_time == start_time, column.event_id > event_id)
        query = query.where(or_(column.start_time > start_time, later_id))
    query = query.order_by(column.start_time, column.event_id).limit(limit)
    found = []
    for event in await connection.scalars(query):
        with suppress(Unreadable):
            found.append(event_from(event))
    return found


async def aio_closing(connection: AsyncConnection, event_ids: Sequence[str]) -> list[ClosingOdds]:
    """See store.Store.closing_odds. One event at a time, so that its rows bound memory."""
    query = select(events.c.event_id, events.c.start_time).where(events.c.event_id.in_(event_ids))
    found = []
    for event in (await connection.execute(query.order_by(events.c.event_id))).all():
        found += await _aio_closing_of(connection, event.event_id, event.start_time)
    return found


async def _aio_closing_of(
    connection: AsyncConnection, event_id: str, start_time: datetime
) -> list[ClosingOdds]:
    closing: dict[_Key, Row[Any]] = {}
    followed: dict[_Key, int] = {}  # the revision that replaced the closing odds, ever
    late: set[_Key] = set()  # replaced at or after the start: they stood until then
    for row in await _aio_changes(connection, event_id):
        before_start = row.observed_at < start_time
        if row.kind == ChangeKind.EVENT_ENDED:
            for place in closing.keys() - followed.keys():
                followed[place] = row.revision
                if not before_start:
                    late.add(place)
            continue
        place = tuple(getattr(row, name) for name in PLACE)
        if before_start and row.status == MarketStatus.OPEN:
            closing[place] = row
            followed.pop(place, None)
        elif place in closing and place not in followed:
            followed[place] = row.revision
            if not before_start:
                late.add(place)
    captures = await _aio_captures(connection, event_id)
    looks = Looks(connection, event_id, start_time)
    found = []
    for place, row in sorted(closing.items()):
        upto = followed.get(place)
        shown = [
            capture
            for capture in captures.get((row.source, row.bookmaker), ())
            if capture.snapshot_id >= row.snapshot_id
            and (upto is None or capture.snapshot_id < upto)
        ]
        times = [time for each in shown for time in (each.observed_at, each.confirmed_at)]
        confirmed_at = max(time for time in (row.observed_at, *times) if time <= start_time)
        if any(time > start_time for time in times):  # the last look before was overwritten
            confirmed_at = await looks.aio_last(row.source, confirmed_at)
        key = MarketKey(row.market, row.line, row.participant)
        try:
            market = market_from(key, row.after, row.revision, row.observed_at)
        except Unreadable:
            continue
        found.append(
            ClosingOdds(
                event_id,
                start_time,
                row.source,
                row.bookmaker,
                market,
                confirmed_at,
                upto is None or place in late,
            )
        )
    return found


async def _aio_changes(connection: AsyncConnection, event_id: str) -> Sequence[Row[Any]]:
    """The event's market changes and ends, in order."""
    kind = odds_history.c.kind
    query = (
        select(odds_history)
        .where(
            odds_history.c.event_id == event_id,
            kind.between(int(ChangeKind.ADDED), int(ChangeKind.REMOVED))
            | (kind == int(ChangeKind.EVENT_ENDED)),
        )
        .order_by(odds_history.c.revision)
    )
    return (await connection.execute(query)).all()


async def _aio_captures(
    connection: AsyncConnection, event_id: str
) -> dict[tuple[str, str], list[Row[Any]]]:
    found: dict[tuple[str, str], list[Row[Any]]] = {}
    query = select(snapshots).where(snapshots.c.event_id == event_id)
    for row in await connection.execute(query):
        found.setdefault((row.source, row.bookmaker), []).append(row)
    return found
