"""Reloads of a running service: over the API and by SIGHUP, while a client watches."""

import json
import logging
import signal
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
import trio

from odds_service.client import Address, AsyncClient, ServiceError, open_client
from odds_service.config import Settings, load_settings
from odds_service.demo.bookmaker import SimulatedBookmaker, run_bookmaker
from odds_service.demo.settings import SimulationSettings
from odds_service.model.change import SourceChange
from odds_service.reloads import Reloads
from odds_service.service import Running
from odds_service.sources.the_odds_api import TheOddsApiSettings
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.e2e.test_life import BUSY, Process, bookmaker, config, flat, stored
from tests.e2e.test_settings import scraped
from tests.metrics.scraping import Scrape
from tests.support.certificates import make_certificates
from tests.support.command_line import complaint, ran
from tests.support.serving import service, status_of, wait_until
from tests.support.watching import Fold, watching
from tests.test_certificates import pem_of, shown

STILL = SimulationSettings(
    sports=2, events=4, bookmakers=3, markets_per_bookmaker=6, pace="clock", step_s=1e9
)
SPORTS = SimulatedBookmaker(STILL).sport_keys


class File:
    """A settings file of sources at one simulated bookmaker, which the tests edit."""

    def __init__(self, folder: Path, port: int, regions: list[str]) -> None:
        self.path = folder / "odds.toml"
        self.read: Callable[[], Settings] = self.load
        self._folder = folder
        self._common = {
            "kind": "the-odds-api",
            "url": f"http://127.0.0.1:{port}",
            "api_key": "secret-key",
            "regions": regions,
            "interval_s": 0.05,
        }

    def write(self, sources: dict[str, dict[str, Any]], more: str = "") -> None:
        text = f"""
[server]
listen = "127.0.0.1:0"
[metrics]
listen = "127.0.0.1:0"
[database]
url = "sqlite:///{self._folder / "odds.db"}"
{more}
"""
        for name, table in sources.items():
            keys = self._common | {"name": name} | table
            lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())
            text += f"[[sources]]\n{lines}\n"
        self.path.write_text(text)

    def load(self) -> Settings:
        return load_settings(self.path)


@asynccontextmanager
async def reloadable(
    folder: Path, sources: dict[str, dict[str, Any]], simulated: SimulationSettings = STILL
) -> AsyncIterator[tuple[File, Running]]:
    """Yield a settings file, and the service that runs by it."""
    async with trio.open_nursery() as nursery:
        port = await nursery.start(partial(run_bookmaker, simulated))
        file = File(folder, port, list(simulated.regions))
        file.write(sources)
        reloads = Reloads(lambda: file.read())
        async with service(file.load(), reloads=reloads) as running:
            yield file, running
        nursery.cancel_scope.cancel()


async def priced(running: Running, *sources: str) -> None:
    """Wait until each source has odds in the cache."""

    def all_priced() -> bool:
        events = running.parts.cache.events.values()
        return {key[0] for entry in events for key in entry.bookmakers} >= set(sources)

    await wait_until(all_priced, f"odds of {sources}")


def carried(running: Running, source: str) -> int:
    """Return how many bookmakers' odds of a source the cache has."""
    events = running.parts.cache.events.values()
    return sum(key[0] == source for entry in events for key in entry.bookmakers)


async def refused(address: str) -> ServiceError:
    async with open_client(address) as client:
        with pytest.raises(ServiceError) as caught:
            await client.reload()
    return caught.value


