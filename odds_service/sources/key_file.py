"""An API key in a file, read again when the file changes."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
import trio

from odds_service.errors import SettingsError
from odds_service.file_mark import file_mark
from odds_service.secrets import hide

LOOK_S: Final = 5.0  # the shortest time between two looks at the file

log = structlog.get_logger(__name__)


def read_key(path: Path, setting: str = "api_key_file") -> str:
    """Return the key in a file. Raises SettingsError, which names the setting and the file."""
    try:
        key = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise SettingsError(f"{setting} {path}: {reason}") from None
    if not key:
        raise SettingsError(f"{setting} {path}: is empty")
    hide(key)
    return key


class KeyFile:
    """A key that follows its file.

    While the file is absent, empty or not text, the last key remains in use, with one warning.

    Args:
        path: the file.
        source: the name of the source, for the log.
        clock: returns seconds that never step back.
        setting: the name of its setting, for errors.

    Attributes:
        key: the key in use.
    """

    def __init__(
        self,
        path: Path,
        source: str,
        clock: Callable[[], float] = time.monotonic,
        *,
        setting: str = "api_key_file",
    ) -> None:
        self._path = path
        self._source = source
        self._clock = clock
        self._mark = file_mark(path)
        self._setting = setting
        self.key = read_key(path, setting)
        self._looked_at = clock()

    async def current(self) -> str:
        """Return the key; it is read again in a worker thread, at most every LOOK_S seconds."""
        now = self._clock()
        if now >= self._looked_at + LOOK_S:
            self._looked_at = now
            await trio.to_thread.run_sync(self._look)
        return self.key

    def _look(self) -> None:
        mark = file_mark(self._path)
        if mark == self._mark:
            return
        self._mark = mark
        try:
            self.key = read_key(self._path, self._setting)
        except SettingsError as error:
            log.warning("key_not_read_again", source=self._source, reason=str(error))
        else:
            log.info("key_read_again", source=self._source, file=str(self._path))
