"""One series gives one log, to the byte, with any number of workers.

The test is the barrier that keeps the order of the series: it makes one call after another, and
moves the clock in between.
"""

import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from msgspec.structs import replace

from odds_service.cache import OddsCache
from odds_service.clock import DrivenClock
from odds_service.config import Settings, load_settings
from odds_service.demo.replay import run_replay
from odds_service.feed import ChangeFeed
from odds_service.intake import HeldSource, hold_source
from odds_service.model.change import Change
from odds_service.pipeline.channels import WriteQueue
from odds_service.pipeline.detect import Detector
from odds_service.reconcile import Reconciler
from odds_service.restore import starting_state
from odds_service.sources.base import Pull
from odds_service.sources.calls import GatedSource, SourceCalls
from odds_service.wire.encode import change_wire
from odds_service.workers.pool import open_workers
from odds_service.workers.remote import RemoteSource
from tests.support.observations import NOON
from tests.support.puppets import Script
from tests.support.recorded import ODDS_API, bodies_of, needs_recorded

SERIES: Final = ("kbo_inplay_20260804", "nfl_oddities_reappear.zip",
                 "ncaaf_oddities_swap_point_reappear.zip")  # fmt: skip
STEPS: Final = 40


class Rig:
    """A detector whose clock the test moves, and the calls into its sources."""

    def __init__(self, held: list[HeldSource]) -> None:
        self.now = NOON
        self.clock = DrivenClock(lambda: self.now)
        self.feed = ChangeFeed("epoch", 0)
        states = [starting_state(each.source, None) for each in held]
        self._cache = OddsCache(self.feed, sources=states)
        queue = WriteQueue()
        self._detector = Detector(self._cache, self.feed, queue, Reconciler(), self.clock)
        self.calls = {each.source.name: self._calls(each) for each in held}

    def _calls(self, held: HeldSource) -> SourceCalls:
        if isinstance(held.source, RemoteSource):
            return held.source.calls(self.clock)
        return GatedSource(held.source, self.clock)

    async def look(self, source: str, pull: Pull) -> None:
        """Make a pull, apply what it gives, and go on for 20 seconds."""
        observation = await self.calls[source].fetch(pull, Counter())
        observation = replace(observation, sequence=self.clock.sequence(), tier="all")
        await self._detector.observe(observation)
        self.now += timedelta(seconds=20)

    def log(self) -> list[Change]:
        commits = self.feed.read_after(0, 1_000_000) or []
        return [change for commit in commits for change in commit.changes]


@asynccontextmanager
async def rig(tables: list[dict[str, Any]], workers: int) -> AsyncIterator[Rig]:
    settings: Settings = load_settings(workers={"count": workers})
    settings = settings.model_copy(update={"sources": tables})
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_workers(settings))
        nursery = await stack.enter_async_context(trio.open_nursery())
        held: list[HeldSource] = [await nursery.start(hold_source, table, pool) for table in tables]
        if workers:
            assert pool is not None
            assert [worker.sources for worker in pool.workers].count(0) == max(
                0, workers - len(tables)
            )
        yield Rig(held)
        for each in held:
            each.release.set()


def random_events(rng: random.Random, before: dict[str, Any]) -> dict[str, Any]:
    """Return events in which some prices, markets, bookmakers and events differ from before."""
    events = {}
    for event_id in ("e1", "e2", "e3", "e4"):
        if rng.random() < 0.1:
            continue
        bookmakers = {}
        for bookmaker in ("b1", "b2"):
            if rng.random() < 0.1:
                continue
            held = before.get(event_id, {}).get(bookmaker)
            if held is not None and rng.random() < 0.5:
                bookmakers[bookmaker] = held
                continue
            lines = rng.sample(["1.5", "2.5", "3.5", "4"], 3)
            bookmakers[bookmaker] = [
                ("h2h", "", {"home": rng.choice([1.5, 1.6]), "away": 2.5}),
                *(("totals", line, {"over": rng.choice([1.8, 1.9]), "under": 1.9})
                  for line in lines),
            ]  # fmt: skip
        events[event_id] = bookmakers
    return events


async def log_of_puppets(folder: Path, workers: int) -> list[Change]:
    rng = random.Random(7)
    scripts = [Script(folder, name) for name in ("p1", "p2", "p3")]
    shown: dict[str, dict[str, Any]] = {script.name: {} for script in scripts}
    async with rig([script.table() for script in scripts], workers) as made:
        for _ in range(STEPS):
            script = rng.choice(scripts)
            shown[script.name] = random_events(rng, shown[script.name])
            script.show(0.0, **shown[script.name])
            await made.look(script.name, Pull(key="all"))
        return made.log()


def same_bytes(logs: list[list[Change]]) -> bool:
    first, *others = logs
    assert len(first) > 100
    assert all(log == first for log in others)
    return len({b"".join(map(change_wire, log)) for log in logs}) == 1


async def test_random_odds_give_one_log_with_0_1_and_3_workers(puppets: Path) -> None:
    assert same_bytes([await log_of_puppets(puppets, workers) for workers in (0, 1, 3)])


async def recorded_log(workers: int) -> list[Change]:
    async with trio.open_nursery() as nursery:
        tables, pulls = [], {}
        for number, series in enumerate(SERIES):
            port = await nursery.start(partial(run_replay, ODDS_API / series))
            sport = _sport(bodies_of(ODDS_API / series)[0])
            tables.append(
                {"kind": "the-odds-api", "name": f"s{number}", "api_key": "k", "sports": [sport],
                 "url": f"http://127.0.0.1:{port}"}
            )  # fmt: skip
            pulls[f"s{number}"] = Pull(key=sport), len(bodies_of(ODDS_API / series)) + 2
        async with rig(tables, workers) as made:
            for turn in range(max(bodies for _, bodies in pulls.values())):
                for source, (pull, bodies) in pulls.items():
                    if turn < bodies:
                        await made.look(source, pull)
            log = made.log()
        nursery.cancel_scope.cancel()
    return log


def _sport(body: bytes) -> str:
    (sport,) = {event["sport_key"] for event in json.loads(body)}
    return str(sport)


@needs_recorded
async def test_recorded_odds_give_one_log_with_0_1_and_3_workers() -> None:
    logs = [await recorded_log(workers) for workers in (0, 1, 3)]
    assert same_bytes(logs)


pytestmark = pytest.mark.timeout(600)
