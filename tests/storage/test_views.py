"""The SQL views give one row for each outcome of a change, the same through sqlite3 and psql."""

import json
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

from odds_service.columns.schema import OUTAGES, PRICES, Table
from odds_service.model.change import ChangeKind, Commit, SourceChange
from odds_service.model.source import SourceState, SourceStatus
from odds_service.store import WriteGroup
from tests.support.databases import DatabasePlace, PostgresPlace, SqlitePlace
from tests.support.observations import NOON, Offer
from tests.support.places import on_databases
from tests.support.price_rows import Cells, outage_rows, price_rows, row_order
from tests.support.stories import H2H, SERIES, Story, random_series

pytestmark = on_databases

VIEWS = {PRICES: "odds_prices", OUTAGES: "source_outages"}


def seen_in(place: DatabasePlace, table: Table) -> list[Cells]:
    """Read a view as a user of sqlite3 or psql does."""
    name = VIEWS[table]
    rows: list[Cells]
    if isinstance(place, SqlitePlace):
        with closing(sqlite3.connect(place.path)) as database:
            database.row_factory = sqlite3.Row
            rows = [dict(row) for row in database.execute(f"SELECT * FROM {name}")]  # noqa: S608  # ours
    else:
        assert isinstance(place, PostgresPlace)
        told = place.server.psql(f"SELECT row_to_json(v) FROM {name} v", place.name)  # noqa: S608  # ours
        rows = [json.loads(line) for line in told.splitlines()]
    assert all(list(row) == table.names for row in rows)
    types = {column.name: column.type for column in table.columns}
    return [{name: _read(types[name], value) for name, value in row.items()} for row in rows]


def _read(kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind == "time":
        return datetime.fromisoformat(value)
    return bool(value) if kind == "bool" else value


def _told(story: Story, status: SourceStatus, before: SourceState | None) -> SourceState:
    """Append a change of a source's state to the log of a story."""
    at = story.log[-1].detected_at
    after = SourceState(
        source="toa", interval_s=10.0, status=status, announced=status, reason="timeout",
        consecutive_failures=5, last_success_at=NOON + timedelta(microseconds=5),
    )  # fmt: skip
    kind = ChangeKind[f"SOURCE_{status.name}"]
    revision = len(story.log) + 1
    change = SourceChange(revision, kind, "timeout", "toa", at, at, before, after)
    story.log.append(change)
    story.batches.append(Commit([change]))
    return after


async def test_a_view_has_one_row_for_each_outcome_and_one_for_each_outage(
    place: DatabasePlace,
) -> None:
    story = Story(SERIES + random_series(5, 25))
    up = _told(story, SourceStatus.UP, None)
    _told(story, SourceStatus.DOWN, up)
    async with place.begun() as (store, _):
        assert await store.write(WriteGroup(story.batches)) == 0
    expected = price_rows(story.log)
    found = sorted(seen_in(place, PRICES), key=row_order)
    assert found == expected
    assert {row["kind"] for row in found} >= {"added", "prices", "removed", "event_ended"}
    assert sorted(seen_in(place, OUTAGES), key=lambda row: row["revision"]) == outage_rows(
        story.log
    )


async def test_names_and_start_are_those_of_the_revision_even_where_history_was_cut(
    place: DatabasePlace,
) -> None:
    story = Story()
    for hours, price in ((6, 2.0), (5, 2.1), (3, 2.2)):  # the start moves with each price
        offer: Offer = {"e": {"b": {H2H: {"home": price}}}}
        story.look(offer, starts_in=timedelta(hours=hours))
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
    expected = price_rows(story.log)
    assert len({row["start_time"] for row in expected}) == 3
    for gone in ("kind = 6", "kind = 7"):  # as retention leaves it, or a reader of a copy
        assert sorted(seen_in(place, PRICES), key=row_order) == expected
        place.sql(f"DELETE FROM odds_history WHERE {gone}")  # noqa: S608  # ours
    assert {row["start_time"] for row in seen_in(place, PRICES)} == {expected[-1]["start_time"]}


async def test_a_refused_change_is_a_row_of_nulls(place: DatabasePlace) -> None:
    story = Story(SERIES[:1])
    refused = story.log[-1]
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
    place.sql(
        "UPDATE odds_history SET kind = 0, reason = '', event_id = '', before = NULL, after = NULL "
        "WHERE revision = (SELECT max(revision) FROM odds_history)"
    )
    (row,) = [row for row in seen_in(place, PRICES) if row["revision"] == refused.revision]
    told = {name: value for name, value in row.items() if value is not None}
    assert told == {
        "revision": refused.revision, "detected_at": refused.detected_at, "kind": "unstored"
    }  # fmt: skip
