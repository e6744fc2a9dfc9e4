"""Refused changes that are still in force: they were served, and no stored change supersedes them.

The current tables lack them. A start, and a reading as of a revision, must therefore apply them to
the odds from those tables. Dropped letters are given up, so their changes are not applied.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.model.change import (
    Change,
    ChangeKind,
    EventChange,
    MarketChange,
    SourceChange,
)
from odds_service.model.market import Market, MarketKey, MarketStatus
from odds_service.model.snapshot import EventSource
from odds_service.storage.letters.letters import aio_kept
from odds_service.storage.schema import (
    events,
    feed_state,
    odds_current,
    source_states,
)

MarketRef = tuple[str, str, str, MarketKey]  # event, source, bookmaker, market

_AT_ONCE: Final = 500  # ids per query


class RefusedChanges(Struct):
    """The last change of each market, event and source, if it was refused.

    Attributes:
        markets: market -> its refused change.
        events: event -> its refused change.
        sources: source -> its refused change.
        ended: event -> revision of its refused end.
        carried: (event, source) -> the source's view of the event.
    """

    markets: dict[MarketRef, MarketChange] = {}
    events: dict[str, EventChange] = {}
    sources: dict[str, SourceChange] = {}
    ended: dict[str, int] = {}
    carried: dict[tuple[str, str], EventSource] = {}

    @property
    def event_ids(self) -> set[str]:
        """The events for which the tables are not up to date."""
        return {*self.events, *self.ended, *(place[0] for place in self.markets)}

    def lay_over(self, current: dict[MarketRef, Market], event_ids: Collection[str]) -> None:
        """Apply the refused changes to markets from the tables.

        Args:
            current: the markets; corrected in place.
            event_ids: the events that were read; empty for all.
        """
        for place in [place for place in current if place[0] in self.ended]:
            if current[place].revision <= self.ended[place[0]]:
                del current[place]
        for place, change in self.markets.items():
            if event_ids and place[0] not in event_ids:
                continue
            if change.after.status is MarketStatus.REMOVED:
                current.pop(place, None)
            else:
                current[place] = change.after


async def aio_refused_changes(connection: AsyncConnection, upto: int) -> RefusedChanges:
    """Return the refused changes that are in force at revision `upto`."""
    found = RefusedChanges()
    changes: list[Change] = []
    # Skip letters below the floor: their events may be gone from the tables as well.
    floor = await connection.scalar(select(feed_state.c.floor_revision)) or 0
    for change, carried in await aio_kept(connection, floor, upto):
        changes.append(change)
        if isinstance(change, EventChange):
            found.carried |= {(change.event_id, each.source): each for each in carried}
    if not changes:
        return found
    event_ids = {change.event_id for change in changes if not isinstance(change, SourceChange)}
    known = {row.event_id: row for row in await _aio_events(connection, event_ids)}
    states = await connection.execute(select(source_states.c.source, source_states.c.revision))
    told = {row.source: row.revision for row in states}
    ended = {event_id: row.ended_revision for event_id, row in known.items()}
    for change in changes:
        if isinstance(change, EventChange):
            row = known.get(change.event_id)
            if change.kind is ChangeKind.EVENT_ENDED and change.revision > ended.get(
                change.event_id, 0
            ):
                ended[change.event_id] = found.ended[change.event_id] = change.revision
            if row is None or change.revision > row.revision:
                found.events[change.event_id] = change
        elif isinstance(change, SourceChange) and change.revision > told.get(change.source, 0):
            found.sources[change.source] = change
    markets = [
        change
        for change in changes
        if isinstance(change, MarketChange) and change.revision > ended.get(change.event_id, 0)
    ]
    overtaken = await _aio_market_revisions(connection, {each.event_id for each in markets})
    for change in markets:
        place = change.event_id, change.source, change.bookmaker, change.after.key
        if change.revision > overtaken.get(place, 0):
            found.markets[place] = change
    return found


async def _aio_events(connection: AsyncConnection, event_ids: Iterable[str]) -> list[Row[Any]]:
    query = select(events.c.event_id, events.c.revision, events.c.ended_revision)
    found: list[Row[Any]] = []
    for some in _chunks(event_ids):
        found += await connection.execute(query.where(events.c.event_id.in_(some)))
    return found


async def _aio_market_revisions(
    connection: AsyncConnection, event_ids: Iterable[str]
) -> dict[MarketRef, int]:
    """Return the revisions of all markets of some events, tombstones included."""
    query = select(odds_current)
    return {
        (row.event_id, row.source, row.bookmaker, MarketKey(row.market, row.line, row.participant)):
        row.revision
        for some in _chunks(event_ids)
        for row in await connection.execute(query.where(odds_current.c.event_id.in_(some)))
    }  # fmt: skip


def _chunks(event_ids: Iterable[str]) -> Iterator[Sequence[str]]:
    listed = sorted(event_ids)
    for start in range(0, len(listed), _AT_ONCE):
        yield listed[start : start + _AT_ONCE]
