"""The writer's SQLAlchemy Core statements, built once per database."""

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Executable, Select, Table, bindparam, case, select, update
from sqlalchemy.dialects import postgresql, sqlite

from odds_service.model.change import ChangeKind
from odds_service.storage.schema import (
    MARKET_COLUMNS,
    UtcTime,
    bookmakers,
    event_sources,
    events,
    feed_state,
    odds_current,
    odds_history,
    scrape_runs,
    snapshots,
    source_states,
)

Insert = Callable[[Table], "postgresql.Insert | sqlite.Insert"]

_MARKET_KINDS: Final = (int(ChangeKind.ADDED), int(ChangeKind.REMOVED))


class Statements:
    """The statements of a writing transaction, except the bulk inserts.

    Parameters have the names of the columns, unless noted.
    """

    def __init__(self, insert: Insert, *, distinct: bool) -> None:
        """Build the statements.

        Args:
            insert: the dialect's insert.
            distinct: whether an upsert must not touch a row twice (PostgreSQL).
        """
        self.add_bookmaker = insert(bookmakers).on_conflict_do_nothing()
        self.add_snapshot = insert(snapshots).on_conflict_do_nothing()
        self.add_run = insert(scrape_runs).on_conflict_do_nothing()
        self.put_carried = _put(insert(event_sources), event_sources)
        self.put_state = _put(insert(source_states), source_states, newer_only=True)
        self.put_event = _put_event(insert(events))
        self.confirm = _confirm()
        self.advance = _advance()
        self.put_current = _put_current(insert(odds_current), distinct=distinct)


def _put(
    statement: "postgresql.Insert | sqlite.Insert", table: Table, *, newer_only: bool = False
) -> Executable:
    """Return an upsert by primary key; with `newer_only` it never replaces a later revision."""
    fresh = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={c.name: fresh[c.name] for c in table.columns if not c.primary_key},
        where=fresh.revision > table.c.revision if newer_only else None,
    )


def _put_event(statement: "postgresql.Insert | sqlite.Insert") -> Executable:
    """Return an upsert that keeps the newest event, and the last end of one that came back."""
    fresh = statement.excluded
    newer = fresh.revision > events.c.revision
    taken: dict[str, Any] = {
        c.name: case((newer, fresh[c.name]), else_=c) for c in events.columns if not c.primary_key
    }
    ended = fresh.ended_revision
    taken["ended_revision"] = case(
        (ended > events.c.ended_revision, ended), else_=events.c.ended_revision
    )
    return statement.on_conflict_do_update(index_elements=[events.c.event_id], set_=taken)


def _confirm() -> Executable:
    """Return the update of a snapshot's confirmation.

    Parameters: of (a snapshot id), seen_at, true_at, claimed_at, lags.
    """
    return (
        update(snapshots)
        .where(snapshots.c.snapshot_id == bindparam("of"))
        .values(
            observed_at=bindparam("seen_at", type_=UtcTime()),
            confirmed_at=bindparam("true_at", type_=UtcTime()),
            source_updated_at=bindparam("claimed_at", type_=UtcTime()),
            lagging=bindparam("lags"),
        )
    )


def _advance() -> Executable:
    """Return the update of the durable revision. Parameters: upto, and at (its time)."""
    return update(feed_state).values(
        durable_revision=bindparam("upto"), detected_at=bindparam("at", type_=UtcTime())
    )


def _put_current(statement: "postgresql.Insert | sqlite.Insert", *, distinct: bool) -> Executable:
    """Return an upsert of odds_current from the last history row of each market.

    It reads the rows just written to history, so they are sent and encoded only once. Parameters:
    first, last (revisions), begin, end (of detection; for PostgreSQL's partitions).
    """
    names = [column.name for column in odds_current.columns]
    read = {"odds": "after", "changed_at": "observed_at"}
    rows: Select[Any] = select(
        *(odds_history.c[read.get(name, name)].label(name) for name in names)
    ).where(
        odds_history.c.revision.between(bindparam("first"), bindparam("last")),
        odds_history.c.kind.between(*_MARKET_KINDS),
        odds_history.c.detected_at.between(
            bindparam("begin", type_=UtcTime()), bindparam("end", type_=UtcTime())
        ),
    )
    place = [odds_history.c[name] for name in MARKET_COLUMNS]
    if distinct:
        rows = rows.ext(postgresql.distinct_on(*place)).order_by(
            *place, odds_history.c.revision.desc()
        )
    else:
        rows = rows.order_by(odds_history.c.revision)
    fresh = statement.excluded
    return statement.from_select(names, rows).on_conflict_do_update(
        index_elements=list(odds_current.primary_key.columns),
        set_={c.name: fresh[c.name] for c in odds_current.columns if not c.primary_key},
        where=fresh.revision > odds_current.c.revision,
    )
