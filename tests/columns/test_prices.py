"""Columns made of stored rows equal a fold of the changes, on every store and from every place."""

from typing import Any

import pyarrow as pa
import pytest
import trio

from odds_service.columns.arrow import arrow_schema
from odds_service.columns.outages import outages_batch
from odds_service.columns.reading import ColumnReader
from odds_service.columns.schema import PRICES
from odds_service.filters.selection import EVERYTHING, Selection
from odds_service.model.change import ChangeKind, MarketChange
from odds_service.store import Store, WriteGroup
from tests.support.databases import DatabasePlace, Place
from tests.support.places import on_databases, place, postgres
from tests.support.price_rows import Cells, price_rows, row_order
from tests.support.stories import SERIES, Story, random_series

__all__ = ["place", "postgres"]


async def direct(work: Any, *args: Any) -> Any:
    return await work(*args)


async def read(
    store: Store, selection: Selection = EVERYTHING, *, after: int = 0, page_rows: int = 20_000
) -> list[Cells]:
    """Return all rows of a store after a revision, as a reader of columns gets them."""
    reader = ColumnReader(store, direct, trio.to_thread.run_sync, after, selection, page_rows)
    upto = (await store.extent()).durable
    batches = []
    while after < upto:
        page = await reader.next_page(upto)
        assert page.after == after < page.upto
        assert page.batch.schema.equals(arrow_schema(PRICES), check_metadata=True)
        batches.append(page.batch)
        after = page.upto
    rows: list[Cells] = pa.Table.from_batches(batches).to_pylist()
    assert [row["revision"] for row in rows] == sorted(row["revision"] for row in rows)
    return sorted(rows, key=row_order)


async def test_columns_equal_the_fold_from_any_place_and_in_any_pages(place: Place) -> None:
    story = Story(SERIES + random_series(7, 25))
    expected = price_rows(story.log)
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
        assert await read(store) == expected
        for after in range(0, len(story.log), 17):  # events are described as of that place
            later = [row for row in expected if row["revision"] > after]
            assert await read(store, after=after, page_rows=5) == later


@pytest.mark.parametrize(
    "selection",
    [
        Selection(event_ids=frozenset({"toa:e", "toa:e1"})),
        Selection(bookmakers=frozenset({"b"}), markets=frozenset({"totals"})),
        Selection(sources=frozenset({"other"})),
        Selection(sports=frozenset({"soccer"}), competitions=frozenset({"soccer_epl"})),
        Selection(in_play=False),
    ],
)
async def test_a_selection_chooses_rows(place: Place, selection: Selection) -> None:
    story = Story(SERIES + random_series(2, 12))

    def takes(row: Cells) -> bool:
        return (
            selection.takes_event_id(row["event_id"])
            and selection.takes_bookmaker(row["source"], row["bookmaker"])
            and (selection.markets is None or row["market"] in selection.markets)
        )

    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
        found = await read(store, selection)
    assert found == [row for row in price_rows(story.log) if takes(row)]


@on_databases
async def test_what_cannot_be_read_is_a_row_of_nulls(place: DatabasePlace) -> None:
    story = Story(SERIES)
    torn = [c for c in story.log if isinstance(c, MarketChange)][1]
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
        place.sql(
            f"UPDATE odds_history SET after = '[1,[5' WHERE revision = {torn.revision}"  # noqa: S608  # ours
        )
        found = await read(store)
    (row,) = [row for row in found if row["revision"] == torn.revision]
    told = {name: value for name, value in row.items() if value is not None}
    assert told == {
        "revision": torn.revision, "detected_at": torn.detected_at, "kind": "unstored"
    }  # fmt: skip
    others = [row for row in price_rows(story.log) if row["revision"] != torn.revision]
    assert [row for row in found if row["kind"] != "unstored"] == others


@pytest.mark.logs_errors
async def test_a_placeholder_is_a_row_of_nulls(place: Place) -> None:
    story = Story(SERIES)
    place_of_it = [c for c in story.log if isinstance(c, MarketChange)][1]
    async with place.begun() as (store, _):
        place.refuse(f"revision = {place_of_it.revision} AND kind > 0")
        assert await store.write(WriteGroup(story.batches)) == 1
        found = await read(store)
    (row,) = [row for row in found if row["revision"] == place_of_it.revision]
    told = {name for name, value in row.items() if value is not None}
    assert told == {"revision", "detected_at", "kind"}
    assert row["kind"] == "unstored"


async def test_a_log_of_no_rows_is_a_batch_of_no_rows(place: Place) -> None:
    story = Story([{"e": {}}])
    assert {change.kind for change in story.log} == {ChangeKind.EVENT_ADDED}
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
        assert await read(store) == []
        assert outages_batch((await store.source_rows(0, 1)).rows).num_rows == 0
