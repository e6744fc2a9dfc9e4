"""Start, restart and stop of the whole service, as its clients see them."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import grpc
import pytest
import trio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from odds_service.demo.bookmaker import SimulatedBookmaker, run_bookmaker
from odds_service.demo.settings import SimulationSettings
from odds_service.pipeline.detect import Detector
from odds_service.service import Running, run_service
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.observations import cached
from tests.support.serving import call, service, settings_for, status_of, wait_until
from tests.support.watching import Fold, Odds, odds_in, watching

BUSY = SimulationSettings(
    sports=2, events=12, bookmakers=3, markets_per_bookmaker=6, change_share=0.3,
    event_absence_share=0.02, in_play_s=20.0, lead_s=60.0,
)  # fmt: skip
STILL = SimulationSettings(sports=1, events=6, bookmakers=3, pace="clock", step_s=1e9)


@asynccontextmanager
async def bookmaker(settings: SimulationSettings) -> AsyncIterator[tuple[int, dict[str, object]]]:
    """Yield a simulated bookmaker's port, and the source settings that fetch all of its odds."""
    offer = SimulatedBookmaker(settings)
    async with trio.open_nursery() as nursery:
        port = await nursery.start(partial(run_bookmaker, settings))
        table = {"regions": list(settings.regions), "markets": list(offer.market_keys)}
        yield port, {"sports": offer.sport_keys, "interval_s": 0.05} | table
        nursery.cancel_scope.cancel()


