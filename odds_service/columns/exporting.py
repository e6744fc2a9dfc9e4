"""Exports of a store: a folder of datasets that grows, or one file."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

import trio
from msgspec import Struct

from odds_service.columns.arrow import arrow_schema, pyarrow
from odds_service.columns.dataset import Dataset
from odds_service.columns.files import ParquetWriter, TableWriter
from odds_service.columns.new_files import new_file, told
from odds_service.columns.odds import CLOSING, OPENING, odds_batch
from odds_service.columns.outages import outages_batch
from odds_service.columns.reading import ColumnReader, Page
from odds_service.columns.schema import OUTAGES, PRICES
from odds_service.errors import OddsServiceError
from odds_service.filters.selection import Selection
from odds_service.store import ClosingOdds, Extent, Report, StartedEvents, Store

EVENTS_AT_ONCE: Final = 100
_FORMAT: Final = 1  # of the folder
_NOTES: Final = "export.json"
_STATE: Final = "odds_service.export"  # key of a file's metadata: the notes and the place reached

Opens = Callable[[IO[bytes]], TableWriter]
Notes = Mapping[str, Any]


class Exported(Struct, frozen=True):
    """The result of an export: the rows it added to the prices, and the last revision."""

    rows: int
    reached: int


async def export_folder(
    store: Store, folder: Path, selection: Selection, where: Notes, report: Report
) -> Exported:
    """Bring a folder up to date: prices and outages grow, closing and opening odds are made anew.

    Args:
        store: The store.
        folder: The folder; it is made if it is missing.
        selection: The rows to choose.
        where: The selection as plain values, which all runs into a folder must share.
        report: Gets the progress.

    Raises:
        OddsServiceError: The folder belongs to another database or selection, or cannot be
            written.

    Cancellation:
        Files that are complete stay, and the next run goes on behind them.
    """
    extent = await store.extent()
    await trio.to_thread.run_sync(_claim, folder, _notes(extent, where))
    prices = await trio.to_thread.run_sync(Dataset, folder / "prices", PRICES)
    outages = await trio.to_thread.run_sync(Dataset, folder / "outages", OUTAGES)
    for dataset in (prices, outages):
        _check(folder, dataset.reached, extent)
        dataset.begin_after(extent.floor)
    await _copy(store, selection, prices, extent.durable, report)
    if outages.reached < extent.durable:
        found = await store.source_rows(outages.reached, extent.durable)
        batch = outages_batch(found.rows, selection)
        await trio.to_thread.run_sync(outages.write, Page(batch, outages.reached, found.upto))
        await trio.to_thread.run_sync(outages.finish)
    await _write_closing(store, selection, folder, report)
    return Exported(prices.rows, extent.durable)


async def _copy(
    store: Store, selection: Selection, into: Dataset, upto: int, report: Report
) -> None:
    after = first = into.reached
    reader = _reader(store, selection, after)
    try:
        while after < upto:
            page = await reader.next_page(upto)
            await trio.to_thread.run_sync(into.write, page)
            after = page.upto
            report("revisions", after - first, upto - first)
        await trio.to_thread.run_sync(into.finish)
    finally:
        into.abandon()


async def export_file(
    store: Store, path: Path, opens: Opens, selection: Selection, where: Notes, report: Report
) -> Exported:
    """Write the prices to one file, which appears once it is complete.

    A Parquet file of an earlier export is replaced by one with its rows and the new ones.

    Args:
        store: The store.
        path: The file.
        opens: Returns a writer to it.
        selection: The rows to choose.
        where: The selection as plain values, which the earlier export must share.
        report: Gets the progress.

    Raises:
        OddsServiceError: The file is of another database or selection, exists and cannot grow, or
            cannot be written.
    """
    extent = await store.extent()
    notes = _notes(extent, where)
    in_thread = trio.to_thread.run_sync
    earlier = await in_thread(_earlier, path)
    after = extent.floor
    if earlier is not None:
        reached, theirs = earlier
        _compare(path, notes, theirs)
        _check(path, reached, extent)
        after = max(after, reached)
    first, rows = after, 0
    with new_file(path, replace=earlier is not None) as file:
        writer = await in_thread(opens, file)
        if earlier is not None:
            await in_thread(_copy_rows, path, writer)
        reader = _reader(store, selection, after)
        while after < extent.durable:
            page = await reader.next_page(extent.durable)
            await in_thread(writer.write, page.batch)
            after, rows = page.upto, rows + page.batch.num_rows
            report("revisions", after - first, extent.durable - first)
        state = {"reached": after, **notes}
        await in_thread(writer.finish, {_STATE: json.dumps(state, sort_keys=True)})
    return Exported(rows, after)


def _reader(store: Store, selection: Selection, after: int) -> ColumnReader:
    async def ask(work: Callable[..., Any], *args: Any) -> Any:
        return await work(*args)

    return ColumnReader(store, ask, trio.to_thread.run_sync, after, selection)


async def _write_closing(store: Store, selection: Selection, folder: Path, report: Report) -> None:
    """Write the closing odds of the selected events that have started, and their opening odds."""
    only = StartedEvents(
        before=datetime.now(UTC),
        event_ids=selection.event_ids or frozenset(),
        sports=selection.sports or frozenset(),
        competitions=selection.competitions or frozenset(),
        start_from=selection.start_from,
    )
    done = 0
    after: tuple[datetime, str] | None = None
    in_thread = trio.to_thread.run_sync
    with (
        new_file(folder / "closing.parquet", replace=True) as closing_file,
        new_file(folder / "opening.parquet", replace=True) as opening_file,
    ):
        closing = await in_thread(ParquetWriter, closing_file, CLOSING)
        opening = await in_thread(ParquetWriter, opening_file, OPENING)
        while True:
            events = await store.started_events(only, after, EVENTS_AT_ONCE)
            for event in events:
                if selection.matches(event):
                    listed = await store.closing_odds([event.id])
                    found = [odds for odds in listed if _takes(selection, odds)]
                    closing.write(odds_batch(CLOSING, ((event, o.market, o) for o in found)))
                    opened = ((event, o.opening, o) for o in found if o.opening is not None)
                    opening.write(odds_batch(OPENING, opened))
            done += len(events)
            report("events", done, None)
            if len(events) < EVENTS_AT_ONCE:
                break
            after = events[-1].start_time, events[-1].id
        await in_thread(closing.finish, {})
        await in_thread(opening.finish, {})


def _takes(selection: Selection, odds: ClosingOdds) -> bool:
    of_market = selection.markets is None or odds.market.key.market in selection.markets
    return of_market and selection.takes_bookmaker(odds.source, odds.bookmaker)


def _notes(extent: Extent, where: Notes) -> dict[str, Any]:
    return {"format": _FORMAT, "database_id": extent.database_id, "where": dict(where)}


def _claim(folder: Path, notes: Notes) -> None:
    """Make a folder with its notes, or compare the notes of one that is there."""
    path = folder / _NOTES
    if path.exists():
        with told(path):
            text = path.read_bytes()
        _compare(folder, notes, _parsed(text))
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise OddsServiceError(f"{folder} is not empty, and no export made it")
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with new_file(path) as file:
        file.write(json.dumps(notes, indent=2, sort_keys=True).encode() + b"\n")


def _parsed(text: bytes) -> Notes:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _compare(place: Path, ours: Notes, theirs: Notes) -> None:
    """Raise OddsServiceError if an export was made of something else."""
    if theirs.get("format") != ours["format"]:
        raise OddsServiceError(f"{place} was not made by an export of this version")
    if theirs.get("database_id") != ours["database_id"]:
        raise OddsServiceError(f"{place} is an export of another database")
    if theirs.get("where") != ours["where"]:
        raise OddsServiceError(f"{place} is an export with other filters: {theirs.get('where')}")


def _check(place: Path, reached: int, extent: Extent) -> None:
    if reached > extent.durable:
        raise OddsServiceError(
            f"{place} reaches revision {reached}, and the database {extent.durable}: "
            "was an older backup restored?"
        )


def _earlier(path: Path) -> tuple[int, Notes] | None:
    """Return the place that a Parquet file reaches, and its notes; None if there is no file."""
    if not path.exists():
        return None
    if path.suffix.lower() != ".parquet":
        raise OddsServiceError(f"{path} exists; it is not overwritten")
    pa = pyarrow()
    import pyarrow.parquet as parquet

    try:
        found = (parquet.read_metadata(path).metadata or {}).get(_STATE.encode())
    except (OSError, pa.ArrowException) as error:
        raise OddsServiceError(f"{path} cannot be read: {error}") from None
    notes = dict(_parsed(found or b""))
    return int(notes.pop("reached", 0)), notes


def _copy_rows(path: Path, writer: TableWriter) -> None:
    import pyarrow.parquet as parquet

    schema = arrow_schema(PRICES)
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches():
            writer.write(batch.cast(schema))
