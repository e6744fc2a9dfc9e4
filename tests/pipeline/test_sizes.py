"""The growth of a database is told from measured samples, and absent until then."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from odds_service.bridge import open_bridge
from odds_service.clock import DrivenClock
from odds_service.delays import Delays
from odds_service.pipeline.sizes import LEAST_SPAN_S, Sizes, measure_by_clock
from odds_service.status import Disk, StorageReport
from odds_service.storage import open_store
from odds_service.store import Store
from tests.support.observations import NOON

GIGABYTE = 10**9


class Growing:
    """A SQLite file that a test extends by hand, on a clock of its own."""

    def __init__(self, store: Store, path: Path) -> None:
        self.now = NOON
        self.clock = DrivenClock(lambda: self.now)
        self.sizes = Sizes()
        self.store = store
        self.path = path

    async def after(self, seconds: float, extra_bytes: int = 0) -> StorageReport:
        """Let time pass and the spill grow, then measure."""
        self.now += timedelta(seconds=seconds)
        spill = self.path.with_name(self.path.name + ".spill")
        with spill.open("ab") as file:
            file.write(b"x" * extra_bytes)
        await self.sizes.measure(self.store, self.clock)
        assert self.sizes.report is not None
        return self.sizes.report


async def test_growth_is_unknown_for_an_hour_and_then_the_measured_one(tmp_path: Path) -> None:
    path = tmp_path / "odds.db"
    async with open_bridge(), open_store(f"sqlite:///{path}") as store:
        await store.begin()
        growing = Growing(store, path)
        first = await growing.after(0)
        assert (first.growth_bytes_per_day, first.full_in_days) == (None, None)
        assert first.measured_at == NOON
        assert first.total_bytes == sum(
            path.with_name(name).stat().st_size
            for name in ("odds.db", "odds.db-wal", "odds.db.spill")
        )
        for _ in range(59):
            assert (await growing.after(60, 1_000)).growth_bytes_per_day is None
        told = await growing.after(60, 1_000)
        assert told.growth_span_s == LEAST_SPAN_S
        assert told.growth_bytes_per_day == pytest.approx(1_000 * 1_440)
        (disk,) = [disk for disk in told.disks if disk.place == "database"]
        assert disk.size_bytes == shutil.disk_usage(tmp_path).total
        assert told.full_in_days == pytest.approx(disk.free_bytes / 1_440_000)
        # A day later, the first hours count no more.
        for _ in range(24):
            told = await growing.after(3_600)
        assert told.growth_span_s <= 86_400
        assert told.growth_bytes_per_day == 0
        assert told.full_in_days is None
        path.with_name("odds.db.spill").write_bytes(b"")
        told = await growing.after(60)
        assert told.growth_bytes_per_day is not None
        assert told.growth_bytes_per_day < 0
        assert told.full_in_days is None

        restarted = Growing(store, path)
        assert (await restarted.after(0)).growth_bytes_per_day is None


def test_days_until_full_are_known_only_with_growth_and_a_disk() -> None:
    report = StorageReport(
        measured_at=NOON, parts={"database": 1}, disks=[Disk("database", 3 * GIGABYTE, GIGABYTE)],
        growth_bytes_per_day=1.5 * GIGABYTE, growth_span_s=3_600.0,
    )  # fmt: skip
    assert report.full_in_days == 2
    for growth in (None, 0.0, -1.0):
        assert replace(report, growth_bytes_per_day=growth).full_in_days is None
    elsewhere = [Disk("spill", 1, 1)]
    assert replace(report, disks=elsewhere).full_in_days is None


async def test_a_folder_that_is_gone_leaves_the_size_unknown_until_it_is_back(
    tmp_path: Path,
) -> None:
    folder, away = tmp_path / "mounted", tmp_path / "away"
    folder.mkdir()
    async with open_bridge(), open_store(f"sqlite:///{folder / 'odds.db'}") as store:
        await store.begin()
        sizes, clock = Sizes(), DrivenClock(lambda: NOON)
        await sizes.measure(store, clock)
        assert sizes.report is not None
        folder.rename(away)
        with pytest.raises(OSError, match="No such file"):
            await sizes.measure(store, clock)
        assert sizes.report is None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(measure_by_clock, store, sizes, Delays(), clock)  # goes on
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert sizes.report is None
            nursery.cancel_scope.cancel()
        away.rename(folder)
        await sizes.measure(store, clock)
        assert sizes.report is not None


async def test_a_database_in_memory_has_no_size() -> None:
    async with open_bridge(), open_store("memory:") as store:
        await store.begin()
        sizes = Sizes()
        await sizes.measure(store, DrivenClock(lambda: NOON))
        assert sizes.report is None
