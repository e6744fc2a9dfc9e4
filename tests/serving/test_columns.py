"""History as columns, over gRPC, HTTP and the client library: the rows of the same changes."""

import io
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import trio

from odds_service.bridge import open_bridge
from odds_service.client import Filter, ServiceError, open_sync_client
from odds_service.client.frames import Columns
from odds_service.columns.arrow import arrow_schema
from odds_service.columns.odds import CLOSING, CURRENT
from odds_service.columns.reading import ColumnReader, Page
from odds_service.columns.schema import PRICES
from odds_service.config import HttpSettings
from odds_service.errors import StorageUnavailable
from odds_service.model.market import MarketKey
from odds_service.serving import columns
from odds_service.storage import open_store
from odds_service.store import WriteGroup
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.client.faces import Face, faces
from tests.support.observations import NOON, Prices, observe, observed_event
from tests.support.odds_builders import Bookkeeping, connected, random_observations, serving
from tests.support.price_rows import Cells, price_rows, row_order
from tests.support.stories import H2H

ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"


def booked(seed: int = 4, count: int = 40) -> Bookkeeping:
    book = Bookkeeping()
    for observation in random_observations(random.Random(seed), count):
        book.see(observation)
    return book


@asynccontextmanager
async def kept(book: Bookkeeping, folder: Path) -> AsyncIterator[tuple[str, str]]:
    """Serve a book with a real store; yield the addresses of both doors."""
    async with open_bridge(), open_store(f"sqlite:///{folder / 'odds.db'}") as store:
        await store.begin()
        await store.write(WriteGroup(book.batches))
        http = HttpSettings(listen="127.0.0.1:0")
        async with serving(book, store=store, http=http) as server:
            yield server.address, f"http://{server.addresses[1]}"


def rows_of(table: Any) -> list[Cells]:
    assert table.schema.equals(arrow_schema(PRICES))
    rows: list[Cells] = table.to_pylist()
    return sorted(rows, key=row_order)


async def pages_of(address: str, request: pb.GetHistoryRequest) -> list[pb.HistoryPage]:
    def read() -> list[pb.HistoryPage]:
        with connected(address) as client:
            return list(client.stub.GetHistory(request))

    return await trio.to_thread.run_sync(read)


async def test_columns_are_the_rows_of_the_changes_in_both_forms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = booked()
    monkeypatch.setattr(columns, "PAGE_ROWS", 50)
    monkeypatch.setattr(columns, "GROUP_ROWS", 40)
    monkeypatch.setattr(columns, "_PIECE_BYTES", 4_000)
    expected = price_rows(book.log)
    async with kept(book, tmp_path) as (address, _):
        arrow = await pages_of(address, pb.GetHistoryRequest(form=pb.HISTORY_FORM_ARROW))
        file = await pages_of(address, pb.GetHistoryRequest(form=pb.HISTORY_FORM_PARQUET))
    assert len(arrow) > 10
    stream = pa.ipc.open_stream(b"".join(page.columns for page in arrow))
    assert rows_of(stream.read_all()) == expected
    whole = parquet.read_table(io.BytesIO(b"".join(page.columns for page in file)))
    assert rows_of(whole) == expected
    for pages in (arrow, file):
        assert not any(page.changes for page in pages)
        reached = [page.cursor.revision for page in pages]
        assert reached == sorted(reached)
        assert reached[-1] == len(book.log)


async def test_a_reader_goes_on_from_any_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = booked()
    monkeypatch.setattr(columns, "_PIECE_BYTES", 4_000)
    request = pb.GetHistoryRequest(form=pb.HISTORY_FORM_ARROW)
    async with kept(book, tmp_path) as (address, _):
        pages = await pages_of(address, request)
        for cut in range(1, len(pages), 7):
            first = pages[:cut]
            request.from_cursor.CopyFrom(first[-1].cursor)
            found = columns_of([*first, *await pages_of(address, request)])
            assert rows_of(found) == price_rows(book.log)


def columns_of(pages: list[pb.HistoryPage]) -> Any:
    found = Columns()
    return found.table([batch for page in pages for batch in found.take(page)])


async def test_rows_are_chosen_each_by_its_own_event(tmp_path: Path) -> None:
    book = Bookkeeping()
    for minute, hours in ((0, 6), (5, 8), (10, 6)):  # the event leaves the filter, and comes back
        offer: dict[str, dict[MarketKey, Prices]] = {
            "b": {H2H: {"home": 2.0 + minute, "away": 1.5}},
            "c": {H2H: {"home": 3 + minute}},
        }
        event = observed_event("e", offer, start_time=NOON + timedelta(hours=hours))
        book.see(observe([event], minute))
    request = pb.GetHistoryRequest(form=pb.HISTORY_FORM_ARROW)
    request.filter.bookmakers.append("b")
    request.filter.start_to.FromDatetime(NOON + timedelta(hours=7))
    async with kept(book, tmp_path) as (address, _):
        pages = await pages_of(address, request)
    expected = [
        row
        for row in price_rows(book.log)
        if row["bookmaker"] == "b" and row["start_time"] == NOON + timedelta(hours=6)
    ]
    assert rows_of(columns_of(pages)) == expected
    assert {row["kind"] for row in expected} == {"added", "prices"}


