"""Whether odds_current is what odds_history gives: a fold of its own, event by event."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.model.change import ChangeKind
from odds_service.model.event import EventStatus
from odds_service.model.market import MarketStatus
from odds_service.storage.schema import (
    PLACE,
    UNSTORED,
    events,
    feed_state,
    odds_current,
    odds_history,
)
from odds_service.store import Verified

_EVENTS: Final = 50  # folded at a time: bounds memory
_REVISIONS: Final = 500_000  # counted at a time
_FAULTS: Final = 20  # told in words


class _Standing(NamedTuple):
    """What odds_current must say of a market."""

    status: int
    odds: str
    changed_at: object
    revision: int
    snapshot_id: int


class _Findings:
    def __init__(self) -> None:
        self.faulty = 0
        self.faults: list[str] = []

    def add(self, fault: str) -> None:
        self.faulty += 1
        if len(self.faults) < _FAULTS:
            self.faults.append(fault)


async def aio_verify(connection: AsyncConnection) -> Verified:
    """See store.Store.verify.

    Where retention has cut the history, odds that have not changed since cannot be folded: of
    them it is only checked that no change is missing.
    """
    state = (await connection.execute(select(feed_state))).one()
    findings = _Findings()
    unstored = await _aio_count(connection, state, findings)
    markets = 0
    listed = sorted(
        {
            *await connection.scalars(select(events.c.event_id)),
            *await connection.scalars(select(odds_current.c.event_id).distinct()),
        }
    )
    for start in range(0, len(listed), _EVENTS):
        some = listed[start : start + _EVENTS]
        markets += await _aio_compare(connection, some, state.floor_revision, findings)
    return Verified(markets, state.durable_revision, findings.faulty, findings.faults, unstored)


async def _aio_count(connection: AsyncConnection, state: Row[Any], findings: _Findings) -> int:
    """Every revision from the floor to the durable one must be there once; gives placeholders."""
    unstored = 0
    after = state.floor_revision
    while after < state.durable_revision:
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
    """Compare some events; gives how many live markets they have."""
    folded, ended = await _aio_fold(connection, event_ids)
    query = select(events).where(events.c.event_id.in_(event_ids))
    known = {row.event_id: row for row in await connection.execute(query)}
    for event_id, row in known.items():
        if row.ended_revision > floor and row.ended_revision != ended.get(event_id, 0):
            findings.add(
                f"event {event_id} ended at {row.ended_revision}, not {ended.get(event_id)}"
            )
    alive = 0
    current = select(odds_current).where(odds_current.c.event_id.in_(event_ids))
    for row in await connection.execute(current):
        place = tuple(getattr(row, name) for name in PLACE)
        stands = _Standing(row.status, row.odds, row.changed_at, row.revision, row.snapshot_id)
        event = known.get(row.event_id)
        dead = row.status == MarketStatus.REMOVED or (
            event is not None and row.revision <= event.ended_revision
        )
        alive += not dead
        expected = folded.pop(place, None)
        if expected is not None and stands != expected:
            findings.add(f"{' '.join(place)}: odds_current has {stands}, history {expected}")
        elif expected is None and row.revision > floor and not dead:
            findings.add(f"{' '.join(place)}: odds_current has {stands}, history nothing")
    for place, expected in folded.items():
        event = known.get(place[0])
        gone = event is not None and event.status == EventStatus.ENDED
        if expected.status != MarketStatus.REMOVED and not gone:
            findings.add(f"{' '.join(place)}: odds_current has nothing, history {expected}")
    return alive


async def _aio_fold(
    connection: AsyncConnection, event_ids: Sequence[str]
) -> tuple[dict[tuple[str, ...], _Standing], dict[str, int]]:
    """What history says of some events' markets since their last end, and when that was."""
    folded: dict[tuple[str, ...], _Standing] = {}
    ended: dict[str, int] = {}
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
        if row.kind == ChangeKind.EVENT_ENDED:
            ended[row.event_id] = row.revision
            for place in [place for place in folded if place[0] == row.event_id]:
                del folded[place]
            continue
        folded[tuple(getattr(row, name) for name in PLACE)] = _Standing(
            row.status, row.after, row.observed_at, row.revision, row.snapshot_id
        )
    return folded, ended
