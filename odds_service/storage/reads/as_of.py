"""Odds as of a revision: the current odds with all later changes undone.

A market's odds are the `before` of its first change after the revision, or else the current odds.
The end of an event counts as the first change of all markets that it ended; markets that it did not
end did not exist.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from msgspec.structs import replace
from sqlalchemy import ColumnElement, Select, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.errors import BelowFloor
from odds_service.model.change import Change, ChangeKind, SourceChange
from odds_service.model.event import Event, EventStatus
from odds_service.model.fold import EventFold
from odds_service.model.market import Market, MarketKey, MarketStatus
from odds_service.model.snapshot import (
    BookmakerKey,
    EventOdds,
    EventSource,
    Snapshot,
    odds_as_known,
)
from odds_service.storage.epoch_order import check_stored
from odds_service.storage.letters.refused import MarketRef, RefusedChanges, aio_refused_changes
from odds_service.storage.letters.selecting import aio_first_refused
from odds_service.storage.log.pages import aio_detected_at
from odds_service.storage.rows import Unreadable
from odds_service.storage.rows.events import carried_from, event_from
from odds_service.storage.rows.history import changes_from
from odds_service.storage.rows.odds import market_from
from odds_service.storage.rows.snapshots import snapshot_from
from odds_service.storage.schema import (
    MARKET_COLUMNS,
    event_sources,
    events,
    feed_state,
    odds_current,
    odds_history,
    snapshots,
)
from odds_service.store import PastOdds


async def aio_odds_at(
    connection: AsyncConnection,
    revision: int,
    event_ids: Sequence[str],
    at: datetime | None,
    refused: RefusedChanges | None = None,
) -> PastOdds:
    """See store.Store.odds_at.

    Args:
        connection: inside a transaction.
        revision: the last revision that counts.
        event_ids: the events to return; empty for all.
        at: the time up to which confirmations count; None for the time of the revision.
        refused: the refused changes in force at the revision, if the caller has read them.
    """
    state = (await connection.execute(select(feed_state))).one()
    if revision < state.floor_revision:
        raise BelowFloor(state.floor_revision)
    check_stored(state.durable_revision, revision)
    at = at or await aio_detected_at(connection, revision) or state.floor_at
    if refused is None:
        refused = await aio_refused_changes(connection, revision, event_ids)
    later: list[Change] = []
    unknown = len(refused.unreadable)
    if revision < state.durable_revision:
        kept, lost = await aio_first_refused(
            connection, revision, state.durable_revision, event_ids
        )
        firsts, unreadable = await _aio_first_changes(connection, revision, event_ids)
        unknown += lost + unreadable
        later = sorted([*firsts, *kept], key=lambda change: change.revision)
    chosen = frozenset(event_ids)
    described = await _aio_events(connection, event_ids)
    for event_id, change in refused.events.items():
        if not chosen or event_id in chosen:
            described[event_id] = change.after
    current = await _aio_current(connection, revision, event_ids)
    refused.lay_over(current, chosen)
    folds = _undone(described, current, later)
    carried = await _aio_carried(connection, event_ids) | refused.carried
    captured = await _aio_snapshots(connection, revision, event_ids)
    listed = []
    for event_id, fold in sorted(folds.items()):
        event = fold.event
        # An event whose row was refused cannot be described, so its odds cannot be shown either.
        if event is None or event.status is EventStatus.ENDED:
            continue
        if chosen and event_id not in chosen:
            continue
        sources = {
            source: carried[event_id, source]
            for source in event.source_ids
            if (event_id, source) in carried
        }
        shown = {
            key: odds_as_known(event_id, key, of_key.markets, captured.get((event_id, key)), at)
            for key, of_key in fold.bookmakers.items()
            if of_key.markets
        }
        listed.append(EventOdds(event, sources, shown))
    return PastOdds(revision, at, listed, unknown)


def _undone(
    described: Mapping[str, Event], current: Mapping[MarketRef, Market], later: Sequence[Change]
) -> dict[str, EventFold]:
    """Undo changes.

    Args:
        described: all events in their present form, including ended ones.
        current: the markets that no change in `later` affects.
        later: changes in the order of the log; for each market and event at least the first one
            after the revision, and each event's first end.

    Returns:
        The odds before those changes, by event id.
    """
    folds: dict[str, EventFold] = {}
    for event_id, event in described.items():
        folds[event_id] = EventFold()
        folds[event_id].event = event
    for (event_id, source, bookmaker, key), market in current.items():
        fold = folds.setdefault(event_id, EventFold())
        fold.bookmaker(source, bookmaker).set_market(key, market)
    for change in reversed(later):
        if not isinstance(change, SourceChange):
            folds.setdefault(change.event_id, EventFold()).undo(change)
    return folds


def _of(event_ids: Sequence[str], column: ColumnElement[str]) -> list[ColumnElement[bool]]:
    return [column.in_(event_ids)] if event_ids else []


async def _aio_first_changes(
    connection: AsyncConnection, revision: int, event_ids: Sequence[str]
) -> tuple[list[Change], int]:
    """Return the first change of each market and event after a revision, and each first end.

    Returns:
        The changes, and the number of such changes that cannot be decoded.
    """
    later = [odds_history.c.revision > revision, *_of(event_ids, odds_history.c.event_id)]
    kind, event_id = odds_history.c.kind, odds_history.c.event_id
    of_market = kind.between(int(ChangeKind.ADDED), int(ChangeKind.REMOVED))
    of_event = kind.between(int(ChangeKind.EVENT_ADDED), int(ChangeKind.EVENT_ENDED))
    ends = kind == int(ChangeKind.EVENT_ENDED)
    changes: list[Change] = []
    unreadable = 0
    for condition, group in (
        (of_market, [odds_history.c[name] for name in MARKET_COLUMNS]),
        (and_(of_event, ~ends), [event_id]),
        (ends, [event_id]),
    ):
        first = (
            select(func.min(odds_history.c.revision).label("revision"))
            .where(condition, *later)
            .group_by(*group)
            .subquery()
        )
        query: Select[Any] = select(odds_history).join(
            first, first.c.revision == odds_history.c.revision
        )
        found, lost = changes_from(await connection.execute(query))
        changes += found
        unreadable += len(lost)
    return changes, unreadable


async def _aio_events(connection: AsyncConnection, event_ids: Sequence[str]) -> dict[str, Event]:
    query = select(events.c.event_id, events.c.event).where(*_of(event_ids, events.c.event_id))
    found = {}
    for row in await connection.execute(query):
        with suppress(Unreadable):
            found[row.event_id] = event_from(row.event)
    return found


async def _aio_carried(
    connection: AsyncConnection, event_ids: Sequence[str]
) -> dict[tuple[str, str], EventSource]:
    """Return how sources carry events now; the past event tells which of them did then."""
    query = select(event_sources).where(*_of(event_ids, event_sources.c.event_id))
    return {
        (row.event_id, row.source): replace(carried_from(row), departed_at=None)
        for row in await connection.execute(query)
    }


async def _aio_current(
    connection: AsyncConnection, revision: int, event_ids: Sequence[str]
) -> dict[MarketRef, Market]:
    """Return the live markets that have not changed since a revision."""
    query = (
        select(odds_current)
        .outerjoin(events, events.c.event_id == odds_current.c.event_id)  # may be refused
        .where(
            odds_current.c.revision <= revision,
            odds_current.c.revision > func.coalesce(events.c.ended_revision, 0),
            odds_current.c.status != int(MarketStatus.REMOVED),
            *_of(event_ids, odds_current.c.event_id),
        )
    )
    found = {}
    for row in await connection.execute(query):
        key = MarketKey(row.market, row.line, row.participant)
        with suppress(Unreadable):
            found[row.event_id, row.source, row.bookmaker, key] = market_from(
                key, row.odds, row.revision, row.changed_at
            )
    return found


async def _aio_snapshots(
    connection: AsyncConnection, revision: int, event_ids: Sequence[str]
) -> dict[tuple[str, BookmakerKey], Snapshot]:
    """Return each bookmaker's last snapshot up to a revision."""
    latest = (
        select(func.max(snapshots.c.snapshot_id).label("snapshot_id"))
        .where(snapshots.c.snapshot_id <= revision, *_of(event_ids, snapshots.c.event_id))
        .group_by(snapshots.c.event_id, snapshots.c.source, snapshots.c.bookmaker)
        .subquery()
    )
    query = select(snapshots).join(latest, latest.c.snapshot_id == snapshots.c.snapshot_id)
    return {
        (row.event_id, (row.source, row.bookmaker)): snapshot_from(row)
        for row in await connection.execute(query)
    }
