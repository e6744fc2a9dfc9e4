"""Files in a folder or a zip, each with a recorded body, by name."""

import re
import zipfile
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from threading import Lock
from types import TracebackType
from typing import Final, Self

from odds_service.errors import OddsServiceError

_TIME: Final = re.compile(
    r"(?<!\d)(\d{4})-?(\d{2})-?(\d{2})T(\d{2})[:-]?(\d{2})[:-]?(\d{2})(?:\.(\d{1,6}))?Z"
)


class RecordingError(OddsServiceError):
    """An error in a recording, with the file and the reason as text."""


class ClosedOnExit(ABC):
    """A context manager that is closed at its end."""

    @abstractmethod
    def close(self) -> None:
        """Close what it holds open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class RecordedFiles:
    """The `.json` files of a folder with its subfolders, of a zip, or a single one.

    It keeps a zip open until `close`. Blocking; `read` is thread-safe.
    """

    def __init__(self, path: Path) -> None:
        """Open a folder, a zip or a file. Raises RecordingError."""
        self.path = path
        self._zip = None if path.is_dir() or _is_body(path) else _open_zip(path)
        self._zip_lock = Lock()  # one file position serves all members

    def close(self) -> None:
        """Close the zip."""
        if self._zip is not None:
            self._zip.close()

    def names(self) -> list[str]:
        """Return the paths of the files below the folder or in the zip, in order."""
        if self._zip is not None:
            found = [name for name in self._zip.namelist() if name.endswith(".json")]
        elif self.path.is_dir():
            found = [
                path.relative_to(self.path).as_posix()
                for path in self.path.rglob("*.json")
                if path.is_file()
            ]
        else:
            found = [self.path.name]
        # A zip from a Mac contains a metadata file for each file.
        return sorted(name for name in found if not name.startswith("__MACOSX/"))

    def read(self, name: str) -> bytes:
        """Return the bytes of a file. Raises RecordingError."""
        try:
            if self._zip is None:
                folder = self.path if self.path.is_dir() else self.path.parent
                return (folder / name).read_bytes()
            with self._zip_lock:
                return self._zip.read(name)
        except (OSError, zipfile.BadZipFile, RuntimeError) as error:
            raise RecordingError(f"{name}: cannot be read: {error}") from error


def recorded_at(name: str) -> datetime | None:
    """Return the time in a name such as `20250910T053659Z__x.json`; None if it has none.

    The last part of a path that has a time counts: the file itself, or one of its folders.

    Raises:
        RecordingError: The name has the digits of a time, but there is no such time.
    """
    for part in reversed(PurePosixPath(name).parts):
        found = _TIME.search(part)
        if found is None:
            continue
        *numbers, fraction = found.groups()
        microsecond = int((fraction or "0").ljust(6, "0"))
        try:
            return datetime(*map(int, numbers), microsecond, tzinfo=UTC)  # type: ignore[misc,arg-type]  # six numbers
        except ValueError:
            raise RecordingError(f"{name}: the name holds an invalid time") from None
    return None


def _is_body(path: Path) -> bool:
    return path.suffix == ".json" and path.is_file()


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise RecordingError(f"{path}: there is no such folder or file") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise RecordingError(f"{path}: neither a folder nor a readable zip: {error}") from error
