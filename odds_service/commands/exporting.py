"""Tables of history as files, in the formats that their names tell."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

from odds_service.columns.files import ArrowWriter, CsvWriter, ParquetWriter, TableWriter
from odds_service.columns.new_files import new_file
from odds_service.columns.schema import PRICES, Table
from odds_service.commands.csv_cells import csv_cell

WRITERS: Final[dict[str, Callable[[IO[bytes], Table], TableWriter]]] = {
    ".parquet": ParquetWriter,
    ".arrow": ArrowWriter,
    ".csv": partial(CsvWriter, cell=csv_cell),
}


def opened(suffix: str, file: IO[bytes]) -> TableWriter:
    """Return the writer of prices for a suffix. Raises SettingsError without its extra."""
    return WRITERS[suffix](file, PRICES)


def write_batches(batches: Iterable[Any], path: Path) -> int:
    """Write RecordBatches of prices to a new file; return the number of rows.

    Args:
        batches: The batches, in order.
        path: The file; its suffix selects one of WRITERS.

    Raises:
        OddsServiceError: The file exists, cannot be written, or needs an extra.
    """
    written = 0
    with new_file(path) as file:
        writer = opened(path.suffix.lower(), file)
        for batch in batches:
            writer.write(batch)
            written += batch.num_rows
        writer.finish({})
    return written
