"""Exports: every row once, in files that other programs read; nothing broken after a kill."""

import csv
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as datasets
import pyarrow.parquet as parquet
import pytest
import trio

from odds_service.bridge import open_bridge
from odds_service.columns.arrow import arrow_schema
from odds_service.columns.dataset import Dataset
from odds_service.columns.exporting import export_file, export_folder
from odds_service.columns.files import ArrowWriter, CsvWriter, ParquetWriter
from odds_service.columns.odds import CLOSING, OPENING
from odds_service.columns.reading import ColumnReader
from odds_service.columns.schema import PRICES
from odds_service.errors import OddsServiceError
from odds_service.filters.selection import EVERYTHING
from odds_service.model.change import ChangeKind
from odds_service.store import Store, WriteGroup, unreported
from tests.columns.test_prices import direct
from tests.support.command_line import complaint, ran
from tests.support.databases import SqlitePlace
from tests.support.price_rows import Cells, outage_rows, price_rows, row_order
from tests.support.stories import SERIES, Story, random_series


def story_of_days() -> Story:
    """Return a log of several days, with an event that has started."""
    story = Story(every_s=8 * 3600.0)
    for number, offer in enumerate(SERIES + random_series(3, 6)):
        story.look(offer, starts_in=timedelta(hours=20 - 8 * number))
    return story


def prices_in(folder: Path) -> list[Cells]:
    """Read the prices of a folder, checking that no partition is told wrongly."""
    found = datasets.dataset(folder / "prices", partitioning="hive").to_table().to_pylist()
    for row in found:
        assert row.pop("day") == row["detected_at"].date().isoformat()
    return sorted(found, key=row_order)


async def grow(store: Store, folder: Path) -> int:
    done = await export_folder(store, folder, EVERYTHING, {}, unreported)
    return done.rows


async def test_a_folder_grows_by_what_is_new(tmp_path: Path) -> None:
    story = story_of_days()
    place, folder = SqlitePlace(tmp_path), tmp_path / "export"
    middle = len(story.batches) // 2
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches[:middle]))
        first = await grow(store, folder)
        assert await grow(store, folder) == 0
        await store.write(WriteGroup(story.batches[middle:]))
        second = await grow(store, folder)
    expected = price_rows(story.log)
    assert prices_in(folder) == expected
    assert 0 < first < first + second == len(expected)
    days = {row["detected_at"].date().isoformat() for row in expected}
    assert {path.name for path in (folder / "prices").iterdir()} == {f"day={d}" for d in days}
    assert len(days) > 3
    outages = folder / "outages"
    assert outage_rows(story.log) == []
    assert list(outages.rglob("*.parquet")) == []
    closing = parquet.read_table(folder / "closing.parquet")
    assert closing.column_names == CLOSING.names


async def test_closing_odds_are_those_that_the_store_tells(tmp_path: Path) -> None:
    story = story_of_days()
    place, folder = SqlitePlace(tmp_path), tmp_path / "export"
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
        await grow(store, folder)
        ids = sorted({change.event_id for change in story.log if hasattr(change, "event_id")})
        told = await store.closing_odds(ids)
    found = parquet.read_table(folder / "closing.parquet").to_pylist()
    assert found
    columns = "event_id", "bookmaker", "price", "offered", "at_start", "opening_price", "opened_at"
    assert [tuple(row[name] for name in columns) for row in found] == [
        (
            odds.event_id,
            odds.bookmaker,
            outcome.price,
            odds.offered,
            odds.at_start.name.lower(),
            {each.key: each.price for each in odds.opening.outcomes}.get(outcome.key),
            odds.opening.changed_at,
        )
        for odds in sorted(told, key=lambda odds: (odds.start_time, odds.event_id))
        if odds.opening is not None
        for outcome in odds.market.outcomes
    ]
    first = parquet.read_table(folder / "opening.parquet")
    assert first.column_names == OPENING.names
    assert [
        (row["event_id"], row["bookmaker"], row["outcome"], row["price"], row["changed_at"])
        for row in first.to_pylist()
    ] == [
        (odds.event_id, odds.bookmaker, outcome.key, outcome.price, odds.opening.changed_at)
        for odds in sorted(told, key=lambda odds: (odds.start_time, odds.event_id))
        if odds.opening is not None
        for outcome in odds.opening.outcomes
    ]


async def test_a_run_that_was_killed_leaves_nothing_broken_and_is_gone_on_with(
    tmp_path: Path,
) -> None:
    story = story_of_days()
    place, folder = SqlitePlace(tmp_path), tmp_path / "export"
    async with place.begun() as (store, _):
        assert await grow(store, folder) == 0
        await store.write(WriteGroup(story.batches))
        killed = Dataset(folder / "prices", PRICES)
        reader = ColumnReader(store, direct, trio.to_thread.run_sync, 0, page_rows=10)
        for _ in range(4):
            killed.write(await reader.next_page(len(story.log)))
        assert list(folder.rglob(".*.part"))  # as a killed process leaves it
        partly = prices_in(folder)
        rest = await grow(store, folder)
    expected = price_rows(story.log)
    assert 0 < len(partly) < len(expected)
    assert rest == len(expected) - len(partly)
    assert list(folder.rglob(".*.part")) == []
    assert prices_in(folder) == expected


