"""The targets of the faults of files: a service on a SQLite file, on a disk of its own."""

import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Final

from tests.faults.processes import Bookmaker, Served
from tests.faults.rig import REFUSED_EVERY, WAIT_S, Run, write_settings
from tests.support.disks import SmallDisk, no_disks, small_disk
from tests.support.ports import free_port

DISK_BYTES: Final = 4 * 2**30  # memory is taken only as the database grows


class SqliteRig(Run):
    """The parts of one run; `disk` is None where none can be mounted."""

    def __init__(self, path: Path, disk: SmallDisk | None, bookmaker: Bookmaker, served: Served):
        super().__init__(bookmaker, served)
        self.path = path
        self.url = f"sqlite:///{path}"
        self.disk = disk

    def rows(self, query: str) -> list[list[str]]:
        with closing(sqlite3.connect(self.path, timeout=WAIT_S)) as database:
            found = database.execute(query).fetchall()
        return [["" if value is None else str(value) for value in row] for row in found]

    def struck(self) -> dict[str, int]:
        return {}

    @contextmanager
    def away(self) -> Iterator[Path]:
        """Rename the file for as long as the context is open; yield its other path."""
        away = self.path.with_name("away.db")
        self.path.rename(away)
        try:
            yield away
        finally:
            away.replace(self.path)

    def side(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)


@asynccontextmanager
async def rigged_sqlite(folder: Path) -> AsyncIterator[SqliteRig]:
    """Start everything and yield it; end all processes afterwards."""
    with ExitStack() as ends:
        at_disk, disk = folder / "disk", None
        if no_disks():
            at_disk.mkdir()
        else:
            disk = ends.enter_context(small_disk(at_disk, DISK_BYTES))
        path = at_disk / "odds.db"
        bookmaker = Bookmaker(folder)
        ends.callback(bookmaker.stop)
        _refusing(path)
        address = f"127.0.0.1:{free_port()}"  # one for all runs: the witness reconnects to it
        served = Served(folder, _settings(folder, address, path, bookmaker), address)
        ends.callback(served.discard)
        await served.start()
        rig = SqliteRig(path, disk, bookmaker, served)
        with closing(rig.witness):
            yield rig


def _refusing(path: Path) -> None:
    """Make the tables, then make the database refuse some rows, by a trigger."""
    done = subprocess.run(
        [sys.executable, "-m", "odds_service", "db", "upgrade", "--database", f"sqlite:///{path}"],
        capture_output=True, text=True, check=False, timeout=WAIT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    with closing(sqlite3.connect(path)) as database:
        database.execute(
            "CREATE TRIGGER refused_by_the_test BEFORE INSERT ON odds_history"
            f" WHEN NEW.kind <> 0 AND NEW.revision % {REFUSED_EVERY} = 0"
            " BEGIN SELECT RAISE(ABORT, 'refused_by_the_test'); END"
        )


def _settings(folder: Path, address: str, path: Path, bookmaker: Bookmaker) -> Path:
    spills = folder / "spills"
    spills.mkdir()
    where = f'url = "sqlite:///{path}"\nspill_folder = "{spills}"'
    return write_settings(folder, address, where, bookmaker)
