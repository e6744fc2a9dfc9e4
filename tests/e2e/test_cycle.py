"""A whole cycle: 1,300 events at three bookmakers with 100 markets each, fetched one by one.

The long form prints the cost of the first cycle (all new) and of a steady one (about 5 % changed),
beside a bare httpx client that fetches the same bodies and discards them:
`python -m pytest -m long -s tests/e2e/test_cycle.py`. The simulated bookmaker is another process,
so its CPU time is not counted.
"""

import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
import trio
from msgspec import Struct

from odds_service.config import load_settings
from odds_service.service import Running
from tests.support.serving import service, status_of

CONCURRENCY = 6  # of each source
MOST_TIMES_BARE = 3.0  # the aim is 2; beyond this something is broken


class Cost(Struct):
    """CPU time and wall time of a cycle, in seconds."""

    cpu_s: float
    wall_s: float


class Stopwatch:
    """A measurement that starts when it is made."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def cost(self) -> Cost:
        return Cost(
            round(time.process_time() - self._cpu, 2), round(time.perf_counter() - self._wall, 2)
        )


@asynccontextmanager
async def simulator(events: int, step_s: float) -> AsyncIterator[dict[str, Any]]:
    """Run the simulated bookmaker as a process; yield its description (port, sports, markets)."""
    options = {
        "--sports": 1, "--events": events, "--bookmakers": 3, "--markets": 100,
        "--pace": "clock", "--step-s": step_s, "--change-share": 0.05, "--lead-s": 90_000,
        "--in-play-s": 90_000,
    }  # fmt: skip
    flags = [str(part) for option in options.items() for part in option]
    command = [sys.executable, "-m", "odds_service.demo", *flags, "--only-prices"]
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(
            partial(trio.run_process, command, stdout=subprocess.PIPE, check=False)
        )
        assert process.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            line += await process.stdout.receive_some()
        yield json.loads(line)
        process.terminate()


async def bare(told: dict[str, Any], bookmakers: list[str]) -> Cost:
    """Make the same requests at the same concurrency, discard the bodies, and return the cost."""
    base = f"http://127.0.0.1:{told['port']}/v4/sports/{told['sports'][0]}"
    limits = httpx.Limits(max_connections=CONCURRENCY * len(bookmakers))
    async with httpx.AsyncClient(trust_env=False, limits=limits, timeout=60) as client:
        listed = (await client.get(f"{base}/events", params={"apiKey": "k"})).json()
        wanted = iter([(event["id"], name) for event in listed for name in bookmakers])
        params = {"apiKey": "k", "markets": ",".join(told["markets"])}

        async def fetch() -> None:
            for event_id, name in wanted:
                path = f"{base}/events/{event_id}/odds"
                answer = await client.get(path, params=params | {"bookmakers": name})
                assert answer.status_code == 200

        watch = Stopwatch()
        async with trio.open_nursery() as nursery:
            for _ in range(CONCURRENCY * len(bookmakers)):
                nursery.start_soon(fetch)
        return watch.cost()


async def offered_by(told: dict[str, Any]) -> set[str]:
    base = f"http://127.0.0.1:{told['port']}/v4/sports/{told['sports'][0]}"
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        listed = (await client.get(f"{base}/events", params={"apiKey": "k"})).json()
    return {event["id"] for event in listed}


async def bookmakers_of(told: dict[str, Any]) -> list[str]:
    base = f"http://127.0.0.1:{told['port']}/v4/sports/{told['sports'][0]}"
    params = {"apiKey": "k", "regions": "uk,eu", "markets": "h2h"}
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        events = (await client.get(f"{base}/odds", params=params)).json()
    return sorted({book["key"] for event in events for book in event["bookmakers"]})


async def cycles(folder: Path, events: int, step_s: float) -> tuple[dict[str, Cost], float]:
    """Measure a first and a steady cycle of the whole service, and the bare client.

    Returns:
        The cost of each by name, and the share of markets that changed in the steady cycle.
    """
    async with simulator(events, step_s) as told:
        names = await bookmakers_of(told)
        offered = await offered_by(told)
        assert len(names) == 3
        tables = [
            {
                "kind": "the-odds-api", "name": name, "url": f"http://127.0.0.1:{told['port']}",
                "api_key": "k", "sports": told["sports"], "markets": told["markets"],
                "bookmakers": [name], "by_event": True, "http": {"concurrency": CONCURRENCY},
                "tiers": [{"name": "all", "interval_s": 1.0, "target_s": 600}],
            }
            for name in names
        ]  # fmt: skip
        settings = load_settings(
            server={"listen": "127.0.0.1:0"}, database={"url": f"sqlite:///{folder / 'odds.db'}"}
        ).model_copy(update={"sources": tables})
        watch = Stopwatch()
        async with service(settings) as running:
            await pulled(running, events)
            first = watch.cost()
            await running.parts.writer.committed(running.parts.feed.head_revision)
            done = min(scraper.counts.pulls for scraper in running.parts.scrapers.values())
            head = running.parts.feed.head_revision
            watch = Stopwatch()
            await pulled(running, done + events)
            steady = watch.cost()
            changed = running.parts.feed.head_revision - head
            status = await status_of(running.address)
            cut = running.parts.cache.view()
            # Events leave as time passes; those offered throughout must be in the cache.
            offered &= await offered_by(told)
            assert len(offered) > 0.9 * events
            assert {f"toa:{event_id}" for event_id in offered} <= cut.events.keys()
            for entry in cut.events.values():
                assert {name for _, name in entry.bookmakers} == set(names)
                assert all(len(odds.markets) > 90 for odds in entry.bookmakers.values())
            assert all(each.failures == 0 for each in status.sources)
            assert all(
                each.freshness[0].fresh == each.freshness[0].pulls for each in status.sources
            )
        baseline = await bare(told, names)
    costs = {"first": first, "steady": steady, "bare httpx": baseline}
    return costs, changed / status.markets


async def pulled(running: Running, pulls: int) -> None:
    """Wait until each source has made this many pulls."""
    scrapers = running.parts.scrapers.values()
    await until(lambda: all(scraper.counts.pulls >= pulls for scraper in scrapers))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # the condition has no Trio event
        await trio.sleep(0.01)


async def test_a_small_cycle_is_whole(tmp_path: Path) -> None:
    with structlog.testing.capture_logs():
        with trio.fail_after(120):
            await cycles(tmp_path, events=40, step_s=1.0)


@pytest.mark.long
async def test_a_cycle_of_1300_events(tmp_path: Path) -> None:
    with structlog.testing.capture_logs(), trio.fail_after(900):
        costs, changed = await cycles(tmp_path, events=1_300, step_s=20.0)
    times = costs["steady"].cpu_s / costs["bare httpx"].cpu_s
    print(costs, f"{changed:.1%} changed; steady is {times:.2f} times bare httpx by CPU")  # noqa: T201  # for people
    assert times < MOST_TIMES_BARE
