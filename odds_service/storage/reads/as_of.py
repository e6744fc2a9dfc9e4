"""Odds as of a revision: what stands now, with everything after that revision undone.

Per market the `before` of its first change after the revision, else the current odds. An event's
end is the first change of all markets that it ended; a market not among them was not there.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from msgspec.structs import replace
from sqlalchemy import ColumnElement, Row, Select, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.errors import BelowFloor
from odds_service.model.change import Change, ChangeKind, EventChange, MarketChange
from odds_service.model.event import Event, EventStatus
from odds_service.model.market import Market, MarketKey, MarketStatus
from odds_service.model.snapshot import BookmakerKey, BookmakerOdds, EventOdds, EventSource
from odds_service.storage import rows
from odds_service.storage.letters.letters import aio_kept
from odds_service.storage.letters.refused import Place, aio_refused
from odds_service.storage.log.pages import aio_detected_at
from odds_service.storage.schema import (
    PLACE,
    UNSTORED,
    event_sources,
    events,
    feed_state,
    odds_current,
    odds_history,
    snapshots,
)
from odds_service.store import PastOdds


async def aio_odds_at(
    connection: AsyncConnection, revision: int, event_ids: Sequence[str], at: datetime | None
) -> PastOdds:
    """See store.Store.odds_at."""
    state = (await connection.execute(select(feed_state))).one()
    if not state.floor_revision <= revision <= state.durable_revision:
        raise BelowFloor(state.floor_revision)
    at = at or await aio_detected_at(connection, revision) or state.floor_at
    refused = await aio_refused(connection, revision)
    undone = _Undone()
    unknown = 0
    if revision < state.durable_revision:
        kept, unknown = await _aio_unstored(connection, revision, state.durable_revision)
        firsts, unreadable = await _aio_first_changes(connection, revision, event_ids)
        unknown += unreadable
        undone.add(sorted([*firsts, *kept], key=lambda change: change.revision))
    described = await _aio_events(connection, event_ids)
    for event_id, change in refused.events.items():
        if not event_ids or event_id in event_ids:
            described[event_id] = change.after
    live = undone.events_then(described)
    current = await _aio_current(connection, revision, event_ids)
    refused.lay_over(current, event_ids)
    markets = undone.markets_then(current, live)
    carried = await _aio_carried(connection, event_ids) | refused.carried
    snapshots_then = await _aio_snapshots(connection, revision, event_ids)
    shown = _bookmakers(markets, snapshots_then, at)
    listed = [
        EventOdds(
            event,
            {
                source: carried[event_id, source]
                for source in event.source_ids
                if (event_id, source) in carried
            },
            shown.get(event_id, {}),
        )
        for event_id, event in sorted(live.items())
    ]
    return PastOdds(revision, at, listed, unknown)


class _Undone:
    """First changes after the revision, of each market and of each event."""

    def __init__(self) -> None:
        self._markets: dict[Place, Market | None] = {}
        self._events: dict[str, Event | None] = {}
        self._ended: set[str] = set()

    def add(self, changes: Iterable[Change]) -> None:
        """In revision order."""
        for change in changes:
            if isinstance(change, MarketChange):
                if change.event_id not in self._ended:
                    key = change.after.key
                    place = change.event_id, change.source, change.bookmaker, key
                    self._markets.setdefault(place, change.before)
            elif isinstance(change, EventChange):
                self._events.setdefault(change.event_id, change.before)
                if change.kind is ChangeKind.EVENT_ENDED and change.event_id not in self._ended:
                    self._ended.add(change.event_id)
                    for odds in change.ended:
                        for key, market in odds.markets.items():
                            place = change.event_id, odds.source, odds.bookmaker, key
                            self._markets.setdefault(place, market)

    def events_then(self, described: dict[str, Event]) -> dict[str, Event]:
        """The events that were there, as they were."""
        return {
            event_id: event
            for event_id, event in (described | self._events).items()
            if event is not None and event.status is not EventStatus.ENDED
        }

    def markets_then(
        self, current: dict[Place, Market], live: dict[str, Event]
    ) -> dict[Place, Market]:
        """The markets that were there. current: those that have not changed since."""
        found = {place: market for place, market in current.items() if place[0] not in self._ended}
        for place, before in self._markets.items():
            if before is None or before.status is MarketStatus.REMOVED:
                found.pop(place, None)
            else:
                found[place] = before
        # Without its row (that was refused) an event cannot be described, nor its odds be shown.
        return {place: market for place, market in found.items() if place[0] in live}


def _of(event_ids: Sequence[str], column: ColumnElement[str]) -> list[ColumnElement[bool]]:
    return [column.in_(event_ids)] if event_ids else []


async def _aio_first_changes(
    connection: AsyncConnection, revision: int, event_ids: Sequence[str]
) -> tuple[list[Change], int]:
    """After the revision: each market's first change, each event's first one and first end.

    Beside them, how many of these cannot be served.
    """
    later = [odds_history.c.revision > revision, *_of(event_ids, odds_history.c.event_id)]
    kind, event_id = odds_history.c.kind, odds_history.c.event_id
    of_market = kind.between(int(ChangeKind.ADDED), int(ChangeKind.REMOVED))
    of_event = kind.between(int(ChangeKind.EVENT_ADDED), int(ChangeKind.EVENT_ENDED))
    ends = kind == int(ChangeKind.EVENT_ENDED)
    changes: list[Change] = []
    unreadable = 0
    for condition, group in (
        (of_market, [odds_history.c[name] for name in PLACE]),
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
        found, lost = rows.changes_from(await connection.execute(query))
        changes += found
        unreadable += len(lost)
    return changes, unreadable


async def _aio_unstored(
    connection: AsyncConnection, revision: int, durable: int
) -> tuple[list[Change], int]:
    """Refused changes after the revision: those that letters hold, and how many none does."""
    query = select(odds_history.c.revision).where(
        odds_history.c.revision > revision, odds_history.c.kind == UNSTORED
    )
    unstored = set(await connection.scalars(query))
    if not unstored:
        return [], 0
    letters = await aio_kept(connection, revision, durable)
    kept = {each.revision: each for each, _ in letters if each.revision in unstored}
    return list(kept.values()), len(unstored) - len(kept)


async def _aio_events(connection: AsyncConnection, event_ids: Sequence[str]) -> dict[str, Event]:
    query = select(events.c.event_id, events.c.event).where(*_of(event_ids, events.c.event_id))
    found = {}
    for row in await connection.execute(query):
        with suppress(rows.Unreadable):
            found[row.event_id] = rows.event_from(row.event)
    return found


async def _aio_carried(
    connection: AsyncConnection, event_ids: Sequence[str]
) -> dict[tuple[str, str], EventSource]:
    """How each source carried its events; the event itself tells which did at a time."""
    query = select(event_sources).where(*_of(event_ids, event_sources.c.event_id))
    return {
        (row.event_id, row.source): replace(rows.carried_from(row), departed_at=None)
        for row in await connection.execute(query)
    }


async def _aio_current(
    connection: AsyncConnection, revision: int, event_ids: Sequence[str]
) -> dict[Place, Market]:
    """The live markets that have not changed since the revision."""
    query = (
        select(odds_current)
        .outerjoin(events, events.c.event_id == odds_current.c.event_id)  # its row may be refused
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
        with suppress(rows.Unreadable):
            found[row.event_id, row.source, row.bookmaker, key] = rows.market_from(
                key, row.odds, row.revision, row.changed_at
            )
    return found


async def _aio_snapshots(
    connection: AsyncConnection, revision: int, event_ids: Sequence[str]
) -> dict[tuple[str, BookmakerKey], Row[Any]]:
    """Each bookmaker's last capture that had changed something by then."""
    latest = (
        select(func.max(snapshots.c.snapshot_id).label("snapshot_id"))
        .where(snapshots.c.snapshot_id <= revision, *_of(event_ids, snapshots.c.event_id))
        .group_by(snapshots.c.event_id, snapshots.c.source, snapshots.c.bookmaker)
        .subquery()
    )
    query = select(snapshots).join(latest, latest.c.snapshot_id == snapshots.c.snapshot_id)
    return {
        (row.event_id, (row.source, row.bookmaker)): row for row in await connection.execute(query)
    }