def stored(path: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as database:
        rows = database.execute(query).fetchall()
    database.close()
    return rows


def flat(running: Running) -> Odds:
    """Return the service's cache in the shape of a client's map."""
    return {
        (event, source, bookmaker, key.market, float(key.line) if key.line else None,
         key.participant): (int(status), outcomes)
        for (event, source, bookmaker, key), (status, outcomes)
        in cached(running.parts.cache.events).items()
    }  # fmt: skip


async def test_reading_and_then_watching_misses_nothing_and_sees_nothing_twice(
    tmp_path: Path,
) -> None:
    async with bookmaker(BUSY) as (port, table):
        async with service(settings_for(tmp_path, port, **table)) as running:  # type: ignore[arg-type]  # a table
            feed = running.parts.feed
            await wait_until(lambda: feed.head_revision > 500, "some odds")
            for turn in range(5):
                reply = await call(
                    running.address, lambda stub: stub.GetOdds(pb.GetOddsRequest(), timeout=30)
                )
                fold = Fold(odds_in(iter(reply.events)), reply.cursor)
                request = pb.WatchChangesRequest(resume=reply.cursor)
                with watching(running.address, request, fold) as watcher:
                    target = feed.head_revision + 100
                    await wait_until(lambda target=target: feed.head_revision >= target, "changes")  # type: ignore[misc]  # a default
                    await watcher.reach(target)
                    assert fold.opened is not None
                    assert fold.opened.intent != pb.INTENT_IMAGE, turn
                    first = fold.changes[0].revision
                    seen = [change.revision for change in fold.changes]
                    assert first == reply.cursor.revision + 1
                    assert seen == list(range(first, first + len(seen)))


class UpTo(Fold):
    """A fold that keeps its odds at one revision, in the thread that folds."""

    head = -1
    at_head: Odds | None = None

    def take(self, message: pb.WatchChangesResponse) -> None:
        super().take(message)
        if self.cursor is not None and self.cursor.revision == self.head:
            self.at_head = dict(self.odds)


async def test_the_ordered_stop_loses_nothing_and_a_restart_resumes_every_cursor(
    tmp_path: Path,
) -> None:
    async with bookmaker(BUSY) as (port, table):
        settings = settings_for(tmp_path, port, **table)  # type: ignore[arg-type]  # a table
        fold = UpTo()
        async with service(settings) as running:
            feed = running.parts.feed
            with watching(running.address, fold=fold) as watcher:
                await wait_until(lambda: feed.head_revision > 500, "some odds")
                await watcher.reach(500)
        fold.head = head = feed.head_revision
        at_the_end = flat(running)
        assert feed.durable_revision == head
        ((durable,),) = stored(tmp_path / "odds.db", "SELECT durable_revision FROM feed_state")
        ((rows, last),) = stored(
            tmp_path / "odds.db", "SELECT count(*), max(revision) FROM odds_history"
        )
        assert (durable, rows, last) == (head, head, head)
        assert fold.cursor is not None
        fold.opened, resumed = None, fold.cursor
        async with service(settings) as again:
            assert again.parts.stored.revision == head
            assert cached({e.event.id: e for e in again.parts.stored.events}) == cached(
                running.parts.cache.events
            )
            with watching(again.address, pb.WatchChangesRequest(resume=resumed), fold) as watcher:
                opened = await watcher.begun()
                assert opened.intent != pb.INTENT_IMAGE
                await watcher.reach(head)
            if fold.at_head is not None:  # it was not passed within one message
                assert fold.at_head == at_the_end


async def test_a_stop_is_told_to_who_watches_the_health(tmp_path: Path) -> None:
    async with bookmaker(STILL) as (port, table):
        settings = settings_for(tmp_path, port, **table)  # type: ignore[arg-type]  # a table
        told: list[int] = []
        async with trio.open_nursery() as nursery:
            async with service(settings) as running:

                def watch() -> None:
                    with grpc.insecure_channel(running.address) as channel:
                        stub = health_pb2_grpc.HealthStub(channel)
                        for reply in stub.Watch(health_pb2.HealthCheckRequest(), timeout=60):
                            told.append(reply.status)
                            if len(told) == 2:
                                return

                nursery.start_soon(trio.to_thread.run_sync, watch)
                await wait_until(lambda: bool(told), "the first answer")
    answer = health_pb2.HealthCheckResponse
    assert told == [answer.SERVING, answer.NOT_SERVING]


async def test_a_restart_with_the_same_odds_writes_no_row(tmp_path: Path) -> None:
    async with bookmaker(STILL) as (port, table):
        settings = settings_for(tmp_path, port, **table)  # type: ignore[arg-type]  # a table
        counts = []
        for _ in range(3):
            async with service(settings) as running:
                (scraper,) = running.parts.scrapers.values()
                await wait_until(lambda scraper=scraper: scraper.counts.pulls > 3, "pulls")  # type: ignore[misc]  # a default
                assert scraper.counts.failures == 0
            tables = ("odds_history", "odds_current", "snapshots", "events", "source_states")
            counts.append(
                [stored(tmp_path / "odds.db", f"SELECT count(*) FROM {name}") for name in tables]  # noqa: S608  # ours
            )
        assert counts[0] == counts[1] == counts[2]
        assert counts[0][0] != [(0,)]


async def test_status_tells_sources_and_queues(tmp_path: Path) -> None:
    async with bookmaker(STILL) as (port, table):
        async with service(settings_for(tmp_path, port, **table)) as running:  # type: ignore[arg-type]  # a table
            feed = running.parts.feed
            await wait_until(lambda: 0 < feed.head_revision == feed.durable_revision, "odds")
            status = await status_of(running.address)
    (source,) = status.sources
    assert source.state.state == pb.SOURCE_HEALTH_UP
    assert source.state.quota_left > 0
    assert status.durable_revision == status.head_revision
    assert status.events > 0
    assert {channel.unit for channel in status.channels} == {"observations", "changes"}
    assert "secret-key" not in str(status)


def config(folder: Path, port: int, sports: list[str]) -> Path:
    path = folder / "odds.toml"
    path.write_text(
        f"""
        [server]
        listen = "127.0.0.1:0"
        [database]
        url = "sqlite:///{folder / "odds.db"}"
        [log]
        format = "json"
        [[sources]]
        kind = "the-odds-api"
        url = "http://127.0.0.1:{port}"
        api_key = "secret-key"
        sports = {json.dumps(sports)}
        interval_s = 0.05
        """
    )
    return path


class Process:
    """`odds-service serve` as a process, and its log lines."""

    def __init__(self, settings: Path) -> None:
        command = [sys.executable, "-m", "odds_service", "serve", "--config", str(settings)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.log: list[str] = []

    async def logged(self, event: str) -> dict[str, object]:
        return await trio.to_thread.run_sync(self._logged, event)

    def _logged(self, event: str) -> dict[str, object]:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            entry: dict[str, object] = json.loads(line)
            if entry["event"] == event:
                return entry
        raise AssertionError(f"no {event} in {self.log}")

    async def end(self) -> int:
        return await trio.to_thread.run_sync(self._end)

    def _end(self) -> int:
        assert self.process.stderr is not None
        self.log += self.process.stderr.readlines()
        self.process.stderr.close()
        return self.process.wait(30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_ends_with_0_and_no_secret_is_logged(
    number: signal.Signals, tmp_path: Path
) -> None:
    async with bookmaker(BUSY) as (port, _):
        sports = SimulatedBookmaker(BUSY).sport_keys
        served = Process(config(tmp_path, port, sports))
        address = str((await served.logged("serving"))["address"])
        with watching(address) as watcher:
            await watcher.reach(200)
            served.process.send_signal(number)
            await trio.to_thread.run_sync(watcher.wait_ended)
            fold = watcher.fold
        assert await served.end() == 0
        assert fold.closing is not None
        assert watcher.error is not None
        assert watcher.error.code().name == "UNAVAILABLE"
    ((durable,),) = stored(tmp_path / "odds.db", "SELECT durable_revision FROM feed_state")
    assert isinstance(durable, int)
    assert fold.cursor is not None
    assert fold.cursor.revision <= durable
    text = "".join(served.log)
    assert "secret-key" not in text
    assert "Traceback" not in text


async def test_killed_in_the_middle_it_starts_again_by_itself(tmp_path: Path) -> None:
    async with bookmaker(BUSY) as (port, _):
        settings = config(tmp_path, port, SimulatedBookmaker(BUSY).sport_keys)
        for _ in range(3):
            served = Process(settings)
            address = str((await served.logged("serving"))["address"])
            start = (await status_of(address)).head_revision
            with watching(address) as watcher:
                await watcher.reach(start + 150)
            with trio.fail_after(60):  # the committed rows are compared below
                while (await status_of(address)).durable_revision <= start:  # noqa: ASYNC110  # it is another process
                    await trio.sleep(0.02)
            os.kill(served.process.pid, signal.SIGKILL)
            assert await served.end() == -signal.SIGKILL
    path = tmp_path / "odds.db"
    ((durable,),) = stored(path, "SELECT durable_revision FROM feed_state")
    ((rows, last),) = stored(path, "SELECT count(*), max(revision) FROM odds_history")
    assert rows == last == durable
    assert len(stored(path, "SELECT epoch FROM epochs")) == 3


async def test_a_second_signal_stops_at_once_and_the_next_start_stores_the_rest(
    tmp_path: Path,
) -> None:
    async with bookmaker(BUSY) as (port, _):
        settings = config(tmp_path, port, SimulatedBookmaker(BUSY).sport_keys)
        served = Process(settings)
        await served.logged("serving")
        lock = sqlite3.connect(tmp_path / "odds.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")  # nothing can be drained from here on
        await served.logged("storage_away")
        served.process.send_signal(signal.SIGTERM)
        await served.logged("stopping")
        served.process.send_signal(signal.SIGTERM)
        began = trio.current_time()
        code = await served.end()
        took_s = trio.current_time() - began
        lock.close()
        assert code == 0
        assert took_s < 15  # SQLite's own wait for the lock is 5 s; draining would take 20 s
        (spilled,) = [json.loads(line) for line in served.log if "changes_spilled" in line]
        again = Process(settings)
        replayed = await again.logged("spill_stored")
        again.process.send_signal(signal.SIGTERM)
        assert await again.end() == 0
    assert replayed["last"] == spilled["to_revision"]
    query = "SELECT count(DISTINCT revision), max(revision) FROM odds_history WHERE kind > 0"
    ((rows, last),) = stored(tmp_path / "odds.db", query)
    assert rows == last >= spilled["to_revision"]


async def test_a_stop_that_can_leave_its_changes_nowhere_says_so_and_fails(tmp_path: Path) -> None:
    async with bookmaker(BUSY) as (port, _):
        settings = config(tmp_path, port, SimulatedBookmaker(BUSY).sport_keys)
        settings.write_text(settings.read_text() + "[shutdown]\ndrain_s = 0.5\n")
        served = Process(settings)
        await served.logged("serving")
        (tmp_path / "odds.db.spill.part").mkdir()  # in the place of the spill file
        with closing(sqlite3.connect(tmp_path / "odds.db", isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            await served.logged("storage_away")
            served.process.send_signal(signal.SIGTERM)
            assert await served.end() == 1
    (lost,) = [json.loads(line) for line in served.log if "changes_not_stored" in line]
    last = served.log[-1]
    assert last.startswith(f"error: {lost['changes']} changes, revisions {lost['from_revision']}")
    assert "neither stored nor spilled" in last
    assert not any("Traceback" in line for line in served.log)


async def test_a_crash_of_a_core_task_brings_the_service_down_with_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise LookupError("a bug in detect")

    monkeypatch.setattr(Detector, "apply", crash)
    async with bookmaker(STILL) as (port, table):
        settings = settings_for(tmp_path, port, **table)  # type: ignore[arg-type]  # a table
        with pytest.RaisesGroup(
            pytest.RaisesExc(LookupError, match="a bug in detect"), flatten_subgroups=True
        ):
            with trio.fail_after(30):
                await run_service(settings, trio.Event())


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[server]\nlisten = 'nowhere'", "nowhere"),
        ("[database]\nurl = 'mysql://u:hunter2@h/d'", "mysql is not supported"),
        ("[[sources]]\nkind = 'unheard-of'", "unheard-of"),
        ("[[sources]]\nkind = 'the-odds-api'\nsports = ['s']\nsport = 's'", "unknown key"),
        ("[[sources]]\nkind = 'the-odds-api'\nsports = ['s']", "ODDS_API_KEY"),
        ("[[sources]]\nname = 'x'", "no `kind`"),
    ],
)
def test_a_setting_that_is_wrong_is_one_line_and_exit_code_1(
    line: str, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "odds.toml"
    path.write_text(line)
    environment = {k: v for k, v in os.environ.items() if k != "ODDS_API_KEY"}
    ended = subprocess.run(
        [sys.executable, "-m", "odds_service", "serve", "--config", str(path)],
        capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )  # fmt: skip
    assert ended.returncode == 1, ended.stderr
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "hunter2" not in ended.stderr
