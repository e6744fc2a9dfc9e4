"""Cells of CSV files: safe to open in a spreadsheet."""

from datetime import datetime
from typing import Any, Final

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