async def test_sources_are_added_removed_and_changed_under_a_stream(tmp_path: Path) -> None:
    wide = {"sports": SPORTS, "markets": ["h2h", "totals"]}
    narrow = {"sports": SPORTS[:1], "markets": ["h2h"]}
    async with reloadable(tmp_path, {"one": wide, "two": wide, "same": wide}) as (file, running):
        await priced(running, "one", "two", "same")
        same = running.parts.scrapers["same"]
        fold = Fold()
        with watching(running.address, fold=fold) as watcher:
            file.write({"one": narrow, "three": wide, "same": wide})
            async with open_client(running.address) as client:
                done = await client.reload()
            assert (done.added, done.removed, done.changed, done.unchanged) == (
                ("three",), ("two",), ("one",), ("same",),
            )  # fmt: skip
            assert (done.applied, done.needs_restart) == ((), ())
            assert done.withdrawn > 0
            assert carried(running, "two") == 0
            await watcher.reach(done.cursor.revision)
            withdrawn = [each for each in fold.changes if each.reason == "no_longer_asked"]
            assert {each.source for each in withdrawn if each.source} == {"one", "two"}
            down = [each for each in withdrawn if each.kind == pb.CHANGE_KIND_SOURCE_DOWN]
            assert [each.source for each in down] == ["two"]
            left = [each for each in fold.changes if each.reason == "source_left"]
            assert len(withdrawn) + len(left) - len(down) == done.withdrawn
            await priced(running, "three")
            await watcher.level(lambda: running.parts.feed.head_revision)
            assert fold.odds == flat(running)
            asks = tmp_path / "odds.db", "SELECT source FROM source_asks ORDER BY source"
            await wait_until(lambda: stored(*asks) == [("one",), ("same",), ("three",)], "asks")
        assert watcher.error is None or watcher.error.code().name == "CANCELLED"
        assert running.parts.scrapers["same"] is same
        markets = {
            (key[0], market.market)
            for entry in running.parts.cache.events.values()
            for key, odds in entry.bookmakers.items()
            for market in odds.markets
        }
        assert {market for source, market in markets if source == "one"} == {"h2h"}
        status = await status_of(running.address)
        assert [each.state.source for each in status.sources] == ["one", "three", "same"]
        scraped = await scrape(running)
        labels = {dict(pairs).get("source") for _, pairs in scraped.samples}
        assert {"one", "three", "same"} <= labels
        assert "two" not in labels
        async with open_client(running.address) as client:
            assert set((await client.get_odds()).sources) == {
                "one", "three", "same",
            }  # fmt: skip
    # The next start has nothing to withdraw: the asks were stored.
    async with service(file.load()) as again:
        assert again.parts.changed_asks == {}


async def scrape(running: Running) -> Scrape:
    async with httpx.AsyncClient() as client:
        return Scrape((await client.get(f"http://{running.metrics}/metrics")).text)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda text: text.replace("[metrics]", "[metrics"), "at line 4"),
        (
            lambda text: text.replace("sports", "sprots"),
            "sprots: unknown key; did you mean `sports`?",
        ),
        (lambda text: text.replace("[metrics]", "[metric]"), "metric: unknown key"),
        (lambda text: text.replace('"the-odds-api"', '"no-such"'), "unknown kind 'no-such'"),
        (lambda text: text.replace("interval_s = 0.05", "interval_s = -1"), "interval_s"),
        (lambda text: text + 'api_key_file = "absent"', "absent"),
        (lambda text: text.replace('"127.0.0.1:0"', '"0.0.0.0:0"', 1), "server.listen"),
    ],
)
async def test_wrong_settings_change_nothing_and_are_named(
    tmp_path: Path, spoil: Callable[[str], str], says: str
) -> None:
    wide = {"sports": SPORTS, "markets": ["h2h", "totals"]}
    async with reloadable(tmp_path, {"one": wide, "two": wide}) as (file, running):
        await scraped(running)
        scrapers, head = dict(running.parts.scrapers), running.parts.feed.head_revision
        file.write({"one": wide | {"api_key": "other-key"}, "three": wide}, '[log]\nlevel="debug"')
        text = spoil(file.path.read_text())
        if "api_key_file" in text:
            text = text.replace('api_key = "secret-key"\n', "")
        file.path.write_text(text)
        with structlog.testing.capture_logs() as logs:
            error = await refused(running.address)
        assert (error.code, error.reason) == ("FAILED_PRECONDITION", "SETTINGS_ERROR")
        assert says in str(error)
        assert "other-key" not in str(error)
        (told,) = [entry for entry in logs if entry["event"] == "reload_refused"]
        assert says in told["reason"]
        assert running.parts.scrapers == scrapers
        # On a busy machine a source may be late meanwhile; of odds and events nothing changed.
        since = [c for b in running.parts.feed.read_after(head, 1_000) or () for c in b.changes]
        assert [change for change in since if not isinstance(change, SourceChange)] == []
        file.write({"one": wide, "two": wide})
        async with open_client(running.address) as client:
            done = await client.reload()
        assert done.unchanged == ("one", "two")
        assert (done.added, done.removed, done.changed, done.applied) == ((), (), (), ())


