"""Closing odds: the last open odds of each bookmaker before an event began."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.model.change import ChangeKind
from odds_service.model.event import Event
from odds_service.model.market import Market, MarketKey, MarketStatus
from odds_service.storage.closing import (
    LastOffer,
    LastOffers,
    MarketValues,
    Step,
    at_start,
    last_seen,
)
from odds_service.storage.reads.looks import Looks
from odds_service.storage.rows import Unreadable
from odds_service.storage.rows.events import event_from
from odds_service.storage.rows.odds import market_from
from odds_service.storage.schema import MARKET_COLUMNS, events, odds_history, snapshots
from odds_service.store import ClosingOdds, StartedEvents

_ROWS_AT_ONCE: Final = 1_000
_STEP_COLUMNS: Final = (
    "revision", "observed_at", "kind", "reason", *MARKET_COLUMNS, "status", "snapshot_id",
    "after",
)  # fmt: skip


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
    """See store.Store.closing_odds. Reads one event at a time to bound memory."""
    query = select(events.c.event_id, events.c.start_time).where(events.c.event_id.in_(event_ids))
    found = []
    for event in (await connection.execute(query.order_by(events.c.event_id))).all():
        found += await _aio_closing_of(connection, event.event_id, event.start_time)
    return found


async def _aio_closing_of(
    connection: AsyncConnection, event_id: str, start_time: datetime
) -> list[ClosingOdds]:
    offers = await _aio_offers(connection, event_id, start_time)
    captures = await _aio_captures(connection, event_id)
    looks = Looks(connection, event_id, start_time)
    found = []
    for place in sorted(offers):
        offer = offers[place]
        row, gone = offer.origin, offer.gone
        of_bookmaker = captures.get((row.source, row.bookmaker), ())
        confirmed_at, overwritten = last_seen(
            of_bookmaker, row.snapshot_id, offer.replaced_at, row.observed_at, start_time
        )
        if overwritten:
            confirmed_at = await looks.aio_last(row.source, confirmed_at)
        looked_at = confirmed_at
        if gone is not None:
            looked_at, _ = last_seen(
                of_bookmaker, offer.replaced_at or 0, None, gone.observed_at, start_time
            )
            looked_at = await looks.aio_last(row.source, looked_at)
        try:
            market = _market(row)
            opening = None if offer.opening is None else _market(offer.opening)
        except Unreadable:
            continue
        state = await looks.aio_state(row.source)
        found.append(
            ClosingOdds(
                event_id,
                start_time,
                row.source,
                row.bookmaker,
                market,
                confirmed_at,
                at_start(offer, state, looked_at, start_time),
                looked_at,
                opening,
            )
        )
    return found


def _market(row: Row[Any]) -> Market:
    key = MarketKey(row.market, row.line, row.participant)
    return market_from(key, row.after, row.revision, row.observed_at)


def _step(row: Row[Any]) -> Step[Row[Any]]:
    if row.kind == ChangeKind.EVENT_ENDED:
        return Step(None, row.revision, row.observed_at, None, reason=row.reason)
    place = tuple(getattr(row, name) for name in MARKET_COLUMNS)
    offered = row if row.status == MarketStatus.OPEN else None
    added = row.kind == ChangeKind.ADDED
    return Step(
        place, row.revision, row.observed_at, offered, added, row.reason, row.snapshot_id or 0
    )


async def _aio_offers(
    connection: AsyncConnection, event_id: str, start_time: datetime
) -> dict[MarketValues, LastOffer[Row[Any]]]:
    """Fold the changes of the event's markets, and its ends; few rows are held at once."""
    kind = odds_history.c.kind
    query = (
        select(*(odds_history.c[name] for name in _STEP_COLUMNS))
        .where(
            odds_history.c.event_id == event_id,
            kind.between(int(ChangeKind.ADDED), int(ChangeKind.REMOVED))
            | (kind == int(ChangeKind.EVENT_ENDED)),
        )
        .order_by(odds_history.c.revision)
    )
    offers = LastOffers[Row[Any]](start_time)
    async with connection.stream(query, execution_options={"yield_per": _ROWS_AT_ONCE}) as rows:
        async for row in rows:
            offers.take(_step(row))
    return offers.found


async def _aio_captures(
    connection: AsyncConnection, event_id: str
) -> dict[tuple[str, str], list[Row[Any]]]:
    found: dict[tuple[str, str], list[Row[Any]]] = {}
    query = select(snapshots).where(snapshots.c.event_id == event_id)
    for row in await connection.execute(query):
        found.setdefault((row.source, row.bookmaker), []).append(row)
    return found
