"""Export of changes to CSV or Parquet files: one row per outcome, written as changes arrive."""

import csv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Final, Protocol

from odds_service.client import (
    EventChange,
    HistoricalChange,
    Market,
    MarketChange,
    Outcome,
    UnknownChange,
)
from odds_service.columns.new_files import new_file
from odds_service.commands.csv_cells import csv_cell
from odds_service.errors import missing_extra

BATCH_ROWS: Final = 20_000  # rows per Parquet row group, which is held in memory

# Column -> its Arrow type. A change of a market gives one row for each outcome before or after it;
# a change of an event or a source gives one row, without values in the market's columns.
COLUMNS: Final = {
    "revision": "uint64",
    "kind": "string",
    "reason": "string",
    "detected_at": "time",
    "observed_at": "time",
    "event_id": "string",
    "event": "string",  # the name, only in changes of events
    "start_time": "time",  # only in changes of events
    "source": "string",
    "bookmaker": "string",
    "market": "string",
    "line": "float64",
    "participant": "string",
    "status": "string",  # of the market after the change
    "outcome": "string",
    "price": "float64",
    "price_before": "float64",
    "active": "bool",
    "snapshot_id": "uint64",
}

Row = tuple[Any, ...]  # in the order of COLUMNS; None where a column does not apply


def rows(change: HistoricalChange) -> Iterator[Row]:
    """Yield the rows of a change."""
    told = (change.revision, change.kind.name.lower(), change.reason or None)
    if isinstance(change, UnknownChange):
        yield (*told, change.detected_at, *[None] * (len(COLUMNS) - 4))
        return
    told += (change.detected_at, change.observed_at)  # type: ignore[assignment]  # a longer one
    if isinstance(change, MarketChange):
        yield from _market_rows(change, told)
    elif isinstance(change, EventChange):
        event = change.event
        of_event = (event.id, event.name, event.start_time)
        yield (*told, *of_event, change.source or None, *[None] * 10)
    else:
        yield (*told, None, None, None, change.state.source, *[None] * 10)


def _market_rows(change: MarketChange, told: tuple[Any, ...]) -> Iterator[Row]:
    key = change.key
    place = (change.event_id, None, None, change.source, change.bookmaker, key.market)
    of_market = (float(key.line) if key.line else None, key.participant or None)
    status = change.after.status.name.lower()
    before, after = _by_key(change.before), _by_key(change.after)
    for outcome in before | after:
        old, new = before.get(outcome), after.get(outcome)
        yield (
            *told,
            *place,
            *of_market,
            status,
            outcome,
            None if new is None else new.price,
            None if old is None else old.price,
            None if new is None else new.active,
            change.snapshot_id or None,
        )


def _by_key(market: Market | None) -> dict[str, Outcome]:
    return {} if market is None else {outcome.key: outcome for outcome in market.outcomes}


class RowWriter(Protocol):
    """A writer of rows to a file."""

    def write(self, row: Row) -> None: ...
    def finish(self) -> None: ...


class CsvWriter:
    """A writer of CSV in the form of csv_cells."""

    def __init__(self, file: IO[bytes]) -> None:
        self._text = open(  # noqa: SIM115  # closed by finish, or with the file
            file.fileno(), "w", encoding="utf-8", newline="", closefd=False
        )
        self._csv = csv.writer(self._text)
        self._csv.writerow(COLUMNS)

    def write(self, row: Row) -> None:
        self._csv.writerow([csv_cell(value) for value in row])

    def finish(self) -> None:
        self._text.close()


class ParquetWriter:
    """A writer of Parquet, in row groups of BATCH_ROWS rows.

    Raises:
        SettingsError: The extra is not installed.
    """

    def __init__(self, file: IO[bytes]) -> None:
        try:
            import pyarrow as pa
            import pyarrow.parquet as parquet
        except ImportError:
            raise missing_extra("Parquet", "parquet") from None
        types = {
            "uint64": pa.uint64(),
            "float64": pa.float64(),
            "string": pa.string(),
            "bool": pa.bool_(),
            "time": pa.timestamp("us", tz="UTC"),
        }
        self._arrow = pa
        self._schema = pa.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
        self._parquet = parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[Row] = []

    def write(self, row: Row) -> None:
        self._rows.append(row)
        if len(self._rows) >= BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        columns = [
            self._arrow.array(values, type=field.type)
            for values, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)
        ]
        self._parquet.write_batch(self._arrow.record_batch(columns, schema=self._schema))
        self._rows.clear()

    def finish(self) -> None:
        if self._rows:
            self._flush()
        self._parquet.close()


WRITERS: Final[dict[str, Callable[[IO[bytes]], RowWriter]]] = {
    ".csv": CsvWriter,
    ".parquet": ParquetWriter,
}


def export(changes: Iterable[HistoricalChange], path: Path) -> int:
    """Write changes to a new file; return the number of rows.

    Args:
        changes: The changes, in order.
        path: The file; its suffix selects one of WRITERS.

    Raises:
        OddsServiceError: The file exists, cannot be written, or needs an extra.
    """
    written = 0
    with new_file(path) as file:
        writer = WRITERS[path.suffix.lower()](file)
        for change in changes:
            for row in rows(change):
                writer.write(row)
                written += 1
        writer.finish()
    return written
