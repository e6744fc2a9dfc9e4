"""The store's statements: the same for every database, through SQLAlchemy Core.

asyncio-flavoured (`aio_…`); `storage.sqlite` runs them on the bridge.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, bindparam, func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from odds_service.errors import Superseded
from odds_service.model.change import Change, ChangeBatch, EventChange, MarketChange, SourceChange
from odds_service.model.event import Event, EventStatus
from odds_service.model.market import Market, MarketKey, MarketStatus
from odds_service.model.snapshot import BookmakerKey, BookmakerOdds, EventOdds, EventSource
from odds_service.storage import rows
from odds_service.storage.base import Stored, WriteGroup
from odds_service.storage.schema import (
    bookmakers,
    epochs,
    event_sources,
    events,
    feed_state,
    metadata,
    odds_current,
    odds_history,
    scrape_runs,
    snapshots,
    source_states,
)


async def aio_begin(engine: AsyncEngine, now: datetime) -> Stored:
    """Make the tables where they are missing, open a new epoch, and read the warm state."""
    async with engine.begin() as connection:
        await connection.run_sync(_create)
        state = (await connection.execute(select(feed_state))).one_or_none()
        revision = 0 if state is None else state.durable_revision
        epoch = uuid.uuid4().hex
        if state is None:
            first = {"one": 1, "database_id": uuid.uuid4().hex, "epoch": epoch}
            await connection.execute(feed_state.insert(), first | {"durable_revision": 0})
        else:
            await connection.execute(update(feed_state).values(epoch=epoch))
        opened = {"epoch": epoch, "first_revision": revision + 1, "opened_at": now}
        await connection.execute(epochs.insert(), opened)
        known = await connection.execute(select(epochs).order_by(epochs.c.place))
        states = await connection.execute(select(source_states.c.state))
        return Stored(
            events=await _aio_live_events(connection),
            sources=[rows.state_from(row.state) for row in states],
            revision=revision,
            epoch=epoch,
            epochs=[(row.epoch, row.first_revision) for row in known],
            last_detected_at=None if state is None else state.detected_at,
        )


def _create(connection: Connection) -> None:
    metadata.create_all(connection)


async def _aio_live_events(connection: AsyncConnection) -> list[EventOdds]:
    live: dict[str, Event] = {}
    ended_at: dict[str, int] = {}
    query = select(events).where(events.c.status != int(EventStatus.ENDED))
    for row in await connection.execute(query):
        live[row.event_id] = rows.event_from(row.event)
        ended_at[row.event_id] = row.ended_revision
    carried: dict[str, dict[str, EventSource]] = {event_id: {} for event_id in live}
    for row in await connection.execute(select(event_sources)):
        if row.event_id in live and row.source in live[row.event_id].source_ids:
            carried[row.event_id][row.source] = EventSource(
                row.source, row.source_event_id, row.listing, None
            )
    markets: dict[str, dict[BookmakerKey, dict[MarketKey, Market]]] = {}
    keys: dict[MarketKey, MarketKey] = {}
    removed = int(MarketStatus.REMOVED)
    for row in await connection.execute(
        select(odds_current).where(odds_current.c.status != removed)
    ):
        if row.revision > ended_at.get(row.event_id, row.revision):
            key = MarketKey(row.market, row.line, row.participant)
            key = keys.setdefault(key, key)
            of_event = markets.setdefault(row.event_id, {})
            of_bookmaker = of_event.setdefault((row.source, row.bookmaker), {})
            of_bookmaker[key] = rows.market_from(key, row.odds)
    newest = (
        select(func.max(snapshots.c.snapshot_id))
        .group_by(snapshots.c.event_id, snapshots.c.source, snapshots.c.bookmaker)
        .scalar_subquery()
    )
    shown: dict[str, dict[BookmakerKey, BookmakerOdds]] = {event_id: {} for event_id in live}
    current = select(snapshots).where(snapshots.c.snapshot_id.in_(newest))
    for row in await connection.execute(current):
        whose = row.source, row.bookmaker
        alive = markets.get(row.event_id, {}).get(whose)
        if alive:
            shown[row.event_id][whose] = BookmakerOdds(
                row.snapshot_id,
                row.event_id,
                row.source,
                row.bookmaker,
                row.observed_at,
                row.confirmed_at,
                row.source_updated_at,
                alive,
            )
    return [
        EventOdds(event, carried[event_id], shown[event_id]) for event_id, event in live.items()
    ]


async def aio_write(engine: AsyncEngine, epoch: str, group: WriteGroup) -> None:
    """One transaction; its first statement takes the write lock, by touching feed_state."""
    async with engine.begin() as connection:
        await connection.execute(update(feed_state).values(one=1))
        state = (await connection.execute(select(feed_state))).one()
        if state.epoch != epoch:
            raise Superseded("another process opened this database; this one must end")
        last = group.last_revision
        if last is not None and last > state.durable_revision:
            await _aio_write_batches(connection, group.batches)
            durable = {"durable_revision": last}
            stamp = {"detected_at": group.batches[-1].changes[-1].detected_at}
            await connection.execute(update(feed_state).values(durable | stamp))
        if group.confirmations:
            await connection.execute(
                _CONFIRM, [_confirmation(odds) for odds in group.confirmations]
            )
        if group.runs:
            await connection.execute(scrape_runs.insert(), [rows.run_row(r) for r in group.runs])


_CONFIRM = (
    update(snapshots)
    .where(snapshots.c.snapshot_id == bindparam("of"))
    .values(
        observed_at=bindparam("seen_at"),
        confirmed_at=bindparam("true_at"),
        source_updated_at=bindparam("claimed_at"),
    )
)


def _confirmation(odds: BookmakerOdds) -> dict[str, Any]:
    return {
        "of": odds.snapshot_id,
        "seen_at": odds.observed_at,
        "true_at": odds.confirmed_at,
        "claimed_at": odds.source_updated_at,
    }


async def _aio_write_batches(connection: AsyncConnection, batches: Sequence[ChangeBatch]) -> None:
    history: list[rows.Values] = []
    current: dict[tuple[Any, ...], rows.Values] = {}
    described: dict[str, rows.Values] = {}
    states: dict[str, rows.Values] = {}
    seen: dict[str, rows.Values] = {}
    for change in (change for batch in batches for change in batch.changes):
        history.append(rows.history_row(change))
        if isinstance(change, MarketChange):
            place = (change.event_id, change.source, change.bookmaker, change.after.key)
            current[place] = rows.current_row(change)
            name = {"bookmaker": change.bookmaker, "first_seen_at": change.observed_at}
            seen.setdefault(change.bookmaker, name)
        elif isinstance(change, EventChange):
            row = rows.event_row(change)
            before = described.get(change.event_id, {"ended_revision": 0})
            row["ended_revision"] = max(row["ended_revision"], before["ended_revision"])
            described[change.event_id] = row
        elif isinstance(change, SourceChange):
            states[change.source] = rows.state_row(change.after)
    await connection.execute(insert(odds_history).on_conflict_do_nothing(), history)
    await _aio_upsert(connection, odds_current, list(current.values()), newer_only=True)
    await _aio_upsert(connection, events, list(described.values()), newer_only=True)
    await _aio_upsert(connection, source_states, list(states.values()))
    carried = [
        {
            "event_id": event_id,
            "source": carried.source,
            "source_event_id": carried.source_event_id,
            "listing": carried.listing,
        }
        for batch in batches
        for event_id, carried in batch.event_sources
    ]
    await _aio_upsert(connection, event_sources, carried)
    if seen:
        await connection.execute(insert(bookmakers).on_conflict_do_nothing(), list(seen.values()))
    captured = [
        {name: getattr(snapshot, name) for name in snapshot.__struct_fields__}
        for batch in batches
        for snapshot in batch.snapshots
    ]
    if captured:
        await connection.execute(insert(snapshots).on_conflict_do_nothing(), captured)


async def _aio_upsert(
    connection: AsyncConnection,
    table: Table,
    values: Sequence[rows.Values],
    *,
    newer_only: bool = False,
) -> None:
    """Insert or replace by primary key; newer_only: never over a row of a later revision."""
    if not values:
        return
    statement = insert(table)
    fresh = statement.excluded
    taken: dict[str, Any] = {
        column.name: fresh[column.name] for column in table.columns if not column.primary_key
    }
    if "ended_revision" in taken:  # an event that comes back keeps when it ended last
        taken["ended_revision"] = func.max(table.c.ended_revision, fresh.ended_revision)
    statement = statement.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_=taken,
        where=fresh.revision > table.c.revision if newer_only else None,
    )
    await connection.execute(statement, list(values))


async def aio_history(engine: AsyncEngine, after: int, upto: int, limit: int) -> list[Change]:
    """See storage.base.Store.history."""
    query = (
        select(odds_history)
        .where(odds_history.c.revision > after, odds_history.c.revision <= upto)
        .order_by(odds_history.c.revision)
        .limit(limit)
    )
    async with engine.connect() as connection:
        return [rows.change_from(row) for row in await connection.execute(query)]


async def aio_oldest_revision(engine: AsyncEngine) -> int | None:
    """See storage.base.Store.oldest_revision."""
    async with engine.connect() as connection:
        oldest: int | None = await connection.scalar(select(func.min(odds_history.c.revision)))
        return oldest
