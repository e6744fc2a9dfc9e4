"""The disk of the database is full: the writer waits, a stop spills elsewhere, nothing is lost."""

import json
import signal
from pathlib import Path

import trio

from odds_service.demo.bookmaker import SimulatedBookmaker
from tests.e2e.test_life import BUSY, Process, bookmaker, config, stored
from tests.support.disks import small_disk


async def test_a_stop_on_a_full_disk_spills_to_another_one(tmp_path: Path) -> None:
    spills = tmp_path / "spills"
    spills.mkdir()
    with small_disk(tmp_path / "disk", 2**26) as disk:
        async with bookmaker(BUSY) as (port, _):
            settings = config(disk.folder, port, SimulatedBookmaker(BUSY).sport_keys)
            text = settings.read_text().replace("[log]", f'spill_folder = "{spills}"\n[log]')
            settings.write_text(text + "[shutdown]\ndrain_s = 0.5\n")
            served = Process(settings)
            await served.logged("serving")
            await trio.to_thread.run_sync(disk.fill)
            away = await served.logged("storage_away")
            assert "database or disk is full" in str(away["reason"])
            served.process.send_signal(signal.SIGTERM)
            assert await served.end() == 0
            (spilled,) = [json.loads(line) for line in served.log if "changes_spilled" in line]
            assert Path(spilled["path"]).parent == spills
            await trio.to_thread.run_sync(disk.free)
            again = Process(settings)
            replayed = await again.logged("spill_stored")
            again.process.send_signal(signal.SIGTERM)
            assert await again.end() == 0
        assert replayed["last"] == spilled["to_revision"]
        assert not list(spills.iterdir())
        query = "SELECT count(DISTINCT revision), max(revision) FROM odds_history WHERE kind > 0"
        ((rows, last),) = stored(disk.folder / "odds.db", query)
        assert rows == last
        assert isinstance(last, int)
        assert last >= spilled["to_revision"]