async def test_other_keys_are_applied_or_named(tmp_path: Path) -> None:
    wide = {"sports": SPORTS}
    async with reloadable(tmp_path, {"one": wide}) as (file, running):
        level = logging.getLogger().level
        file.write({"one": wide}, '[log]\nlevel = "error"\n[retention]\nruns_days = 3')
        named = (
            '[[server.access]]\nname = "operator"\ntoken = "new-token"\n'
            'rights = ["read", "admin"]\n'
        )
        file.path.write_text(
            file.path.read_text().replace("[server]", '[server]\ntokens = ["plain-token"]') + named
        )
        try:
            async with open_client(running.address) as client:
                done = await client.reload()
            assert set(done.applied) == {"server.tokens", "server.access", "log.level"}
            assert done.needs_restart == ("retention.runs_days",)
            assert logging.getLogger().level == logging.ERROR
        finally:
            logging.getLogger().setLevel(level)
        assert (await refused(running.address)).code == "UNAUTHENTICATED"
        async with open_client(Address(running.address, token="plain-token")) as client:
            with pytest.raises(ServiceError, match="needs the right admin"):
                await client.reload()
        async with open_client(Address(running.address, token="new-token")) as client:
            again = await client.reload()
        assert (again.applied, again.needs_restart) == ((), ("retention.runs_days",))


