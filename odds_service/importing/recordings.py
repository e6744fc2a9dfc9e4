"""Recorded bodies in files and zips, in the order of their times."""

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath
from statistics import median
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from odds_service.errors import OddsServiceError, SourceError
from odds_service.recorded_files import ClosedOnExit, RecordedFiles, recorded_at
from odds_service.sources.recorded import Look, RecordedReader
from odds_service.store import Report, unreported

MOST_OPEN: Final = 32  # zips at once: recordings of several listings may alternate between theirs
USUAL_INTERVAL_S: Final = 60.0  # of a source whose bodies do not show it
_LONGEST_INTERVAL_S: Final = 1e7

Read = Callable[[Path, str], bytes]


class Recording(Struct, frozen=True):
    """One recorded body.

    Attributes:
        at: The time of its recording, aware UTC.
        path: The folder, zip or file that holds it.
        name: Its name there.
        key: The key of the pull that it answers.
    """

    at: datetime
    path: Path
    name: str
    key: str

    @property
    def place(self) -> str:
        """The file, for people."""
        return str(self.path / self.name) if self.path.name != self.name else str(self.path)


class Recordings(ClosedOnExit):
    """All bodies below some paths, in the order of their times.

    A context manager that keeps zips open. Blocking: use it in a thread.

    Attributes:
        all: The bodies; those that cannot be read are among them if they have a time.
    """

    def __init__(
        self, paths: Sequence[Path], reader: RecordedReader, report: Report = unreported
    ) -> None:
        """Look at every body.

        Args:
            paths: Folders with their subfolders, zips, and single files.
            reader: The reader of the source.
            report: Gets the progress.

        Raises:
            OddsServiceError: A path or a file cannot be read, a body has no time, or none of them
                is a body of the source.
        """
        self._open: OrderedDict[Path, RecordedFiles] = OrderedDict()
        self.all: list[Recording] = []
        try:
            found = [place for path in paths for place in self._places(path)]
            looks: list[tuple[Recording, bool]] = []
            failures: list[str] = []
            for number, (path, name) in enumerate(found, 1):
                recording, failure = self._look(path, name, reader)
                looks.append((recording, not failure))
                failures += [failure] if failure else []
                report("files looked at", number, len(found))
            if len(failures) == len(found):
                first = failures[0] if failures else "there is no .json file"
                raise OddsServiceError(f"nothing to import: {first}")
            self.all = _keyed(looks)
            self.all.sort(key=lambda each: (each.at, str(each.path), each.name))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the zips."""
        while self._open:
            self._open.popitem()[1].close()

    def between(self, since: datetime | None, until: datetime | None) -> list[Recording]:
        """Return the bodies recorded at or after `since` and before `until`; None for no bound."""
        return [
            each
            for each in self.all
            if (since is None or each.at >= since) and (until is None or each.at < until)
        ]

    def read(self, recording: Recording) -> bytes:
        """Return a body. Raises RecordingError."""
        return self._files(recording.path).read(recording.name)

    def _places(self, path: Path) -> Iterator[tuple[Path, str]]:
        """Yield the files of a path, and those in the zips below it."""
        for name in self._files(path).names():
            yield path, name
        if path.is_dir():
            for inner in sorted(path.rglob("*.zip")):
                for name in self._files(inner).names():
                    yield inner, name

    def _files(self, path: Path) -> RecordedFiles:
        files = self._open.pop(path, None)
        if files is None:
            files = RecordedFiles(path)
            while len(self._open) >= MOST_OPEN:
                self._open.popitem(last=False)[1].close()
        self._open[path] = files
        return files

    def _look(self, path: Path, name: str, reader: RecordedReader) -> tuple[Recording, str]:
        """Return a body's recording, and why its content cannot be read, empty if it can."""
        look, failure = Look(""), ""
        try:
            look = reader.look(self._files(path).read(name))
        except SourceError as error:
            failure = f"{path / name}: {error.kind}: {error}"
        at = look.recorded_at or recorded_at(name) or recorded_at(path.name)
        if at is None:
            why = failure or (
                f"{path / name}: neither its name nor its content has its time; name it like"
                " 20250910T053659Z__any.json, in UTC"
            )
            raise OddsServiceError(why)
        return Recording(at, path, name, look.key), failure


def interval_s(recordings: Sequence[Recording]) -> float:
    """Return the median seconds between two bodies that answer the same pull."""
    last: dict[str, datetime] = {}
    gaps = []
    for each in recordings:
        if each.key in last and each.at > last[each.key]:
            gaps.append((each.at - last[each.key]).total_seconds())
        last[each.key] = each.at
    return min(median(gaps), _LONGEST_INTERVAL_S) if gaps else USUAL_INTERVAL_S


def _keyed(looks: Sequence[tuple[Recording, bool]]) -> list[Recording]:
    """Return recordings with keys also for bodies that do not tell theirs.

    Such a body has the key in its file's name, or else the only key of its folder or zip.

    Raises:
        OddsServiceError: There are several; the text names the file.
    """
    keys: defaultdict[tuple[Path, PurePosixPath], Counter[str]] = defaultdict(Counter)
    for recording, _ in looks:
        if recording.key:
            keys[_folder(recording)][recording.key] += 1
    every = {key for beside in keys.values() for key in beside}
    found = []
    for recording, readable in looks:
        if not recording.key:
            beside = keys[_folder(recording)]
            stem = PurePosixPath(recording.name).stem
            named = next((key for key in every if key in {stem, stem.partition("__")[2]}), None)
            key = named or (next(iter(beside)) if len(beside) == 1 else "")
            if not key and readable:
                raise OddsServiceError(
                    f"{recording.place}: it shows no event, and the files beside it are of"
                    f" {len(beside)} pulls: name it after its own, as in"
                    " 20250910T053659Z__soccer_epl.json"
                )
            recording = replace(recording, key=key)
        found.append(recording)
    return found


def _folder(recording: Recording) -> tuple[Path, PurePosixPath]:
    path, name = recording.path, PurePosixPath(recording.name)
    return (path.parent if path.is_file() and path.suffix == ".json" else path), name.parent
