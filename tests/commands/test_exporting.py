"""Exports to CSV and Parquet have every change, and appear whole or not at all."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from odds_service.client import (
    ChangeKind,
    HistoricalChange,
    UnknownChange,
)
from odds_service.commands import exporting
from odds_service.commands.exporting import COLUMNS, export, rows
from odds_service.errors import OddsServiceError
from tests.commands.books import at, changes_of, moving, names
from tests.support.command_line import ran
from tests.support.odds_builders import serving


async def test_both_exports_hold_every_change(tmp_path: Path) -> None:
    book = moving()
    book.refused = {3}
    as_csv, as_parquet = tmp_path / "odds.csv", tmp_path / "odds.parquet"
    async with serving(book) as server:
        for path in (as_csv, as_parquet):
            done = await ran("history", "--export", str(path), "--server", server.address)
            assert done.returncode == 0, done.stderr
    table = parquet.read_table(as_parquet)
    assert table.column_names == list(COLUMNS)
    assert set(table["revision"].to_pylist()) == {change.revision for change in book.log}
    listed = table.to_pylist()
    (unknown,) = [row for row in listed if row["kind"] == "unstored"]
    assert (unknown["revision"], unknown["event_id"]) == (3, None)
    moved = [row for row in listed if row["kind"] == "prices" and row["outcome"] == "home"]
    assert [(row["price_before"], row["price"], row["active"]) for row in moved] == [
        (2.0, 2.2, True)
    ]
    assert moved[0]["detected_at"] == at(10)
    (added,) = [row for row in listed if row["kind"] == "event_added"]
    assert (added["event"], added["event_id"], added["outcome"]) == ("Reds – Blues", "e", None)
    suspended = [row for row in listed if row["kind"] == "suspended"]
    assert [(row["outcome"], row["price"], row["active"]) for row in suspended] == [
        ("home", None, False), ("away", None, False)
    ]  # fmt: skip
    told = list(csv.DictReader(io.StringIO(as_csv.read_text("utf-8"))))
    assert len(told) == len(listed)
    for row, same in zip(told, listed, strict=True):
        assert row["price"] == ("" if same["price"] is None else str(same["price"]))
        assert row["revision"] == str(same["revision"])
        seen = same["observed_at"]
        assert row["observed_at"] == ("" if seen is None else seen.isoformat())


async def test_rows_have_all_columns_whatever_the_change() -> None:
    kinds = set()
    for change in await changes_of(moving()):
        for row in rows(change):
            assert len(row) == len(COLUMNS)
            kinds.add(type(change))
    assert len(kinds) == 2
    (row,) = rows(UnknownChange(revision=1, kind=ChangeKind.UNSTORED))
    assert len(row) == len(COLUMNS)


async def test_parquet_holds_few_rows_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "BATCH_ROWS", 4)
    changes = await changes_of(moving())
    written = export(changes, tmp_path / "odds.parquet")
    assert parquet.ParquetFile(tmp_path / "odds.parquet").num_row_groups == -(-written // 4)


async def test_an_export_is_whole_or_not_there_and_replaces_nothing(tmp_path: Path) -> None:
    changes = await changes_of(moving())
    path = tmp_path / "odds.csv"

    def broken() -> Iterator[HistoricalChange]:
        yield from changes
        raise OSError(28, "No space left on device")

    with pytest.raises(OddsServiceError, match="No space left"):
        export(broken(), path)
    assert names(tmp_path) == []
    export(changes, path)
    before = path.read_bytes()
    with pytest.raises(OddsServiceError, match="exists; it is not overwritten"):
        export(changes, path)

    def overtaken() -> Iterator[HistoricalChange]:
        yield from changes
        (tmp_path / "new.csv").write_bytes(b"another's")

    with pytest.raises(OddsServiceError, match="exists by now"):
        export(overtaken(), tmp_path / "new.csv")
    assert path.read_bytes() == before
    assert (tmp_path / "new.csv").read_bytes() == b"another's"
    assert names(tmp_path) == ["new.csv", "odds.csv"]
    with pytest.raises(OddsServiceError, match="cannot be written: No such file"):
        export(changes, tmp_path / "no" / "odds.csv")