async def test_a_server_without_columns_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(booked(count=1)) as server:  # its store holds values
        with open_sync_client(server.address) as client:
            with pytest.raises(ServiceError) as failed:
                await trio.to_thread.run_sync(client.history().to_arrow)
    assert (failed.value.code, failed.value.reason) == ("UNIMPLEMENTED", "NO_COLUMNS")


async def test_http_gives_what_accept_names(tmp_path: Path) -> None:
    book = booked()
    expected = price_rows(book.log)
    async with kept(book, tmp_path) as (_, url), httpx.AsyncClient(base_url=url) as http:
        arrow = await http.get("/v1/history", headers={"accept": f"text/html, {ARROW};q=0.9"})
        file = await http.get("/v1/history", headers={"accept": PARQUET})
        linked = await http.get("/v1/history?form=parquet&bookmakers=b1")
        asked = await http.head("/v1/history", headers={"accept": PARQUET})
        lines = await http.get("/v1/history")
    assert arrow.headers["content-type"] == ARROW
    assert rows_of(pa.ipc.open_stream(arrow.content).read_all()) == expected
    assert file.headers["content-type"] == asked.headers["content-type"] == PARQUET
    assert rows_of(parquet.read_table(io.BytesIO(file.content))) == expected
    of_one = parquet.read_table(io.BytesIO(linked.content)).to_pylist()
    assert {row["bookmaker"] for row in of_one} == {"b1"}
    assert lines.headers["content-type"].startswith("application/x-ndjson")


async def test_a_download_that_fails_on_its_way_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = booked()
    monkeypatch.setattr(columns, "PAGE_ROWS", 20)
    read = ColumnReader.next_page
    pages = 0

    async def failing(self: ColumnReader, upto: int) -> Page:
        nonlocal pages
        pages += 1
        if pages > 2:
            raise StorageUnavailable("the database is gone")
        return await read(self, upto)

    monkeypatch.setattr(ColumnReader, "next_page", failing)
    async with kept(book, tmp_path) as (_, url), httpx.AsyncClient(base_url=url) as http:
        arrow = await http.get("/v1/history", headers={"accept": ARROW})
        pages = 0
        file = await http.get("/v1/history", headers={"accept": PARQUET})
    with pytest.raises(pa.ArrowInvalid):
        pa.ipc.open_stream(arrow.content).read_all()
    with pytest.raises(pa.ArrowInvalid):
        parquet.read_table(io.BytesIO(file.content))


def test_frames_of_the_synchronous_client(tmp_path: Path) -> None:
    """The calls block, so the service runs beside them."""
    book = booked()
    book.now = NOON + timedelta(days=1)

    def read(address: str) -> None:
        with open_sync_client(address) as client:
            history = client.history(Filter(bookmakers=["b1"]))
            table = history.to_arrow()
            expected = [row for row in price_rows(book.log) if row["bookmaker"] == "b1"]
            assert rows_of(table) == expected
            assert next(history).revision == 1  # the changes are still there
            batches = client.history_batches(Filter(bookmakers=["b1"]))
            assert pa.Table.from_batches(batches).equals(table)
            pandas = client.history().to_pandas()
            polars = client.history().to_polars()
            assert len(pandas) == polars.height == len(price_rows(book.log))
            assert list(pandas.columns) == polars.columns == PRICES.names
            empty = client.history(Filter(event_ids=["none"])).to_arrow()
            assert rows_of(empty) == []
            odds = client.get_odds()
            current = odds.to_arrow()
            assert current.column_names == CURRENT.names
            assert [(row["event_id"], row["price"]) for row in current.to_pylist()] == [
                (event_id, outcome.price)
                for event_id, entry in odds.events.items()
                for told in entry.bookmakers.values()
                for market in told.markets.values()
                for outcome in market.outcomes
            ]
            assert odds.to_polars().height == len(odds.to_pandas()) == current.num_rows > 0
            closing = client.closing_odds().to_arrow()
            assert closing.column_names == CLOSING.names
            assert closing.num_rows == sum(
                len(odds.market.outcomes) for each in client.closing_odds() for odds in each.odds
            )

    async def main() -> None:
        async with kept(book, tmp_path) as (address, _):
            await trio.to_thread.run_sync(read, address)

    trio.run(main)


@faces
async def test_frames_of_the_asynchronous_client(face: Face, tmp_path: Path) -> None:
    book = booked()
    book.now = NOON + timedelta(days=1)

    async def work(client: Any) -> tuple[Any, ...]:
        return (
            await client.history().to_arrow(),
            await client.history().to_pandas(),
            await client.history().to_polars(),
            (await client.closing_odds()).to_arrow(),
        )

    async with kept(book, tmp_path) as (address, _):
        table, pandas, polars, closing = await face(address, work)
    assert rows_of(table) == price_rows(book.log)
    assert len(pandas) == polars.height == table.num_rows
    assert closing.column_names == CLOSING.names
