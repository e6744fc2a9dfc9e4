"""A table as a folder of Parquet files, each of a range of revisions and of one day.

A file appears once it is complete, and its name tells its range, so that a later run begins behind
the last one. What a killed run leaves is a hidden file, which the next run removes.
"""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Final

from odds_service.columns.files import ParquetWriter
from odds_service.columns.new_files import NewFile, told
from odds_service.columns.reading import Page
from odds_service.columns.schema import Table

PART_REVISIONS: Final = 1_000_000  # of a file, after which a run that is killed goes on
_NAME: Final = re.compile(r"([0-9]{12})-([0-9]{12})\.parquet")


class Dataset:
    """A writer of one table below a folder.

    Args:
        folder: The folder of the table; it is made if it is missing.
        table: The table.
        part_revisions: The most revisions in one file.

    Raises:
        OddsServiceError: The folder cannot be written to.

    Attributes:
        reached: The revision up to which the files hold everything.
    """

    def __init__(self, folder: Path, table: Table, part_revisions: int = PART_REVISIONS) -> None:
        self._folder = folder
        self._table = table
        self._part_revisions = part_revisions
        with told(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.rglob(".*.part"):
                left.unlink(missing_ok=True)
        self.reached = max((upto for _, upto in self.ranges()), default=0)
        self.rows = 0
        self._begun: tuple[date, NewFile, ParquetWriter] | None = None
        self._upto = self.reached

    def ranges(self) -> list[tuple[int, int]]:
        """Return the first and last revisions of the complete files, in order."""
        names = [_NAME.fullmatch(path.name) for path in self._folder.rglob("*.parquet")]
        return sorted((int(name[1]), int(name[2])) for name in names if name)

    def begin_after(self, revision: int) -> None:
        """Begin after a revision, if that is later than the place reached."""
        self.reached = self._upto = max(self.reached, revision)

    def write(self, page: Page) -> None:
        """Append a page, which begins at the place reached."""
        for day, batch in _by_days(page.batch):
            if self._begun is not None and self._begun[0] != day:
                self._end(batch["revision"][0].as_py() - 1)
            if self._begun is None:
                self._begin(day)
            assert self._begun is not None  # noqa: S101  # for the type checker
            self._begun[2].write(batch)
            self.rows += batch.num_rows
        self._upto = page.upto
        if self._upto - self.reached >= self._part_revisions:
            self._end(self._upto)

    def finish(self) -> None:
        """Complete the last file."""
        self._end(self._upto)

    def abandon(self) -> None:
        """Forget the file that is not complete."""
        if self._begun is not None:
            self._begun[1].abandon()
            self._begun = None

    def _begin(self, day: date) -> None:
        folder = self._folder / f"day={day.isoformat()}"
        with told(folder):
            folder.mkdir(exist_ok=True)
        new = NewFile(folder / "rows.parquet")
        self._begun = day, new, ParquetWriter(new.file, self._table)

    def _end(self, upto: int) -> None:
        if self._begun is not None:
            day, new, writer = self._begun
            name = f"{self.reached + 1:012}-{upto:012}.parquet"
            place = self._folder / f"day={day.isoformat()}" / name
            with told(place):
                writer.finish({})
            new.put(place)
            self._begun = None
            self.reached = upto


def _by_days(batch: Any) -> Iterator[tuple[date, Any]]:
    """Yield the rows of each day (UTC) of detection, which never decreases."""
    if not batch.num_rows:
        return
    days = batch["detected_at"].cast("date32")
    starts = [days.index(day).as_py() for day in days.unique()]
    for start, end in zip(starts, [*starts[1:], batch.num_rows], strict=True):
        yield days[start].as_py(), batch.slice(start, end - start)
