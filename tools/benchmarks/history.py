"""`history`: an export beside raw rows, and the CPU of GetHistory, Replay and their client."""

import gc
import io
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import pyarrow.parquet as parquet
import trio
import typer

from odds_service.bridge import open_bridge
from odds_service.client import MarketChange, connect, open_sync_client
from odds_service.columns.exporting import export_file
from odds_service.columns.files import ParquetWriter
from odds_service.columns.reading import PAGE_ROWS
from odds_service.columns.schema import PRICES
from odds_service.filters.selection import EVERYTHING
from odds_service.storage import open_store
from odds_service.store import LOG_COLUMNS, unreported
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tools.benchmarks.figures import Bounds, Measured, Report, at_least, at_most, settle
from tools.benchmarks.part import Part
from tools.benchmarks.processes import Helper, helper
from tools.benchmarks.storage import filled

RAW, EXPORT = "CPU of raw rows and ready columns", "CPU of the export"
SERVER, COLUMNS = "CPU of the server, a change", "CPU of the server as columns, a change"
STUB, CLIENT = "CPU of the bare stub, a change", "CPU of the client library, a change"
STUB_READ = "CPU of the bare stub with event and price, a change"
CLIENT_READ = "CPU of the client library with event and price, a change"
STUB_FIELDS = "CPU of the bare stub with every field, a change"
REPLAY_SERVER = "replayed in a second of the server's CPU"
REPLAY_CLIENT = "replayed in a second of the client's CPU, with its map"
_REPLAYED: Final = at_least(50_000.0)  # a second of a core


def measure(
    bounds: Bounds,
    *,
    changes: Annotated[int, typer.Option(help="Changes in the history.")] = 40_000,
) -> Report:
    """An export beside raw rows; GetHistory and Replay through the stub and the client."""
    found = Measured("history", "a whole history from SQLite: exported, and served over gRPC")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = folder / "odds.db"
        stored = trio.run(filled, database, changes)
        settle()
        size, rows = _export(database, folder / "first.parquet")
        ready = parquet.read_table(folder / "first.parquet")
        with helper("tools.benchmarks.stored_server", database) as server:
            for turn in bounds.turns():
                found.add(RAW, _cpu_ms(partial(_raw, database, ready)), "ms")
                path = folder / f"{turn}.parquet"
                found.add(EXPORT, _cpu_ms(partial(_export, database, path)), "ms")
                _serve(found, server, stored)
    found.add("a row of prices in Parquet", size / rows, "bytes")
    found.aim("a row of prices in Parquet", at_most(8.0))
    found.ratio("export, of raw rows and ready columns", EXPORT, RAW, at_most(3.0))
    found.ratio("client library, of the bare stub", CLIENT, STUB, at_most(2.0))
    found.ratio("client library with event and price, of the bare stub", CLIENT_READ, STUB_READ)
    found.ratio("client library, of the bare stub with every field", CLIENT_READ, STUB_FIELDS)
    found.aim(SERVER, at_most(20.0))
    found.aim(REPLAY_SERVER, _REPLAYED)
    found.aim(REPLAY_CLIENT, _REPLAYED)
    return found.report(changes=stored, rows=rows)


def _cpu_ms(work: Callable[[], object]) -> float:
    """Return the CPU time of this process for some work, in ms."""
    gc.collect()
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1000


def _raw(database: Path, ready: Any) -> None:
    """Read all rows by the driver, and write columns that are ready."""
    query = f"SELECT {', '.join(LOG_COLUMNS)} FROM odds_history ORDER BY revision"  # noqa: S608  # ours
    with closing(sqlite3.connect(database)) as connection:
        cursor = connection.execute(query)
        while cursor.fetchmany(PAGE_ROWS):
            pass
    writer = ParquetWriter(io.BytesIO(), PRICES)
    for batch in ready.to_batches():
        writer.write(batch)
    writer.finish({})


def _export(database: Path, path: Path) -> tuple[int, int]:
    """Export everything; return the size of the file and the number of its rows."""

    async def export() -> int:
        async with open_bridge(), open_store(f"sqlite:///{database}", owner=False) as store:
            opens = partial(ParquetWriter, table=PRICES)
            done = await export_file(store, path, opens, EVERYTHING, {}, unreported)
            return done.rows

    rows = trio.run(export)
    return path.stat().st_size, rows


def _serve(found: Measured, server: Helper, changes: int) -> None:
    address = server.ready["address"]
    with connect(address) as stub, open_sync_client(address) as client:

        def bare() -> Iterator[object]:
            for page in stub.GetHistory(pb.GetHistoryRequest()):
                yield from page.changes

        def bare_read() -> None:
            for page in stub.GetHistory(pb.GetHistoryRequest()):
                for change in page.changes:
                    _ = change.event_id, [each.price for each in change.after.outcomes]

        def bare_fields() -> None:
            for page in stub.GetHistory(pb.GetHistoryRequest()):
                for change in page.changes:
                    _every_field(change)

        def client_read() -> None:
            for change in client.history():
                if isinstance(change, MarketChange):
                    _ = change.event_id, [each.price for each in change.after.outcomes]

        for name, work in (
            (STUB, lambda: sum(1 for _ in bare())),
            (CLIENT, lambda: sum(1 for _ in client.history())),
            (STUB_READ, bare_read),
            (CLIENT_READ, client_read),
            (STUB_FIELDS, bare_fields),
            (COLUMNS, lambda: client.history().to_arrow()),
            (REPLAY_CLIENT, lambda: sum(1 for _ in client.replay())),
        ):
            before = server.cpu_s()
            spent_us = _cpu_ms(work) * 1000 / changes
            served_us = (server.cpu_s() - before) * 1e6 / changes
            if name == COLUMNS:
                found.add(COLUMNS, served_us, "µs")
            elif name == REPLAY_CLIENT:
                found.add(REPLAY_CLIENT, 1e6 / spent_us, "changes/s")
                found.add(REPLAY_SERVER, 1e6 / served_us, "changes/s")
            else:
                found.add(name, spent_us, "µs")
            if name == STUB:
                found.add(SERVER, served_us, "µs")


def _every_field(change: pb.Change) -> object:
    """Read what the client library decodes when a change is first looked at; make no value of it.

    `before` is copied as bytes, without which a change that is kept would keep its whole page.
    """
    after = change.after
    key, line = after.key, after.key.line
    times = (change.observed_at, change.detected_at, after.changed_at, after.source_updated_at)
    return (
        change.revision, change.kind, change.event_id, change.source, change.bookmaker,
        change.reason, change.other_line or change.HasField("other_line"), change.snapshot_id,
        change.conflated_count, change.suspended_meanwhile,
        key.market, line or key.HasField("line"), key.participant, after.status, after.revision,
        [(each.key, each.name, each.price, each.active) for each in after.outcomes],
        [(each.seconds, each.nanos) for each in times], after.HasField("source_updated_at"),
        change.HasField("before") and change.before.SerializeToString(),
    )  # fmt: skip


PART: Final = Part("history", measure, sized="changes", costs={EXPORT: "changes", RAW: "changes"})
