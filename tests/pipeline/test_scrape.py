"""The scrape stage: a failure or a crash stays in its source; cancelled anywhere, it lets go."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Self

import pytest
import structlog
import trio
import trio.testing

from odds_service.errors import SourceError
from odds_service.model.market import MarketKey
from odds_service.model.observation import Completeness, Observation
from odds_service.pipeline.channels import Fetched
from odds_service.pipeline.scrape import Scraper
from odds_service.sources.base import Pull
from tests.support.observations import NOON, observe, offered

GOOD = observe(offered({"e": {"b": {MarketKey("h2h"): {"home": 2.0}}}}))


class Scripted:
    """A source whose fetches do what the test says, one step a fetch, the last for ever."""

    kind: ClassVar[str] = "scripted"

    def __init__(self, *steps: Callable[[], Awaitable[Observation]], pulls: int = 1) -> None:
        self.name = "toa"
        self.interval_s = 10.0
        self.fetched = 0
        self._steps = steps
        self._pulls = pulls

    @classmethod
    @asynccontextmanager
    async def open(cls, name: str, table: dict[str, Any]) -> AsyncIterator[Self]:
        del name, table
        yield cls()

    async def pulls(self) -> Sequence[Pull]:
        return [Pull(f"listing{n}", self.interval_s) for n in range(self._pulls)]

    async def fetch(self, pull: Pull) -> Observation:
        del pull
        step = self._steps[min(self.fetched, len(self._steps) - 1)]
        self.fetched += 1
        return await step()

    async def fetch_event(self, source_event_id: str, listing: str | None) -> Observation:
        del source_event_id, listing
        return await self._steps[-1]()


async def good() -> Observation:  # noqa: ASYNC124  # a step is awaited
    return GOOD


async def refused() -> Observation:  # noqa: ASYNC124  # a step is awaited
    raise SourceError("rate_limited", "too fast", retry_after_s=100.0)


async def crash() -> Observation:  # noqa: ASYNC124  # a step is awaited
    raise TypeError("a bug in the source")


async def hang() -> Observation:
    await trio.sleep_forever()
    raise AssertionError


def scraper_of(source: Scripted) -> tuple[Scraper, trio.MemoryReceiveChannel[Fetched]]:
    send, receive = trio.open_memory_channel[Fetched](0)
    return Scraper(source, send, lambda: NOON), receive


async def test_failures_and_crashes_are_outcomes_and_scraping_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    source = Scripted(good, refused, crash, good)
    scraper, receive = scraper_of(source)
    outcomes = []
    with structlog.testing.capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scraper.run)
            for _ in range(4):
                fetched = await receive.receive()
                outcomes.append((trio.current_time(), fetched.observation.completeness))
            nursery.cancel_scope.cancel()
    complete, failed = Completeness.COMPLETE, Completeness.FAILED
    assert [kind for _, kind in outcomes] == [complete, failed, failed, complete]
    times = [at for at, _ in outcomes]
    assert 9 < times[1] - times[0] < 11
    assert times[2] - times[1] >= 100  # as the source asked
    assert scraper.problems == {"rate_limited": 1, "crash": 1}
    assert [entry["event"] for entry in logs] == ["fetch_failed", "source_crashed"]


@pytest.mark.parametrize("state", ["fetching", "sending", "waiting"])
async def test_cancelled_in_each_state_it_closes_its_end(
    state: str, autojump_clock: trio.testing.MockClock
) -> None:
    source = Scripted(hang if state == "fetching" else good)
    scraper, receive = scraper_of(source)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scraper.run)
        await trio.testing.wait_all_tasks_blocked()
        if state == "waiting":
            await receive.receive()
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    with pytest.raises(trio.EndOfChannel):
        await receive.receive()
    assert source.fetched == 1


async def test_no_more_fetches_at_once_than_allowed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    running = most = 0

    async def slow() -> Observation:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(1)
        running -= 1
        return GOOD

    send, receive = trio.open_memory_channel[Fetched](100)
    scraper = Scraper(Scripted(slow, pulls=9), send, lambda: NOON, concurrency=3)
    with trio.move_on_after(30):
        await scraper.run()
    assert most == 3
    assert receive.statistics().current_buffer_used >= 18


async def test_one_event_on_demand_and_its_failure() -> None:
    scraper, _ = scraper_of(Scripted(good, refused))
    with structlog.testing.capture_logs():
        observation = await scraper.fetch_event("e", "listing0")
    assert observation.completeness is Completeness.FAILED
    assert observation.scope.events == frozenset({"e"})
    assert observation.reason == "too fast"
