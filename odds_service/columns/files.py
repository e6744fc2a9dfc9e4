"""Tables as Parquet, Arrow and CSV files, written batch by batch."""

from collections.abc import Callable, Mapping
from typing import IO, Any, Final, Protocol

from odds_service.columns.arrow import arrow_schema, pyarrow
from odds_service.columns.schema import Table

# Rows of a group, which a writer holds in memory; larger groups save little.
GROUP_ROWS: Final = 50_000
# Whole numbers that grow row by row; all other columns repeat themselves.
_GROWING: Final = frozenset({"revision", "snapshot_id"})
_TIME_FORM: Final = "%Y-%m-%dT%H:%M:%SZ"  # seconds have the microseconds of the column


class TableWriter(Protocol):
    """A writer of RecordBatches of one table to a file."""

    def write(self, batch: Any) -> None: ...
    def finish(self, notes: Mapping[str, str]) -> None: ...


class ParquetWriter:
    """A writer of Parquet: numbers that grow as differences, the rest by dictionaries, zstd.

    Its notes are among the metadata of the file. `group_rows` are the rows of a group.
    """

    def __init__(self, file: IO[bytes], table: Table, group_rows: int = GROUP_ROWS) -> None:
        pa = pyarrow()
        import pyarrow.parquet as parquet

        self._pa = pa
        schema = arrow_schema(table)
        growing = {name: "DELTA_BINARY_PACKED" for name in table.names if name in _GROWING}
        self._parquet = parquet.ParquetWriter(
            file,
            schema,
            compression="zstd",
            use_dictionary=[name for name in table.names if name not in growing],
            column_encoding=growing or None,
        )
        self._group_rows = group_rows
        self._held: list[Any] = []
        self._rows = 0

    def write(self, batch: Any) -> None:
        self._held.append(batch)
        self._rows += batch.num_rows
        if self._rows >= self._group_rows:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            whole = self._pa.Table.from_batches(self._held)
            self._parquet.write_table(whole, row_group_size=self._rows)
        self._held, self._rows = [], 0

    def finish(self, notes: Mapping[str, str]) -> None:
        self._flush()
        if notes:
            self._parquet.add_key_value_metadata(dict(notes))
        self._parquet.close()


class ArrowWriter:
    """A writer of Arrow's file format, which other programs map into memory."""

    def __init__(self, file: IO[bytes], table: Table) -> None:
        pa = pyarrow()
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        self._writer = pa.ipc.new_file(file, arrow_schema(table), options=options)

    def write(self, batch: Any) -> None:
        if batch.num_rows:
            self._writer.write_batch(batch)

    def finish(self, notes: Mapping[str, str]) -> None:
        del notes  # the format has no place for them after the rows
        self._writer.close()


class CsvWriter:
    """A writer of CSV with a heading: times in ISO 8601 (UTC), absent values empty.

    Args:
        file: The file.
        table: The table.
        cell: Returns a text as a cell that is harmless in a spreadsheet and on a terminal.
    """

    def __init__(self, file: IO[bytes], table: Table, cell: Callable[[str], str]) -> None:
        self._pa = pyarrow()
        import pyarrow.csv as csv

        self._cell = cell
        types = [
            self._pa.string() if self._pa.types.is_timestamp(field.type) else field.type
            for field in arrow_schema(table)
        ]
        self._schema = self._pa.schema(list(zip(table.names, types, strict=True)))
        options = csv.WriteOptions(quoting_style="needed")
        self._csv = csv.CSVWriter(file, self._schema, write_options=options)

    def write(self, batch: Any) -> None:
        cells = [self._cells(column) for column in batch.columns]
        self._csv.write_batch(self._pa.record_batch(cells, schema=self._schema))

    def _cells(self, column: Any) -> Any:
        types, compute = self._pa.types, self._pa.compute
        if types.is_timestamp(column.type):
            return compute.strftime(column, format=_TIME_FORM)
        if not types.is_string(column.type):
            return column
        coded = column.dictionary_encode()  # each text is made harmless once
        texts = [self._cell(text) for text in coded.dictionary.to_pylist()]
        return self._pa.array(texts, self._pa.string()).take(coded.indices)

    def finish(self, notes: Mapping[str, str]) -> None:
        del notes
        self._csv.close()
