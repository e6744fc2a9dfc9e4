"""Copies of a SQLite file, made while a service writes to it. All functions block: use a thread."""

import itertools
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from odds_service.errors import StorageError
from odds_service.storage.backups.part_file import remove_side_files, sync_folder
from odds_service.storage.sqlite_reading import may_write, reading_uri
from odds_service.store import Report, unreported

_PAGES: Final = 2_000  # copied between two looks for a cancellation: 8 MB
_STEPS: Final = 1_000_000  # of SQLite's machine between two looks at a check
_BUSY_S: Final = 10.0  # wait for another program's lock on the file


def copy_database(
    source: Path, target: Path, between: Callable[[], None], report: Report = unreported
) -> None:
    """Copy a database as it is at one moment; its owner and readers go on meanwhile.

    Args:
        source: The database. Nobody changes it, except that SQLite may make files beside it.
        target: An empty file. It gets all content, without a -wal, in no WAL mode.
        between: Called several times a second; may raise to end the copy.
        report: Gets the progress, in this thread.

    Raises:
        StorageError: One of the two cannot be used.
    """

    def copied(_: int, remaining: int, total: int) -> None:
        between()
        report("pages copied", total - remaining, total)

    try:
        with (
            closing(_connect(_source_uri(source))) as reading,
            closing(_connect(f"file:{quote(str(target.absolute()))}?mode=rw")) as writing,
        ):
            # The open transaction holds one state of a database that goes on changing. Without it
            # the copy would begin anew at each commit of the service.
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
            writing.execute("PRAGMA journal_mode=OFF")  # half a copy is of no use
            reading.backup(writing, pages=_PAGES, progress=copied, sleep=0.05)
            # WAL mode needs files beside it; a copy must be readable from a read-only disk.
            writing.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise StorageError(f"backup of {source} to {target}: {error}") from None
    remove_side_files(target)


def check_pages(path: Path, between: Callable[[], None], report: Report = unreported) -> None:
    """Read a whole file and compare its structures.

    Args:
        path: The file, which nobody writes to.
        between: Called often; may raise to end the check.
        report: Gets the progress, in this thread.

    Raises:
        StorageError: The file is damaged, or no SQLite database.
    """
    stopped: list[BaseException] = []
    rounds = itertools.count(1)

    def look() -> int:
        try:
            between()
            # SQLite tells no more of its progress than the steps of its machine.
            report("steps of the check of pages", next(rounds) * _STEPS, None)
        except BaseException as error:  # noqa: ASYNC103  # raised below; SQLite would swallow it
            stopped.append(error)
            return 1  # noqa: ASYNC104  # as above
        return 0

    try:
        with closing(_connect(reading_uri(path))) as reading:
            reading.set_progress_handler(look, _STEPS)
            ((found, *_), *_) = reading.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.Error as error:
        if stopped:
            raise stopped[0] from None
        found = str(error)
    if found != "ok":
        raise StorageError(f"{path} is damaged: {' '.join(str(found).split())}")


def is_used(path: Path) -> bool:
    """Return whether a file holds anything: tables, or content that is no database."""
    if not path.exists() or path.stat().st_size == 0:
        return False
    try:
        with closing(_connect(_source_uri(path))) as reading:
            ((tables,),) = reading.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except sqlite3.Error:
        return True
    return bool(tables)


def execute(path: Path, statements: str) -> None:
    """Execute SQL on a file that nobody else uses. Raises StorageError."""
    try:
        with closing(_connect(f"file:{quote(str(path.absolute()))}?mode=rw")) as writing:
            writing.executescript(statements)
    except sqlite3.Error as error:
        raise StorageError(f"{path}: {error}") from None


def retire(path: Path) -> None:
    """Make the name of an old database ready for another file.

    The -wal would be read as a part of the new file, so it goes first; its content is moved into
    the old file before, so that an interrupted restore leaves that one whole.
    """
    with suppress(sqlite3.Error):  # a damaged one is what a restore is for
        with closing(_connect(_source_uri(path))) as old:
            old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    remove_side_files(path)
    sync_folder(path.parent)


def _connect(uri: str) -> sqlite3.Connection:
    # isolation_level None: Python's sqlite3 must not begin transactions by itself.
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_S)


def _source_uri(path: Path) -> str:
    return f"file:{quote(str(path.resolve()))}?mode=rw" if may_write(path) else reading_uri(path)
