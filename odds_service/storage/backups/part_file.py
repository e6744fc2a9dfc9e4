"""A file that gets its name once it is whole: written as NAME.part, then flushed and renamed."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from odds_service.errors import StorageError

PRIVATE: Final = 0o600
SIDE_FILES: Final = ("-wal", "-shm", "-journal")  # of SQLite


class Part(NamedTuple):
    """The unfinished file, and a descriptor that locks it.

    A child process that inherits the descriptor keeps the lock if this process is killed.
    """

    path: Path
    lock: int


@contextmanager
def part_file(path: Path, *, replace: bool = False) -> Iterator[Part]:
    """Yield an empty private file; at the end of the block it is flushed and gets its name.

    If the block fails, the file is removed. A process that is killed leaves NAME.part, which the
    next one uses again.

    Args:
        path: The final name.
        replace: Whether a file may have that name already.

    Raises:
        StorageError: The name is taken, or the folder cannot be written to.
    """
    part = path.with_name(path.name + ".part")
    _check_free(path, replace=replace)
    try:
        lock = os.open(part, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE)
    except OSError as error:
        raise StorageError(f"{part}: {error.strerror}") from None
    try:
        _lock(lock, part)
        _check_free(path, replace=replace)  # the last one may just have been finished
        try:
            os.fchmod(lock, PRIVATE)
            os.ftruncate(lock, 0)
            remove_side_files(part)
            yield Part(part, lock)
            os.fsync(lock)
            _rename(part, path, replace=replace)
            sync_folder(path.parent)
        except OSError as error:
            _discard(part)
            raise StorageError(f"{part}: {error.strerror}") from None
        except BaseException:
            _discard(part)
            raise
    finally:
        os.close(lock)


def _discard(part: Path) -> None:
    remove_side_files(part)
    part.unlink(missing_ok=True)


def remove_side_files(path: Path) -> None:
    """Remove the files that SQLite made beside a file."""
    for suffix in SIDE_FILES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _check_free(path: Path, *, replace: bool) -> None:
    if not replace and os.path.lexists(path):
        raise StorageError(f"{path} exists; a backup overwrites nothing")


def _lock(lock: int, part: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StorageError(f"{part} is being written by another process") from None
    # Its last writer may have renamed it between our open and our lock.
    if not part.exists() or not os.path.samestat(part.stat(), os.fstat(lock)):
        raise StorageError(f"{part} was being written by another process; try again")


def _rename(part: Path, path: Path, *, replace: bool) -> None:
    if replace:
        part.replace(path)
        return
    try:
        path.hardlink_to(part)  # unlike a rename, never overwrites
    except FileExistsError:
        raise StorageError(f"{path} exists; a backup overwrites nothing") from None
    except OSError:  # a file system without hard links
        _check_free(path, replace=False)
        part.replace(path)
    else:
        part.unlink()
