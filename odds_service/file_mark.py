"""Marks of files, by which a change on disk is noticed."""

from pathlib import Path
from typing import TypeAlias

Mark: TypeAlias = tuple[int, int, int]


def file_mark(path: Path | None) -> Mark | None:
    """Return a value that differs once a file was written or replaced; None without a file."""
    try:
        found = None if path is None else path.stat()
    except OSError:
        return None
    return None if found is None else (found.st_mtime_ns, found.st_size, found.st_ino)