async def test_another_certificate_is_shown_by_the_next_handshake(tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        make_certificates(folder)

    def tls(folder: Path) -> str:
        files = {"tls_certificate": folder / "server.pem", "tls_key": folder / "server.key"}
        return "".join(f'{key} = "{path}"\n' for key, path in files.items())

    async with trio.open_nursery() as nursery:
        port = await nursery.start(partial(run_bookmaker, STILL))
        file = File(tmp_path, port, list(STILL.regions))

        def write(folder: Path) -> None:
            file.write({"one": {"sports": SPORTS}})
            text = file.path.read_text().replace("[server]\n", "[server]\n" + tls(folder))
            file.path.write_text(text)

        write(folders[0])
        async with service(file.load(), reloads=Reloads(file.load)) as running:
            assert await shown(running.address) == pem_of(folders[0])
            write(folders[1])
            async with open_client(Address(running.address, ca=folders[0] / "ca.pem")) as client:
                done = await client.reload()
                assert set(done.applied) == {"server.tls_certificate", "server.tls_key"}
                assert await shown(running.address) == pem_of(folders[1])
                file.write({"one": {"sports": SPORTS}})
                done = await client.reload()
            assert set(done.needs_restart) == {"server.tls_certificate", "server.tls_key"}
            assert await shown(running.address) == pem_of(folders[1])
        nursery.cancel_scope.cancel()


@pytest.mark.logs_errors  # the plug-in's crash
async def test_a_plug_in_that_crashes_while_it_opens_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reloadable(tmp_path, {"one": {"sports": SPORTS}}) as (file, running):

        def crash(_settings: object) -> str:
            raise LookupError("a bug of the plug-in, with secret-key")

        monkeypatch.setattr(TheOddsApiSettings, "secret", crash)
        file.write({"two": {"sports": SPORTS}})
        error = await refused(running.address)
        assert error.reason == "SETTINGS_ERROR"
        assert "sources (two): it could not be opened: LookupError" in str(error)
        assert set(running.parts.scrapers) == {"one"}


async def test_the_last_source_taken_out_leaves_what_is_stored(tmp_path: Path) -> None:
    wide = {"sports": SPORTS}
    async with reloadable(tmp_path, {"one": wide}) as (file, running):
        await scraped(running)
        held = flat(running)
        file.write({})
        async with open_client(running.address) as client:
            done = await client.reload()
            assert (done.removed, done.withdrawn) == (("one",), 0)
            assert flat(running) == held
            file.write({"two": wide})
            done = await client.reload()
        assert done.added == ("two",)
        assert done.withdrawn > 0
        assert carried(running, "one") == 0


class Held:
    """Settings that are read once `go_on` is set, in place of a slow disk."""

    def __init__(self, file: File) -> None:
        self._file = file
        self.begun, self.go_on = threading.Event(), threading.Event()

    def load(self) -> Settings:
        self.begun.set()
        self.go_on.wait(60)
        return self._file.load()


async def test_a_reload_goes_on_when_its_caller_leaves(tmp_path: Path) -> None:
    async with reloadable(tmp_path, {"one": {"sports": SPORTS}}) as (file, running):
        held = Held(file)
        file.read = held.load
        file.write({"one": {"sports": SPORTS}, "two": {"sports": SPORTS}})
        async with open_client(running.address) as client:
            with pytest.raises(ServiceError) as caught:
                await client.reload(timeout_s=0.5)
        assert caught.value.code == "DEADLINE_EXCEEDED"
        assert set(running.parts.scrapers) == {"one"}
        held.go_on.set()
        await wait_until(lambda: set(running.parts.scrapers) == {"one", "two"}, "the reload")


async def test_a_stop_ends_a_reload_and_tells_its_caller(tmp_path: Path) -> None:
    errors: list[ServiceError] = []

    async def reload(address: str) -> None:
        async with open_client(address) as client:
            with pytest.raises(ServiceError) as caught:
                await client.reload()
            errors.append(caught.value)

    async with trio.open_nursery() as nursery:
        async with reloadable(tmp_path, {"one": {"sports": SPORTS}}) as (file, running):
            held = Held(file)
            file.read = held.load
            nursery.start_soon(reload, running.address)
            await wait_until(held.begun.is_set, "the reload")
    held.go_on.set()
    (error,) = errors
    assert (error.code, error.reason) == ("UNAVAILABLE", "STOPPING")


async def test_reloads_under_load_lose_nothing(tmp_path: Path) -> None:
    sports = SimulatedBookmaker(BUSY).sport_keys
    tables = [
        {"one": {"sports": sports}, "two": {"sports": sports}},
        {"one": {"sports": sports[:1]}, "two": {"sports": sports}},
        {"two": {"sports": sports}, "three": {"sports": sports}},
        {"one": {"sports": sports, "markets": ["h2h"]}, "two": {"sports": sports}},
    ]
    async with reloadable(tmp_path, tables[0], BUSY) as (file, running):
        await priced(running, "one", "two")
        two, fold = running.parts.scrapers["two"], Fold()
        feed = running.parts.feed
        with watching(running.address, fold=fold) as watcher:
            await watcher.begun()
            async with open_client(running.address) as client, trio.open_nursery() as nursery:
                nursery.start_soon(refresh_all, running, client)
                for turn in range(8):
                    pulls, head = two.counts.pulls, feed.head_revision
                    file.write(tables[(turn + 1) % len(tables)])
                    done = await client.reload()
                    assert "two" in done.unchanged
                    for gone in done.removed:
                        assert carried(running, gone) == 0
                    await wait_until(
                        lambda pulls=pulls, head=head: (  # type: ignore[misc]  # defaults
                            two.counts.pulls > pulls + 2 and feed.head_revision > head
                        ),
                        "the unchanged source goes on",
                    )
                nursery.cancel_scope.cancel()
            await watcher.reach(feed.head_revision)
        revisions = [change.revision for change in fold.changes]
        assert revisions == list(range(revisions[0], revisions[0] + len(revisions)))
        assert running.parts.scrapers["two"] is two
        for source in ("one", "three"):
            if source not in running.parts.scrapers:
                assert carried(running, source) == 0
    head = feed.head_revision
    assert feed.durable_revision == head
    with closing(sqlite3.connect(tmp_path / "odds.db")) as database:
        query = "SELECT count(*), max(revision) FROM odds_history"
        assert database.execute(query).fetchone() == (head, head)


async def refresh_all(running: Running, client: AsyncClient) -> None:
    """Refresh one event after another, until cancelled; no call fails for a reload."""
    while True:
        for event_id in tuple(running.parts.cache.events):
            try:
                done = await client.refresh(event_id)
            except ServiceError as error:
                if error.reason != "UNKNOWN_EVENT":  # the event has ended meanwhile
                    raise
                continue
            failed = {each.error_code for each in done.sources if not each.ok}
            assert failed <= {"not_configured", "event_not_found"}, failed
        await trio.sleep(0.01)


async def test_a_signal_reloads_and_never_ends_the_process(tmp_path: Path) -> None:
    async with bookmaker(BUSY) as (port, _):
        sports = SimulatedBookmaker(BUSY).sport_keys
        path = config(tmp_path, port, sports)
        served = Process(path)
        address = str((await served.logged("serving"))["address"])
        with watching(address) as watcher:
            await watcher.reach(50)
            path.write_text(path.read_text().replace(json.dumps(sports), json.dumps(sports[:1])))
            served.process.send_signal(signal.SIGHUP)
            done = await served.logged("reloaded")
            assert done["changed"] == ["the-odds-api"]
            path.write_text(path.read_text() + "sports = = 3\n")
            served.process.send_signal(signal.SIGHUP)
            refusal = await served.logged("reload_refused")
            assert "odds.toml: not valid TOML" in str(refusal["reason"])
            assert "at line" in str(refusal["reason"])
            for _ in range(20):
                served.process.send_signal(signal.SIGHUP)
            spoilt = await ran("reload", "--server", address)
            assert complaint(spoilt).startswith("error: ")
            assert "at line" in complaint(spoilt)
            path.write_text(path.read_text().removesuffix("sports = = 3\n"))
            whole = await ran("reload", "--server", address)
            assert whole.returncode == 0
            assert "source unchanged: the-odds-api" in whole.stdout
            served.process.send_signal(signal.SIGTERM)
            await trio.to_thread.run_sync(watcher.wait_ended)
            fold = watcher.fold
        assert await served.end() == 0
    assert fold.closing is not None
    assert any(change.reason == "no_longer_asked" for change in fold.changes)


async def test_a_signal_during_the_start_is_remembered(tmp_path: Path) -> None:
    async with bookmaker(STILL) as (port, _):
        served = Process(config(tmp_path, port, SPORTS))

        async def hang_up() -> None:
            while True:
                served.process.send_signal(signal.SIGHUP)
                await trio.sleep(0.005)

        # The interpreter's own start is before any code of ours.
        status = Path(f"/proc/{served.process.pid}/status")
        await wait_until(lambda: takes_hangups(status.read_text()), "our code runs")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hang_up)
            await served.logged("serving")
            nursery.cancel_scope.cancel()
        await served.logged("reloaded")
        served.process.send_signal(signal.SIGTERM)
        assert await served.end() == 0


def takes_hangups(status: str) -> bool:
    """Return whether a process ignores or catches SIGHUP, by its /proc/…/status."""
    masks = {
        line.partition(":")[0]: int(line.split()[1], 16)
        for line in status.splitlines()
        if line.startswith(("SigIgn:", "SigCgt:"))
    }
    return bool((masks["SigIgn"] | masks["SigCgt"]) & 1 << signal.SIGHUP - 1)