async def test_each_file_has_the_same_rows_and_types(tmp_path: Path) -> None:
    story = story_of_days()
    place = SqlitePlace(tmp_path)
    paths = {suffix: tmp_path / f"odds{suffix}" for suffix in (".parquet", ".arrow", ".csv")}
    opens: dict[str, Any] = {
        ".parquet": lambda file: ParquetWriter(file, PRICES),
        ".arrow": lambda file: ArrowWriter(file, PRICES),
        ".csv": lambda file: CsvWriter(file, PRICES, lambda text: f"'{text}"),
    }
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
        for suffix, path in paths.items():
            await export_file(store, path, opens[suffix], EVERYTHING, {}, unreported)
    expected = price_rows(story.log)
    table = parquet.read_table(paths[".parquet"])
    assert table.schema.equals(arrow_schema(PRICES))
    with pa.memory_map(str(paths[".arrow"])) as mapped:
        assert pa.ipc.open_file(mapped).read_all().equals(table)
    assert sorted(table.to_pylist(), key=row_order) == expected
    cells = list(csv.DictReader(paths[".csv"].read_text("utf-8").splitlines()))
    kinds = {column.name: column.type for column in PRICES.columns}
    for cell, row in zip(cells, table.to_pylist(), strict=True):
        assert cell == {name: _cell(kinds[name], value) for name, value in row.items()}


def _cell(kind: str, value: Any) -> str:
    if value is None:
        return ""
    if kind == "time":
        return f"{value:%Y-%m-%dT%H:%M:%S.%fZ}"
    if kind == "string":
        return f"'{value}"
    return (
        str(value).lower() if kind == "bool" else f"{value:.17g}" if _long(value) else f"{value:g}"
    )


def _long(value: float) -> bool:
    return float(f"{value:g}") != value


async def test_a_parquet_file_grows_and_other_files_are_never_replaced(tmp_path: Path) -> None:
    story = story_of_days()
    place, path = SqlitePlace(tmp_path), tmp_path / "odds.parquet"
    middle = len(story.batches) // 2

    async def write(store: Store, to: Path, where: dict[str, Any] | None = None) -> int:
        done = await export_file(
            store, to, lambda file: ParquetWriter(file, PRICES), EVERYTHING, where or {}, unreported
        )
        return done.rows

    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches[:middle]))
        first = await write(store, path)
        await store.write(WriteGroup(story.batches[middle:]))
        second = await write(store, path)
        assert await write(store, path) == 0
        with pytest.raises(OddsServiceError, match="export with other filters"):
            await write(store, path, {"sports": ["tennis"]})
        (tmp_path / "odds.csv").write_text("mine", "utf-8")
        with pytest.raises(OddsServiceError, match="exists; it is not overwritten"):
            await write(store, tmp_path / "odds.csv")
        parquet.write_table(pa.table({"x": [1]}), tmp_path / "other.parquet")
        with pytest.raises(OddsServiceError, match="not made by an export"):
            await write(store, tmp_path / "other.parquet")
    found = parquet.read_table(path).to_pylist()
    assert sorted(found, key=row_order) == price_rows(story.log)
    assert len(found) == first + second


async def test_an_export_keeps_to_its_database(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    (tmp_path / "other").mkdir()
    for place in (SqlitePlace(tmp_path), SqlitePlace(tmp_path / "other")):
        async with place.begun() as (store, _):
            await store.write(WriteGroup(Story(SERIES).batches))
            if place.folder == tmp_path:
                await grow(store, folder)
                notes = json.loads((folder / "export.json").read_text("utf-8"))
                assert notes["where"] == {}
                place.sql("UPDATE feed_state SET durable_revision = 3")
                with pytest.raises(OddsServiceError, match="older backup"):
                    await grow(store, folder)
            else:
                with pytest.raises(OddsServiceError, match="of another database"):
                    await grow(store, folder)
                (folder / "export.json").write_bytes(b'{"format": 1, "x": "\xff"}')
                with pytest.raises(OddsServiceError, match="not made by an export"):
                    await grow(store, folder)
                (tmp_path / "mine").mkdir()
                (tmp_path / "mine" / "thesis.txt").write_text("x", "utf-8")
                with pytest.raises(OddsServiceError, match="is not empty"):
                    await grow(store, tmp_path / "mine")


async def test_the_command_writes_a_selection_beside_a_service(tmp_path: Path) -> None:
    story = Story(SERIES)
    place = SqlitePlace(tmp_path)
    path = tmp_path / "odds.parquet"
    to = ["export", str(path), "--database", place.url, "--market", "h2h"]
    async with open_bridge(), place.opened() as store:
        await store.begin()
        await store.write(WriteGroup(story.batches))
        done = await ran(*to)
        wrong = await ran("export", "odds.xls", "--database", place.url)
        none = await ran("export", str(tmp_path / "x"), "--database", f"sqlite:///{tmp_path}/no.db")
    assert done.returncode == 0, done.stderr
    expected = [row for row in price_rows(story.log) if row["market"] == "h2h"]
    assert f"{len(expected)} new rows in {path}, up to revision {len(story.log)}" in done.stderr
    assert sorted(parquet.read_table(path).to_pylist(), key=row_order) == expected
    assert {row["kind"] for row in expected} > {ChangeKind.ADDED.name.lower()}
    assert wrong.returncode == 2
    assert "no such file" in complaint(none)
