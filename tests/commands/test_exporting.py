"""`history --export` writes the rows of `odds-service export`, whole or not at all."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from odds_service.bridge import open_bridge
from odds_service.columns.arrow import arrow_schema
from odds_service.columns.schema import PRICES
from odds_service.commands.exporting import write_batches
from odds_service.errors import OddsServiceError
from odds_service.storage import open_store
from odds_service.store import WriteGroup
from tests.commands.books import at, moving, names
from tests.support.command_line import ran
from tests.support.odds_builders import serving
from tests.support.price_rows import price_rows, row_order


async def test_exports_of_a_server_hold_every_row_of_the_span(tmp_path: Path) -> None:
    book = moving()
    paths = [tmp_path / "odds.csv", tmp_path / "odds.parquet"]
    async with open_bridge(), open_store(f"sqlite:///{tmp_path / 'odds.db'}") as store:
        await store.begin()
        await store.write(WriteGroup(book.batches))
        async with serving(book, store=store) as server:
            for path in paths:
                done = await ran(
                    "history", "--export", str(path), "--since", at(5).isoformat(),
                    "--market", "h2h", "--server", server.address,
                )  # fmt: skip
                assert done.returncode == 0, done.stderr
    expected = [
        row
        for row in price_rows(book.log)
        if row["detected_at"] >= at(5) and row["market"] == "h2h"
    ]
    table = parquet.read_table(paths[1])
    assert sorted(table.to_pylist(), key=row_order) == expected
    assert f"{len(expected)} rows in {paths[1]}" in done.stderr
    cells = list(csv.DictReader(io.StringIO(paths[0].read_text("utf-8"))))
    assert [(row["revision"], row["outcome"], row["home"]) for row in cells] == [
        (str(row["revision"]), row["outcome"], "Reds") for row in table.to_pylist()
    ]


def batches() -> Iterator[Any]:
    cells = dict.fromkeys(PRICES.names) | {"revision": 1, "home": "=cmd()", "line": -2.5}
    yield pa.RecordBatch.from_pylist([cells], schema=arrow_schema(PRICES))


def test_a_file_is_whole_or_not_there_and_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "odds.csv"

    def broken() -> Iterator[Any]:
        yield from batches()
        raise OSError(28, "No space left on device")

    with pytest.raises(OddsServiceError, match="No space left"):
        write_batches(broken(), path)
    assert names(tmp_path) == []
    assert write_batches(batches(), path) == 1
    before = path.read_bytes()
    assert b"'=cmd()" in before  # a spreadsheet would run it
    assert b",-2.5," in before
    with pytest.raises(OddsServiceError, match="exists; it is not overwritten"):
        write_batches(batches(), path)

    def overtaken() -> Iterator[Any]:
        yield from batches()
        (tmp_path / "new.csv").write_bytes(b"another's")

    with pytest.raises(OddsServiceError, match="exists by now"):
        write_batches(overtaken(), tmp_path / "new.csv")
    assert path.read_bytes() == before
    assert (tmp_path / "new.csv").read_bytes() == b"another's"
    assert names(tmp_path) == ["new.csv", "odds.csv"]
    with pytest.raises(OddsServiceError, match="cannot be written: No such file"):
        write_batches(batches(), tmp_path / "no" / "odds.csv")
