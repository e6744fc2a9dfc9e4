"""Comparison of odds_current with the fold of odds_history, event by event."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.model.change import ChangeKind, MarketChange
from odds_service.model.event import EventStatus
from odds_service.model.fold import EventFold
from odds_service.model.market import Market, MarketKey, MarketStatus
from odds_service.storage.rows import Unreadable
from odds_service.storage.rows.history import UNSTORED, change_from
from odds_service.storage.rows.odds import market_from
from odds_service.storage.schema import (
    MARKET_COLUMNS,
    events,
    feed_state,
    odds_current,
    odds_history,
)
from odds_service.store import Report, Verified, unreported

_EVENTS: Final = 50  # folded at once: bounds memory
_REVISIONS: Final = 500_000  # counted at once
_FAULTS: Final = 20  # described in the result


_MarketValues = tuple[str, ...]  # the values of schema.MARKET_COLUMNS


class _Last(NamedTuple):
    """A market's last change, to which its row in odds_current must refer."""

    revision: int
    snapshot_id: int


class _Folded:
    """The fold of some events' history since their last end.

    Attributes:
        last: each market's last change, tombstones included, by place.
        unreadable: places whose last change cannot be decoded.
        ended: event id -> revision of its last end.
    """

    def __init__(self) -> None:
        self.events: dict[str, EventFold] = {}
        self.last: dict[_MarketValues, _Last] = {}
        self.unreadable: set[_MarketValues] = set()
        self.ended: dict[str, int] = {}

    def market(self, place: _MarketValues) -> Market | None:
        """Return a market's odds; None if it was removed."""
        event_id, source, bookmaker, *key = place
        return self.events[event_id].bookmaker(source, bookmaker).markets.get(MarketKey(*key))

    def add(self, row: Row[Any]) -> None:
        """Apply the next row: a market's change or an event's end."""
        if row.kind == ChangeKind.EVENT_ENDED:
            self.ended[row.event_id] = row.revision
            self.events[row.event_id] = EventFold()
            for place in [place for place in self.last if place[0] == row.event_id]:
                del self.last[place]
            return
        place = tuple(getattr(row, name) for name in MARKET_COLUMNS)
        self.last[place] = _Last(row.revision, row.snapshot_id)
        fold = self.events.setdefault(row.event_id, EventFold())
        try:
            change = change_from(row)
        except Unreadable:
            self.unreadable.add(place)
            return
        self.unreadable.discard(place)
        if isinstance(change, MarketChange):
            fold.apply(change)


class _Findings:
    def __init__(self) -> None:
        self.faulty = 0
        self.faults: list[str] = []

    def add(self, fault: str) -> None:
        self.faulty += 1
        if len(self.faults) < _FAULTS:
            self.faults.append(fault)


async def aio_verify(connection: AsyncConnection, report: Report = unreported) -> Verified:
    """See store.Store.verify.

    Odds that have not changed since retention cut the history cannot be folded. For these it checks
    only that there are no later changes.
    """
    state = (await connection.execute(select(feed_state))).one_or_none()
    if state is None:  # no service has begun on it yet
        return Verified(0, 0, 0, [], 0)
    findings = _Findings()
    unstored = await _aio_count(connection, state, findings, report)
    markets = 0
    listed = sorted(
        {
            *await connection.scalars(select(events.c.event_id)),
            *await connection.scalars(select(odds_current.c.event_id).distinct()),
        }
    )
    for start in range(0, len(listed), _EVENTS):
        report("events compared", start, len(listed))
        some = listed[start : start + _EVENTS]
        markets += await _aio_compare(connection, some, state.floor_revision, findings)
    return Verified(markets, state.durable_revision, findings.faulty, findings.faults, unstored)


async def _aio_count(
    connection: AsyncConnection, state: Row[Any], findings: _Findings, report: Report
) -> int:
    """Check that each revision above the floor occurs once; return the number of placeholders."""
    unstored = 0
    after = state.floor_revision
    while after < state.durable_revision:
        report(
            "revisions counted",
            after - state.floor_revision,
            state.durable_revision - state.floor_revision,
        )
        upto = min(after + _REVISIONS, state.durable_revision)
        within = odds_history.c.revision > after, odds_history.c.revision <= upto
        revision = odds_history.c.revision
        found = (
            await connection.execute(
                select(func.count(), func.count(revision.distinct())).where(*within)
            )
        ).one()
        if tuple(found) != (upto - after, upto - after):
            findings.add(
                f"history has {found[0]} rows of {found[1]} revisions in ({after}, {upto}]"
            )
        placeholders = select(func.count()).where(*within, odds_history.c.kind == UNSTORED)
        unstored += await connection.scalar(placeholders) or 0
        after = upto
    beyond = select(func.count()).where(odds_history.c.revision > state.durable_revision)
    if more := await connection.scalar(beyond):
        findings.add(f"history has {more} rows beyond revision {state.durable_revision}")
    return unstored


async def _aio_compare(
    connection: AsyncConnection, event_ids: Sequence[str], floor: int, findings: _Findings
) -> int:
    """Compare some events; return the number of their live markets."""
    folded = await _aio_fold(connection, event_ids)
    query = select(events).where(events.c.event_id.in_(event_ids))
    known = {row.event_id: row for row in await connection.execute(query)}
    for event_id, row in known.items():
        ended = folded.ended.get(event_id, 0)
        if row.ended_revision > floor and row.ended_revision != ended:
            findings.add(f"event {event_id} ended at {row.ended_revision}, not {ended}")
    alive = 0
    current = select(odds_current).where(odds_current.c.event_id.in_(event_ids))
    for row in await connection.execute(current):
        place = tuple(getattr(row, name) for name in MARKET_COLUMNS)
        event = known.get(row.event_id)
        dead = row.status == MarketStatus.REMOVED or (
            event is not None and row.revision <= event.ended_revision
        )
        alive += not dead
        last = folded.last.pop(place, None)
        stored = f"{' '.join(place)}: odds_current has {row.odds} at {row.revision}"
        if last is not None:
            expected = None if place in folded.unreadable else folded.market(place)
            if (row.revision, row.snapshot_id) != last or (
                place not in folded.unreadable and not _says(row, expected)
            ):
                findings.add(f"{stored}, history {expected or 'no such market'} at {last.revision}")
        elif row.revision > floor and not dead:
            findings.add(f"{stored}, history nothing")
    for place in folded.last:
        event = known.get(place[0])
        gone = event is not None and event.status == EventStatus.ENDED
        expected = folded.market(place)
        if expected is not None and not gone:
            findings.add(f"{' '.join(place)}: odds_current has nothing, history {expected}")
    return alive


def _says(row: Row[Any], expected: Market | None) -> bool:
    """Return whether a row of odds_current holds the odds that the history gives."""
    if expected is None:
        return bool(row.status == MarketStatus.REMOVED)
    try:
        market = market_from(expected.key, row.odds, row.revision, row.changed_at)
    except Unreadable:
        return False
    return market == expected and row.status == expected.status


async def _aio_fold(connection: AsyncConnection, event_ids: Sequence[str]) -> _Folded:
    """Fold the stored history of some events."""
    folded = _Folded()
    kind = odds_history.c.kind
    query = (
        select(odds_history)
        .where(
            odds_history.c.event_id.in_(event_ids),
            kind.between(int(ChangeKind.ADDED), int(ChangeKind.REMOVED))
            | (kind == int(ChangeKind.EVENT_ENDED)),
        )
        .order_by(odds_history.c.revision)
    )
    for row in await connection.execute(query):
        folded.add(row)
    return folded
