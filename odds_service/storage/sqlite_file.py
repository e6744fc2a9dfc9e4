"""The files of a SQLite database that a service owns: identity, locks, size and permissions.

SQLite writes on to a file that has lost its name, and calls it committed. So a service compares the
files at their paths with those that it opened, before and after each transaction that writes.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

import structlog

from odds_service.errors import StorageError, StorageUnavailable

PRIVATE: Final = 0o600
WAL_BYTES: Final = 64 * 2**20  # above this the -wal is emptied; SQLite also cuts it to this size
READER_WAIT_S: Final = 1.0  # an emptying waits so long for readers, and writers wait for it
_SIDES: Final = ("-wal", "-shm")

log = structlog.get_logger(__name__)


class SideFileLost(StorageUnavailable):
    """The -wal or the -shm is not the opened one, while the database is in its place."""


class SqliteFile:
    """A database file with its -wal and -shm, as opened by one service.

    A connection of its own, the keeper, is open from open() to close(). While it is, no closing of
    another connection removes the -wal, so each of the three files keeps its identity.

    Attributes:
        path: The file, without symbolic links, as SQLite names the -wal after it.
        wal_bytes: The size of the -wal at the last check().
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.wal_bytes = 0
        self._given = path
        self._lock: int | None = None
        self._keeper: sqlite3.Connection | None = None
        self._known: dict[str, tuple[int, int]] = {}

    def side(self, suffix: str) -> Path:
        """Return the path of a file beside the database."""
        return self.path.with_name(self.path.name + suffix)

    def lock(self) -> None:
        """Make the file if there is none, and lock it under all its names. Raises StorageError.

        The file stays open until unlock(): closing it would drop SQLite's own locks, and an open
        file's inode is not given to another one.
        """
        if self._lock is None:
            self._lock = _locked(self.path, self.path)
            if os.fstat(self._lock).st_nlink > 1:
                # SQLite names the -wal after the path, so two names are two half databases.
                log.warning("database_has_several_names", database=str(self.path))

    def unlock(self) -> None:
        """Release the lock; call it when all connections are closed."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def check_halves(self) -> None:
        """Refuse a -wal without its database, which SQLite would delete. Raises StorageError."""
        wal = self.side("-wal")
        if _size(wal) and not _size(self.path):
            raise StorageError(
                f"database {self.path}: the file was moved away or deleted, but {wal.name} is"
                " there and holds changes of it; put the file back, or move both away"
            )

    def ended_uncleanly(self) -> bool:
        """Return whether the last owner died.

        SQLite removes the -wal when the last connection is closed, so a -wal is the mark of an
        unclean end. An ordered stop leaves one only beside a tool that still reads, or while the
        file is moved away; the check then costs time, and no more.
        """
        return self.side("-wal").exists() and _size(self.path) > 0

    def quick_check(self, connection: sqlite3.Connection) -> None:
        """Read the whole file and compare its structures; takes minutes for tens of gigabytes.

        Args:
            connection: From connect(); interrupt() ends the check early. It is closed. It should
                only read, because then its close leaves the -wal, and with it the mark of the
                unclean end, for a start after one that was stopped here.

        Raises:
            StorageError: The file is damaged.
            StorageUnavailable: It cannot be read now.
        """
        with closing(connection):
            try:
                ((found, *_), *_) = connection.execute("PRAGMA quick_check(1)").fetchall()
            except sqlite3.OperationalError as error:
                raise StorageUnavailable(f"database {self.path}: {error}") from None
            except sqlite3.DatabaseError as error:
                found = str(error)
        if found != "ok":
            first = " ".join(str(found).split())
            raise StorageError(
                f"database {self.path} is damaged ({first}); restore a backup of it with"
                " odds-service db restore"
            )

    def connect(self, mode: str = "rw") -> sqlite3.Connection:
        """Connect to the file, which must exist, for use in one thread at a time.

        Args:
            mode: `rw` or `ro`.
        """
        # isolation_level None: Python's sqlite3 must not begin transactions by itself.
        return sqlite3.connect(
            file_uri(self.path, mode), uri=True, isolation_level=None, check_same_thread=False,
            timeout=READER_WAIT_S,
        )  # fmt: skip

    def open(self) -> None:
        """Open the keeper, and note the identity of the files.

        Raises:
            StorageError: The file is no database, or in use.
            StorageUnavailable: The disk refuses; a retry may help.
        """
        self.lock()
        try:
            self._keeper = self.connect()
            self._keeper.execute("PRAGMA journal_mode=WAL")
            self._keeper.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # opens the -wal
            self._known = {suffix: _identity(self.side(suffix)) for suffix in _SIDES}
        except (sqlite3.OperationalError, OSError) as error:
            self.close()
            raise StorageUnavailable(f"database {self.path}: {error}") from None
        except sqlite3.Error as error:
            self.close()
            raise StorageError(f"database {self.path}: {error}") from None
        self.check()

    def close(self) -> None:
        """Close the keeper; as the last connection it empties the -wal and removes it."""
        keeper, self._keeper = self._keeper, None
        self._known = {}
        if keeper is not None:
            keeper.close()

    def check(self) -> None:
        """Compare the files at the paths with the opened ones.

        Raises:
            SideFileLost: The -wal or -shm differs.
            StorageUnavailable: The database itself is away, or another file is in its place.
        """
        if self._lock is None:
            raise StorageUnavailable(f"database {self.path}: closed")
        opened = os.fstat(self._lock)
        try:
            for path in dict.fromkeys((self._given, self.path)):
                if _identity(path) != (opened.st_dev, opened.st_ino):
                    raise StorageUnavailable(
                        f"database {path}: another file is in its place, and is left alone; put"
                        " back the one that the service opened, or restart the service"
                    )
        except FileNotFoundError:
            away = "moved away" if opened.st_nlink else "deleted"
            raise StorageUnavailable(
                f"database {self.path}: the file was {away}; put it back, or restart the service"
            ) from None
        except OSError as error:
            raise StorageUnavailable(f"database {self.path}: {error.strerror}") from None
        if self._keeper is None:
            raise SideFileLost(f"database {self.path}: an attempt to open it anew failed")
        for suffix, known in self._known.items():
            with suppress(FileNotFoundError):
                if _identity(self.side(suffix)) == known:
                    continue
            raise SideFileLost(f"database {self.path}: {self.side(suffix).name} was removed")
        self.wal_bytes = _size(self.side("-wal"))

    @property
    def opened(self) -> bool:
        """Return whether the keeper is open."""
        return self._keeper is not None

    def empty_wal(self) -> bool:
        """Move the -wal's content into the database and cut it to nothing.

        New readers do not hinder it: they begin with all content in the database. It waits for old
        ones, READER_WAIT_S at most.

        Returns:
            Whether it succeeded; if not, a reader went on for longer, or the disk refused.
        """
        if self._keeper is None:
            return False
        try:
            ((busy, *_),) = self._keeper.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            log.warning("wal_not_emptied", reason=str(error))
            return False
        self.wal_bytes = _size(self.side("-wal"))
        return not busy


def file_uri(path: Path, mode: str = "rw") -> str:
    """Return the URI by which SQLite opens a file and never makes one."""
    return f"file:{quote(str(path))}?mode={mode}"


@contextmanager
def owned(path: Path) -> Iterator[SqliteFile]:
    """Own a database, by a lock on a file beside it and one on the file itself.

    The first holds also while there is no database; the second under every name that the file has,
    such as hard links. All its files become readable by their owner only.

    Raises:
        StorageError: Another service owns it, or the lock cannot be had.
    """
    file = SqliteFile(path)
    beside = _locked(file.side(".lock"), file.path)
    try:
        if file.path.exists():
            file.lock()
        for suffix in _SIDES:
            _make_private(file.side(suffix))
        yield file
    finally:
        file.unlock()
        os.close(beside)


def _locked(path: Path, database: Path) -> int:
    """Open a file and lock it against other processes. Raises StorageError."""
    try:
        lock = os.open(path, os.O_CREAT | os.O_RDWR, PRIVATE)
    except OSError as error:
        raise StorageError(f"database {database}: {path}: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if isinstance(error, BlockingIOError):
            text = f"database {database} is in use by another odds-service"
            raise StorageError(text) from None
        raise StorageError(f"database {database}: {path}: {error.strerror}") from None
    _make_private(path)
    return lock


def _make_private(path: Path) -> None:
    """Give a file that exists the mode PRIVATE, which SQLite copies to new files beside it."""
    try:
        mode = path.stat().st_mode & 0o777
        if mode == PRIVATE:
            return
        path.chmod(PRIVATE)
    except FileNotFoundError:
        return
    except OSError as error:  # another user's file, or a file system without modes
        log.warning("file_not_private", path=str(path), reason=error.strerror)
    else:
        if mode & 0o077:
            log.warning("file_made_private", path=str(path), mode=f"{mode:04o}")


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
