"""Sources in worker processes: what dies, hangs or errs there harms that source alone."""

import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest
import trio

from odds_service.errors import SettingsError, first_in
from odds_service.model.change import MarketChange
from odds_service.model.source import SourceStatus
from odds_service.reloads import Reloads
from odds_service.service import Running
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.workers import connection, worker
from tests.support.puppets import ROOT, Script, settings_of
from tests.support.serving import call, service, status_of, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals of pipes are Linux's")


def price_of(running: Running, source: str) -> float | None:
    """Return the cached price of a puppet's home side."""
    for entry in running.parts.cache.events.values():
        for (name, _), odds in entry.bookmakers.items():
            if name == source:
                (market,) = odds.markets.values()
                return market.outcomes[0].price
    return None


def shows(running: Running, price: float) -> bool:
    return price_of(running, "one") == price


def has_moved(script: Script, pid: int) -> bool:
    """Return whether the puppet runs in another process than before."""
    return script.pid != pid


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def shown_of(pid: int) -> bytes:
    """Return what other users' programs may see of a process, and a little more."""
    return b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))


async def test_odds_counts_and_refreshes_come_from_workers(puppets: Path) -> None:
    one, other = Script(puppets, "one"), Script(puppets, "other")
    async with service(settings_of(puppets, [one, other], workers=2)) as running:
        await wait_until(lambda: price_of(running, "one") == 1.5, "the first odds")
        await wait_until(lambda: price_of(running, "other") == 1.5, "the first odds")
        assert len({one.pid, other.pid, os.getpid()}) == 3
        one.show(1.6)
        await wait_until(lambda: price_of(running, "one") == 1.6, "a change")
        entries = running.parts.cache.events.values()
        (event_id,) = {each.event.id for each in entries if "one" in each.sources}
        one.show(1.7)
        request = pb.RefreshEventRequest(event_id=event_id)
        reply = await call(running.address, lambda stub: stub.RefreshEvent(request, timeout=30))
        assert all(each.ok for each in reply.sources)
        assert price_of(running, "one") == 1.7
        status = await status_of(running.address)
        assert {each.state.source for each in status.sources} == {"one", "other"}
        counted = running.parts.scrapers["one"].counts
        assert counted.problems["a_problem_of_the_offer"] == 1
        assert counted.unmapped.total > 0
        workers = running.parts.workers
        assert workers is not None
        await wait_until(lambda: all(each.cpu_s > 0 for each in workers.workers), "signs of life")
    assert not is_alive(one.pid)
    assert not is_alive(other.pid)


@pytest.mark.logs_errors
async def test_a_worker_that_is_killed_comes_back_and_loses_no_change(puppets: Path) -> None:
    script = Script(puppets, "one")
    prices = [1.5 + step / 100 for step in range(1, 9)]
    async with service(settings_of(puppets, [script], workers=1)) as running:
        for turn, price in enumerate(prices):
            script.show(price)
            await wait_until(partial(shows, running, price), "a change")
            if turn % 3 == 0:
                pid = script.pid
                os.kill(pid, signal.SIGKILL)
                await wait_until(partial(has_moved, script, pid), "another process")
        status = await status_of(running.address)
        assert status.sources[0].state.state == pb.SOURCE_HEALTH_UP
        assert running.parts.scrapers["one"].counts.failures == 0  # each call was made again
        changes = [
            change.after.outcomes[0].price
            for commit in running.parts.feed.read_after(0, 1_000) or []
            for change in commit.changes
            if isinstance(change, MarketChange)
        ]
    assert changes[-len(prices) :] == prices