def _bookmakers(
    markets: dict[Place, Market],
    snapshots_then: dict[tuple[str, BookmakerKey], Row[Any]],
    at: datetime | None,
) -> dict[str, dict[BookmakerKey, BookmakerOdds]]:
    """Markets by event and bookmaker; what was seen after `at` was not known then."""
    grouped: dict[tuple[str, BookmakerKey], dict[MarketKey, Market]] = {}
    for (event_id, source, bookmaker, key), market in markets.items():
        grouped.setdefault((event_id, (source, bookmaker)), {})[key] = market
    shown: dict[str, dict[BookmakerKey, BookmakerOdds]] = {}
    for (event_id, whose), of_bookmaker in grouped.items():
        row = snapshots_then.get((event_id, whose))
        changed_at = max(market.changed_at for market in of_bookmaker.values())
        shown.setdefault(event_id, {})[whose] = BookmakerOdds(
            0 if row is None else row.snapshot_id,
            event_id,
            *whose,
            changed_at if row is None else min(row.observed_at, at or row.observed_at),
            changed_at if row is None else min(row.confirmed_at, at or row.confirmed_at),
            None if row is None else row.source_updated_at,
            of_bookmaker,
            lagging={} if row is None else rows.lagging_from(row.lagging),
        )
    return shown
