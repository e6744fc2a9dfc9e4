"""Refused changes that are still in force: they were served, and no stored change supersedes them.

The current tables lack them. A start, and a reading as of a revision, must therefore apply them to
the odds from those tables. Dropped letters are given up, so their changes are not applied.
"""

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, FromClause, Select, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.model.change import Change, EventChange, MarketChange, SourceChange
from odds_service.model.market import Market, MarketKey, MarketStatus
from odds_service.model.snapshot import EventSource
from odds_service.storage.letters.letters import Letter
from odds_service.storage.letters.selecting import (
    CARRIER,
    EVENT,
    IS_END,
    MARKET,
    OF_EVENT,
    OF_MARKET,
    OF_SOURCE,
    Narrow,
    aio_letters,
    decoded,
    each,
    within,
)
from odds_service.storage.schema import (
    MARKET_COLUMNS,
    dead_letters,
    events,
    feed_state,
    odds_current,
    source_states,
)

MarketRef = tuple[str, str, str, MarketKey]  # event, source, bookmaker, market


class RefusedChanges(Struct):
    """The last change of each market, event and source, if it was refused.

    Attributes:
        markets: market -> its refused change.
        events: event -> its refused change.
        sources: source -> its refused change.
        ended: event -> revision of its refused end.
        carried: (event, source) -> the source's view of the event.
        unreadable: the letters in force that are damaged, or from a later version.
    """

    markets: dict[MarketRef, MarketChange] = {}
    events: dict[str, EventChange] = {}
    sources: dict[str, SourceChange] = {}
    ended: dict[str, int] = {}
    carried: dict[tuple[str, str], EventSource] = {}
    unreadable: set[bytes] = set()

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


async def aio_refused_changes(
    connection: AsyncConnection, upto: int, event_ids: Sequence[str] = ()
) -> RefusedChanges:
    """Return the refused changes that are in force at revision `upto`.

    Args:
        connection: inside a transaction.
        upto: the revision.
        event_ids: the events of interest; empty for all.
    """
    found = RefusedChanges()
    # Skip letters below the floor: their events may be gone from the tables as well.
    floor = await connection.scalar(select(feed_state.c.floor_revision)) or 0
    letters = within(floor, upto, event_ids)
    kept = select(dead_letters.c.revision).where(within(floor, upto)).limit(1)
    if await connection.scalar(kept) is None:
        return found
    ends = each(func.max, and_(letters, IS_END), EVENT).subquery()
    ended = select(ends).join(events, events.c.event_id == ends.c.event_id)
    for row in await connection.execute(ended.where(events.c.ended_revision < ends.c.revision)):
        found.ended[row.event_id] = row.revision

    async def aio_last(
        condition: ColumnElement[bool], group: Sequence[str], narrow: Narrow
    ) -> list[tuple[Change, Letter]]:
        last = each(func.max, condition, group)
        read = []
        for letter in await aio_letters(connection, last, narrow):
            if (change := decoded(letter)) is None:
                found.unreadable.add(letter)
            else:
                read.append(change)
        return read

    of_events, of_markets = and_(letters, OF_EVENT), and_(letters, OF_MARKET)
    carrying = and_(of_events, dead_letters.c.carries > 0)
    of_sources = and_(within(floor, upto), OF_SOURCE)
    for change, _ in await aio_last(of_events, EVENT, _events_in_force):
        if isinstance(change, EventChange):
            found.events[change.event_id] = change
    for change, _ in await aio_last(of_markets, MARKET, partial(_markets_in_force, ends)):
        if isinstance(change, MarketChange):
            place = change.event_id, change.source, change.bookmaker, change.after.key
            found.markets[place] = change
    for change, letter in await aio_last(carrying, CARRIER, partial(_carriers, ends, upto)):
        if isinstance(change, EventChange):
            found.carried |= {(change.event_id, one.source): one for one in letter.carried}
    for change, _ in await aio_last(of_sources, ("source",), _sources_in_force):
        if isinstance(change, SourceChange):
            found.sources[change.source] = change
    return found


def _events_in_force(last: Select[Any]) -> Select[Any]:
    """Narrow each event's last letter to those that no stored change supersedes.

    Events that only letters know, and whose last letter is their end, are left out: nothing is to
    be seen of them.
    """
    revision = dead_letters.c.revision
    return last.outerjoin(events, events.c.event_id == dead_letters.c.event_id).where(
        or_(events.c.revision < revision, and_(events.c.event_id.is_(None), ~IS_END))
    )


def _markets_in_force(ends: FromClause, last: Select[Any]) -> Select[Any]:
    """Narrow each market's last letter to those that nothing stored supersedes."""
    revision = dead_letters.c.revision
    same = (odds_current.c[name] == dead_letters.c[name] for name in MARKET_COLUMNS)
    return (
        last.outerjoin(events, events.c.event_id == dead_letters.c.event_id)
        .outerjoin(ends, ends.c.event_id == dead_letters.c.event_id)
        .outerjoin(odds_current, and_(*same))
        .where(
            func.coalesce(events.c.ended_revision, 0) < revision,
            func.coalesce(ends.c.revision, 0) < revision,
            func.coalesce(odds_current.c.revision, 0) < revision,
        )
    )


def _carriers(ends: FromClause, upto: int, last: Select[Any]) -> Select[Any]:
    """Narrow letters that carry sources to those of events that are alive at `upto`."""
    revision, ended = dead_letters.c.revision, func.coalesce(events.c.ended_revision, 0)
    return (
        last.outerjoin(events, events.c.event_id == dead_letters.c.event_id)
        .outerjoin(ends, ends.c.event_id == dead_letters.c.event_id)
        .where(
            or_(ended < revision, ended > upto),
            func.coalesce(ends.c.revision, 0) < revision,
        )
    )


def _sources_in_force(last: Select[Any]) -> Select[Any]:
    """Narrow each source's last letter to those that are newer than its stored state."""
    return last.outerjoin(source_states, source_states.c.source == dead_letters.c.source).where(
        func.coalesce(source_states.c.revision, 0) < dead_letters.c.revision
    )
