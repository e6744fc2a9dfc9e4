"""Files that appear under their name only once they are complete."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from odds_service.errors import OddsServiceError


class NewFile:
    """A file that is written beside its place.

    Raises:
        OddsServiceError: The file cannot be made or put into its place.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with told(path):
            self._file = tempfile.NamedTemporaryFile(  # noqa: SIM115  # closed by put or abandon
                dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False
            )
        self._beside = Path(self._file.name)

    @property
    def file(self) -> IO[bytes]:
        return self._file

    def put(self, path: Path | None = None, *, replace: bool = False) -> None:
        """Put the file into its place, on the disk.

        Args:
            path: Another name in the same folder; None for the one it was made for.
            replace: Replace a file of that name; otherwise that is an error.
        """
        place = path or self._path
        try:
            with told(place):
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                self._beside.chmod(0o666 & ~_umask())
                if replace:
                    self._beside.replace(place)
                else:
                    os.link(self._beside, place)  # unlike a rename, this fails if it exists by now
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Forget what was written, unless it is in its place."""
        self._file.close()
        self._beside.unlink(missing_ok=True)


@contextmanager
def new_file(path: Path, *, replace: bool = False) -> Iterator[IO[bytes]]:
    """Open a file that appears under its name only once it is complete.

    Args:
        path: The file.
        replace: Replace a file of that name.

    Raises:
        OddsServiceError: The file exists and is not to be replaced, or cannot be written.
    """
    if path.exists() and not replace:
        raise OddsServiceError(f"{path} exists; it is not overwritten")
    begun = NewFile(path)
    try:
        with told(path):
            yield begun.file
        begun.put(replace=replace)
    finally:
        begun.abandon()


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn errors of the file system into ours, which name the file."""
    try:
        yield
    except FileExistsError:
        raise OddsServiceError(f"{path} exists by now; it is not overwritten") from None
    except OSError as error:
        raise OddsServiceError(f"{path} cannot be written: {error.strerror}") from None


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
