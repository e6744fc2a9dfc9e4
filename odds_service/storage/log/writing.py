"""The writing transaction: stores a group of changes whole, in order, and once.

Functions named `aio_…` are asyncio-flavoured; storage.database_store runs them on the bridge.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple

import structlog
from msgspec.structs import replace
from sqlalchemy import Executable, Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from odds_service.errors import StorageUnavailable, Superseded
from odds_service.model.change import Change, Commit, EventChange, MarketChange, SourceChange
from odds_service.model.snapshot import BookmakerOdds, EventSource, Snapshot
from odds_service.storage.database import Database, savepoint
from odds_service.storage.epoch_order import SUPERSEDED
from odds_service.storage.letters.letters import Entry, aio_keep
from odds_service.storage.rows import Values
from odds_service.storage.rows.events import carried_row, event_row
from odds_service.storage.rows.history import history_values, placeholder
from odds_service.storage.rows.snapshots import packed_lagging, snapshot_values
from odds_service.storage.rows.sources import run_row, run_values, state_row
from odds_service.storage.schema import feed_state, odds_history, scrape_runs, snapshots
from odds_service.store import WriteGroup

_REASON_CHARS: Final = 500  # of a database's message, in the log
MOST_DAYS: Final = 20  # limit of days that one transaction writes to

log = structlog.get_logger(__name__)


class Stretch(NamedTuple):
    """Consecutive changes, with their snapshots (by id) and sources (by event id)."""

    changes: Sequence[Change]
    snapshots: Mapping[int, Snapshot]
    carried: Mapping[str, Sequence[EventSource]]

    def of(self, changes: Sequence[Change]) -> "Stretch":
        """Return the stretch reduced to some of its changes."""
        return self._replace(changes=changes)

    def entries(self) -> list[Entry]:
        """Return each change with its own snapshot and sources."""
        found: list[Entry] = []
        for change in self.changes:
            snapshot: Snapshot | None = None
            carried: tuple[EventSource, ...] = ()
            if isinstance(change, MarketChange):
                snapshot = self.snapshots.get(change.snapshot_id)
            elif isinstance(change, EventChange):
                carried = tuple(self.carried.get(change.event_id, ()))
            found.append((change, snapshot, carried))
        return found


def stretch_of(batches: Iterable[Commit], after: int = 0) -> Stretch:
    """Return the changes of commits after a revision as one stretch."""
    changes: list[Change] = []
    captured: dict[int, Snapshot] = {}
    carried: dict[str, list[EventSource]] = {}
    for batch in batches:
        if batch.last_revision <= after:
            continue
        if batch.first_revision > after:
            changes += batch.changes
        else:
            changes += [change for change in batch.changes if change.revision > after]
        captured |= {snapshot.snapshot_id: snapshot for snapshot in batch.snapshots}
        for event_id, source in batch.event_sources:
            carried.setdefault(event_id, []).append(source)
    return Stretch(changes, captured, carried)


async def aio_write(database: Database, epoch: str, group: WriteGroup) -> int:
    """See store.Store.write."""
    *earlier, last = list(by_days(group.batches)) or [[]]
    refused = 0
    for batches in earlier:
        refused += await _aio_piece(database, epoch, WriteGroup(batches))
    return refused + await _aio_piece(database, epoch, replace(group, batches=last))


async def _aio_piece(database: Database, epoch: str, group: WriteGroup) -> int:
    """Store a group in one transaction; return the number of refused changes.

    Savepoints are a third of the statements of a small group, and isolate a row that is hardly
    ever there. So the group is tried without them, and once more with them if a row is refused.
    """
    try:
        return await _aio_transaction(database, epoch, group, isolating=False)
    except Exception as error:
        if database.refusal(error) is None:
            raise
    return await _aio_transaction(database, epoch, group, isolating=True)


async def _aio_transaction(
    database: Database, epoch: str, group: WriteGroup, *, isolating: bool
) -> int:
    confirmations = [_confirmation(odds) for odds in group.confirmations]
    statements, stored_time = database.statements, database.stored_time
    async with database.writing() as connection:
        state = await aio_own_state(database, connection, epoch)
        refused = await aio_write_batches(
            database, connection, state, group.batches, epoch, isolating=isolating
        )
        if isolating:
            await _aio_each(database, connection, statements.confirm, confirmations)
            await _aio_each(
                database, connection, statements.add_run, list(map(run_row, group.runs))
            )
        else:
            if confirmations:
                await connection.execute(statements.confirm, confirmations)
            if group.runs:  # one that is stored already is refused here, and skipped above
                rows = [run_values(run, stored_time) for run in group.runs]
                await database.aio_append(connection, scrape_runs, rows)
    return refused


def by_days(batches: Iterable[Commit]) -> Iterator[list[Commit]]:
    """Split batches so that the changes of each piece fall on at most MOST_DAYS days.

    Only a clock that jumps back and forth makes more than one piece. On PostgreSQL each day is a
    partition, and the locks on partitions count towards a limit of the whole server.
    """
    piece: list[Commit] = []
    days: set[date] = set()
    for batch in batches:
        fresh = {batch.changes[0].detected_at.date(), batch.changes[-1].detected_at.date()}
        if piece and len(days | fresh) > MOST_DAYS:
            yield piece
            piece, days = [], set()
        piece.append(batch)
        days |= fresh
    if piece:
        yield piece


async def aio_own_state(database: Database, connection: AsyncConnection, epoch: str) -> Row[Any]:
    """Lock and return the row of feed_state. Raises Superseded."""
    state = await aio_locked_state(database, connection)
    if state.epoch != epoch:
        raise Superseded(SUPERSEDED)
    return state


async def aio_locked_state(database: Database, connection: AsyncConnection) -> Row[Any]:
    """Lock the row of feed_state until the transaction ends, and return it."""
    query = select(feed_state)
    if database.locks_rows:
        query = query.with_for_update()
    return (await connection.execute(query)).one()


async def aio_write_batches(
    database: Database,
    connection: AsyncConnection,
    state: Row[Any],
    batches: Sequence[Commit],
    epoch: str,
    *,
    isolating: bool = True,
) -> int:
    """Store changes that are not stored yet, and advance the durable revision.

    A group that the durable revision already covers was stored by a commit whose reply was lost.

    Args:
        database: the engine.
        connection: inside a writing transaction.
        state: the locked row of feed_state.
        batches: consecutive commits.
        epoch: the epoch that numbered them.
        isolating: whether to isolate refused rows; if not, one undoes the transaction.

    Returns:
        The number of refused changes.
    """
    stretch = stretch_of(batches, state.durable_revision)
    if not stretch.changes:
        return 0
    first, last = stretch.changes[0], stretch.changes[-1]
    if first.revision != state.durable_revision + 1:
        raise AssertionError(f"revision {first.revision} follows {state.durable_revision}")
    await database.aio_make_room(connection, (change.detected_at for change in stretch.changes))
    refused = 0
    if isolating:
        refused = await _aio_store(database, connection, epoch, stretch)
    else:
        await aio_insert(database, connection, stretch, again=False)
    place = {"upto": last.revision, "at": last.detected_at}
    await connection.execute(database.statements.advance, place)
    return refused


async def _aio_store(
    database: Database,
    connection: AsyncConnection,
    epoch: str,
    stretch: Stretch,
    *,
    again: bool = False,
) -> int:
    """Store a stretch of the log; isolate a refused row by halving the stretch.

    The refused change becomes a dead letter, and history gets a placeholder.
    """
    try:
        async with savepoint(connection):
            await aio_insert(database, connection, stretch, again=again)
    except Exception as error:
        reason = database.refusal(error)
        if reason is None:
            raise
    else:
        return 0
    if not again:  # if a part of a capture is durable, its snapshot is stored already
        return await _aio_store(database, connection, epoch, stretch, again=True)
    changes = stretch.changes
    if len(changes) > 1:
        middle = len(changes) // 2
        halves = (stretch.of(changes[:middle]), stretch.of(changes[middle:]))
        return sum(
            [await _aio_store(database, connection, epoch, half, again=True) for half in halves]
        )
    (change,) = changes
    log.error(
        "change_refused",
        revision=change.revision,
        kind=change.kind.name,
        reason=reason[:_REASON_CHARS],
    )
    try:
        entries, now = stretch.entries(), datetime.now(UTC)
        await aio_keep(connection, epoch, entries, reason, now, applies=True)
        held = placeholder(change, database.stored_time)
        await database.aio_append(connection, odds_history, [held])
    except Exception as error:
        if database.refusal(error) is None:
            raise
        raise StorageUnavailable(
            f"the database refuses revision {change.revision}, and its placeholder too: "
            f"{reason[:_REASON_CHARS]}"
        ) from error
    return 1


async def aio_insert(
    database: Database,
    connection: AsyncConnection,
    stretch: Stretch,
    *,
    again: bool,
) -> None:
    """Insert all rows of a stretch of the log.

    Args:
        database: the engine.
        connection: inside a writing transaction.
        stretch: the changes with what belongs to them.
        again: whether some of the snapshots may be stored already.
    """
    stored_time = database.stored_time
    await database.aio_append(
        connection,
        odds_history,
        (history_values(change, stored_time) for change in stretch.changes),
    )
    described: dict[str, Values] = {}
    states: list[Values] = []
    carried: list[Values] = []
    captured: dict[int, Snapshot] = {}
    seen: dict[str, datetime] = {}
    for change in stretch.changes:
        if isinstance(change, MarketChange):
            seen.setdefault(change.bookmaker, change.observed_at)
            snapshot = stretch.snapshots.get(change.snapshot_id)
            if snapshot is not None:
                captured[change.snapshot_id] = snapshot
        elif isinstance(change, EventChange):
            row = event_row(change)
            before = described.pop(change.event_id, {"ended_revision": 0})
            row["ended_revision"] = max(row["ended_revision"], before["ended_revision"])
            described[change.event_id] = row
            carried += [
                carried_row(change.event_id, source)
                for source in stretch.carried.get(change.event_id, ())
            ]
        elif isinstance(change, SourceChange):
            states.append(state_row(change))
    # Rows of replaced ghosts: they belong to no change and have no content.
    carried += [
        carried_row(event_id, source)
        for event_id, sources in stretch.carried.items()
        if event_id not in described
        for source in sources[-1:]
        if source.departed_at is not None and source.shown is None
    ]
    statements = database.statements
    if seen:
        first, last = stretch.changes[0], stretch.changes[-1]
        bounds = {
            "first": first.revision,
            "last": last.revision,
            "begin": first.detected_at,
            "end": last.detected_at,
        }
        await connection.execute(statements.put_current, bounds)
        named = [{"bookmaker": name, "first_seen_at": at} for name, at in seen.items()]
        await connection.execute(statements.add_bookmaker, named)
    if captured and again:
        values = [
            {name: getattr(snapshot, name) for name in snapshot.__struct_fields__}
            | {"lagging": packed_lagging(snapshot.lagging)}
            for snapshot in captured.values()
        ]
        await connection.execute(statements.add_snapshot, values)
    elif captured:
        await database.aio_append(
            connection,
            snapshots,
            (snapshot_values(snapshot, stored_time) for snapshot in captured.values()),
        )
    for statement, listed in (
        (statements.put_event, list(described.values())),
        (statements.put_carried, carried),
        (statements.put_state, states),
    ):
        if listed:
            await connection.execute(statement, listed)


def _confirmation(odds: BookmakerOdds) -> Values:
    return {
        "of": odds.snapshot_id,
        "seen_at": odds.observed_at,
        "true_at": odds.confirmed_at,
        "claimed_at": odds.source_updated_at,
        "lags": packed_lagging(odds.lagging),
    }


async def _aio_each(
    database: Database,
    connection: AsyncConnection,
    statement: Executable,
    values: Sequence[Values],
) -> None:
    """Execute a statement for each of the values; log and skip refused ones.

    Use it only for records that the next pull repeats, or that matter to operators alone.
    """
    if not values:
        return
    try:
        async with savepoint(connection):
            await connection.execute(statement, list(values))
    except Exception as error:
        reason = database.refusal(error)
        if reason is None:
            raise
    else:
        return
    if len(values) == 1:
        log.error("record_refused", reason=reason[:_REASON_CHARS])
        return
    middle = len(values) // 2
    for half in (values[:middle], values[middle:]):
        await _aio_each(database, connection, statement, half)