@pytest.mark.logs_errors
async def test_a_worker_that_hangs_is_ended_and_the_others_do_not_notice(
    puppets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HANGS_S", 2.0)
    healthy, odd = Script(puppets, "healthy"), Script(puppets, "odd")
    settings = settings_of(puppets, [healthy, odd], workers=2, healthy=1, odd=2)
    async with service(settings) as running:
        await wait_until(lambda: price_of(running, "odd") == 1.5, "the first odds")
        hung = odd.pid
        odd.tell(do="hang")
        pulls = running.parts.scrapers["healthy"].counts.pulls
        await wait_until(
            lambda: running.parts.scrapers["healthy"].counts.pulls > pulls + 3, "fetches beside it"
        )
        await wait_until(lambda: odd.pid != hung, "another process")
        assert not is_alive(hung)
        odd.show(1.9)
        await wait_until(lambda: price_of(running, "odd") == 1.9, "odds again")
        assert running.parts.scrapers["healthy"].counts.failures == 0


@pytest.mark.logs_errors
async def test_a_source_that_ends_its_worker_each_time_fails_and_is_not_down_at_once(
    puppets: Path,
) -> None:
    script = Script(puppets, "one")
    async with service(settings_of(puppets, [script], workers=1)) as running:
        await wait_until(lambda: price_of(running, "one") == 1.5, "the first odds")
        script.tell(do="die")
        counts = running.parts.scrapers["one"].counts
        await wait_until(lambda: counts.problems.get("worker_ended", 0) > 0, "a failure")
        state = running.parts.cache.sources["one"]
        assert state.status is not SourceStatus.DOWN
        script.show(2.5)
        await wait_until(lambda: price_of(running, "one") == 2.5, "odds again")


@pytest.mark.logs_errors
async def test_a_source_that_a_new_process_refuses_is_opened_again(
    puppets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "REOPEN_S", 0.5)
    script = Script(puppets, "one")
    refuse = script.path.with_suffix(".refuse")
    async with service(settings_of(puppets, [script], workers=1)) as running:
        await wait_until(lambda: price_of(running, "one") == 1.5, "the first odds")
        refuse.touch()
        os.kill(script.pid, signal.SIGKILL)
        await wait_until(
            lambda: running.parts.cache.sources["one"].detail.endswith("refused for now"),
            "its reason",
        )
        refuse.unlink()
        script.show(2.5)
        await wait_until(lambda: price_of(running, "one") == 2.5, "odds again")


async def test_a_source_that_ends_by_itself_is_opened_again(
    puppets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "REOPEN_S", 0.0)
    script = Script(puppets, "one")
    async with service(settings_of(puppets, [script], workers=1)) as running:
        await wait_until(lambda: price_of(running, "one") == 1.5, "the first odds")
        pid, ends = script.pid, script.path.with_suffix(".ends")
        ends.touch()
        await wait_until(lambda: not ends.exists(), "the end of the source")
        script.show(2.5)
        await wait_until(lambda: price_of(running, "one") == 2.5, "odds again")
        assert script.pid == pid


async def test_a_crash_and_a_refusal_are_those_of_a_source_in_the_process(puppets: Path) -> None:
    script = Script(puppets, "one")
    async with service(settings_of(puppets, [script], workers=1)) as running:
        scraper = running.parts.scrapers["one"]
        script.tell(do="crash")
        await wait_until(lambda: scraper.counts.problems.get("crash", 0) > 0, "a crash")
        await wait_until(
            lambda: running.parts.cache.sources["one"].detail == "the source crashed: KeyError",
            "its reason",
        )
        script.tell(do="refuse", wait_s=1.0)
        await wait_until(lambda: scraper.counts.problems.get("rate_limited", 0) > 0, "a refusal")
        assert scraper.source.access.held_s(trio.current_time()) > 0
        script.show(3.0)
        await wait_until(lambda: price_of(running, "one") == 3.0, "odds after the pause")


async def test_wrong_settings_of_a_source_are_told_as_without_workers(puppets: Path) -> None:
    said = []
    for workers in (0, 1):
        settings = settings_of(puppets, [], workers=workers)
        broken = settings.model_copy(update={"sources": [{"kind": "puppet", "name": "odd"}]})
        try:
            async with service(broken):
                pass
        except* SettingsError as group:
            said.append(str(first_in(group)))
    assert said == ["sources (odd): script: Field required"] * 2


@pytest.mark.parametrize("deed", ["hang", "wait"])
async def test_no_worker_outlives_a_service_that_is_killed(puppets: Path, deed: str) -> None:
    script = Script(puppets, "one")
    config = puppets / "odds.toml"
    config.write_text(
        f"""
        [server]
        listen = "127.0.0.1:0"
        [database]
        url = "sqlite:///{puppets / "odds.db"}"
        [workers]
        count = 1
        [[sources]]
        kind = "puppet"
        name = "one"
        script = "{script.path}"
        api_key = "a-secret-of-the-source"
        """
    )
    pid = script.path.with_suffix(".pid")
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "odds_service", "serve", "--config", str(config)], cwd=ROOT
    )
    try:
        await wait_until(pid.exists, "an open source")
        pid_of_worker = script.pid
        assert b"a-secret" not in shown_of(pid_of_worker)
        script.tell(do=deed)
        await trio.sleep(0.5)
        os.kill(pid_of_worker, signal.SIGTERM)  # as systemd does to all processes of a service
        await trio.sleep(0.2)
        assert is_alive(pid_of_worker)
    finally:
        process.kill()
        with trio.CancelScope(shield=True), trio.move_on_after(30):
            await process.wait()
    await wait_until(lambda: not is_alive(pid_of_worker), "the end of the worker")


async def test_a_reload_opens_closes_and_moves_sources_of_workers(puppets: Path) -> None:
    one, other = Script(puppets, "one"), Script(puppets, "other")
    settings = settings_of(puppets, [one], workers=1)
    both = settings.model_copy(update={"sources": [one.table(interval_s=0.6), other.table()]})
    reloads = Reloads(lambda: both)
    async with service(settings, reloads=reloads) as running:
        await wait_until(lambda: price_of(running, "one") == 1.5, "the first odds")
        done = await reloads.reload()
        assert (done.added, done.changed) == (("other",), ("one",))
        await wait_until(lambda: price_of(running, "other") == 1.5, "the new source")
        one.show(1.8)
        await wait_until(lambda: price_of(running, "one") == 1.8, "the changed source")
        workers = running.parts.workers
        assert workers is not None
        await wait_until(lambda: workers.workers[0].sources == 2, "the old one is closed")
