"""A long history is exported in bounded memory, beside a service that stays on target."""

import os
import time
from functools import partial
from pathlib import Path
from typing import Final

import psutil
import pyarrow.parquet as parquet
import pytest
import trio

from odds_service.demo.bookmaker import SimulatedBookmaker, run_bookmaker
from odds_service.demo.settings import SimulationSettings
from odds_service.service import Running
from tests.support.command_line import COMMAND, ENVIRONMENT
from tests.support.serving import service, settings_for, status_of, wait_until
from tools.benchmarks.storage import filled

CHANGES: Final = int(os.environ.get("EXPORT_CHANGES", "10000000"))
MOST_BYTES: Final = 300 * 2**20
LEAST_IN_TIME: Final = 0.99  # of the fetches during the export

OFFER: Final = SimulationSettings(seed=3)

pytestmark = pytest.mark.long


async def test_a_long_history_is_exported_in_bounded_memory_beside_a_service(
    tmp_path: Path,
) -> None:
    """EXPORT_CHANGES sets the number of changes, ten million unless given."""
    database, folder = tmp_path / "odds.db", tmp_path / "odds"
    stored = await trio.to_thread.run_sync(trio.run, filled, database, CHANGES)
    offer = SimulatedBookmaker(OFFER)
    table = {"regions": list(OFFER.regions), "markets": list(offer.market_keys)}
    command = [*COMMAND, "export", str(folder), "--database", f"sqlite:///{database}"]
    async with trio.open_nursery() as nursery:
        port = await nursery.start(partial(run_bookmaker, OFFER))
        settings = settings_for(
            tmp_path, port, offer.sport_keys, interval_s=1.0, name="live", **table
        )
        async with service(settings) as running:
            await wait_until(lambda: running.parts.cache.events != {}, "odds")
            before, began = await fetches(running), time.monotonic()
            export = psutil.Popen(command, env=ENVIRONMENT)
            most = 0
            while export.poll() is None:
                most = max(most, memory(export))
                await trio.sleep(0.2)
            took_s, after = time.monotonic() - began, await fetches(running)
        nursery.cancel_scope.cancel()
    assert export.returncode == 0
    in_time, late = (now - then for now, then in zip(after, before, strict=True))
    files = sorted((folder / "prices").rglob("*.parquet"))
    rows = sum(parquet.read_metadata(path).num_rows for path in files)
    print(  # noqa: T201  # figures for docs/reliability.md
        f"\n{stored:,} changes before the start, {rows:,} rows in {len(files)} files,"
        f" {sum(path.stat().st_size for path in files) / 2**20:,.0f} MiB, in {took_s:.0f} s:"
        f" at most {most / 2**20:.0f} MiB, {in_time} fetches in time, {late} late"
    )
    assert rows > stored
    assert most < MOST_BYTES
    assert in_time / (in_time + late) >= LEAST_IN_TIME


async def fetches(running: Running) -> tuple[int, int]:
    """Return the numbers of fetches so far that came in time, and of those that were late."""
    (source,) = (await status_of(running.address)).sources
    return sum(each.in_time for each in source.freshness), sum(
        each.late for each in source.freshness
    )


def memory(process: psutil.Popen) -> int:
    """Return the resident bytes of a process; 0 once it has ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
