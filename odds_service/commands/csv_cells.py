"""CSV: cells that are safe to open in a spreadsheet, and rows of them."""

import csv
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import IO, Any, Final

from odds_service.commands.visible import visible

# A spreadsheet runs a cell that begins like this (OWASP, "CSV Injection").
_RUN: Final = ("=", "+", "-", "@", "\t", "\r")


def csv_cell(value: Any) -> Any:
    """Return a value as a cell: times in ISO 8601 (UTC), absent values empty, text harmless.

    Text that a spreadsheet would run gets an apostrophe in front; numbers stay numbers.
    """
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        return f"'{visible(value)}" if value.startswith(_RUN) else visible(value)
    return value


def write_rows(columns: Sequence[str], rows: Iterable[Iterable[object]], file: IO[str]) -> None:
    """Write a heading and rows as UTF-8 to a text file, whose own encoding does not matter."""
    file.flush()
    with open(file.fileno(), "w", encoding="utf-8", newline="", closefd=False) as out:
        writer = csv.writer(out)
        writer.writerow(columns)
        for row in rows:
            writer.writerow([csv_cell(cell) for cell in row])
