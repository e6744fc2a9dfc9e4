"""The scrape stage: a failure or a crash stays in its source, and any cancellation lets go."""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

import pytest
import structlog
import trio
import trio.testing
from msgspec.structs import replace

from odds_service.cache import OddsCache
from odds_service.clock import DrivenClock
from odds_service.errors import SourceError
from odds_service.feed import ChangeFeed
from odds_service.model.event import Event
from odds_service.model.market import MarketKey
from odds_service.model.observation import Completeness, Observation, Scope
from odds_service.model.snapshot import BookmakerOdds, EventOdds, EventSource
from odds_service.pipeline.channels import Fetched
from odds_service.pipeline.listings import Listings
from odds_service.pipeline.scrape import Scraper
from odds_service.sources.base import Offer, Pace, Pull, Tier
from odds_service.sources.boundary import Limits
from odds_service.sources.calls import GatedSource
from tests.support.observations import NOON, observe, observed_event, offered

GOOD = observe(offered({"e": {"b": {MarketKey("h2h"): {"home": 2.0}}}}))
Step = Callable[[], Awaitable[Observation]]


class Scripted:
    """A source that takes the given steps, one per fetch, and repeats the last."""

    kind: ClassVar[str] = "scripted"

    def __init__(self, *steps: Step, pulls: int = 1, concurrency: int = 1) -> None:
        self.name = "toa"
        self.pace = Pace.steady(10.0, concurrency=concurrency)
        self.offers: list[Offer | Exception] = [
            Offer(tuple(Pull(key=f"listing{n}") for n in range(pulls)))
        ]
        self.fetched: list[str] = []
        self.discovered = 0
        self._steps = steps

    @classmethod
    @asynccontextmanager
    async def open(cls, name: str, table: dict[str, Any]) -> AsyncIterator[Self]:
        del name, table
        yield cls()

    async def discover(self) -> Offer:
        await trio.lowlevel.checkpoint()
        offer = self.offers[min(self.discovered, len(self.offers) - 1)]
        self.discovered += 1
        if isinstance(offer, Exception):
            raise offer
        return offer

    async def fetch(self, pull: Pull) -> Observation:
        step = self._steps[min(len(self.fetched), len(self._steps) - 1)]
        self.fetched.append(pull.key)
        return await step()

    async def fetch_event(self, source_event_id: str, listing: str | None) -> Observation:
        del source_event_id, listing
        return await self._steps[-1]()


async def good() -> Observation:
    return GOOD


async def refused() -> Observation:
    raise SourceError("rate_limited", "too fast", retry_after_s=100.0)


async def crash() -> Observation:
    raise TypeError("a bug in the source")


async def naive() -> Observation:
    event = observed_event("e", {}, start_time=datetime(2026, 8, 4, 20))  # noqa: DTZ001  # the bug
    return observe([event])


async def hang() -> Observation:
    await trio.sleep_forever()
    raise AssertionError


def listings_of(*entries: EventOdds) -> Listings:
    return Listings(OddsCache(ChangeFeed("epoch", 0), events=entries))


def scraper_of(
    source: Scripted,
    listings: Listings | None = None,
    *,
    capacity: float = 0,
    limits: Limits = Limits(),  # immutable
) -> tuple[Scraper, trio.MemoryReceiveChannel[Fetched]]:
    send, receive = trio.open_memory_channel[Fetched](capacity)
    clock = DrivenClock(lambda: NOON)
    calls = GatedSource(source, clock, limits)
    scraper = Scraper(calls, send, clock, listings or listings_of(), limits=limits)
    return scraper, receive


async def test_failures_and_crashes_are_outcomes_and_scraping_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    source = Scripted(good, refused, crash, naive, good)
    scraper, receive = scraper_of(source)
    outcomes = []
    with structlog.testing.capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scraper.run)
            for _ in range(5):
                fetched = await receive.receive()
                outcomes.append((trio.current_time(), fetched.observation.completeness))
            nursery.cancel_scope.cancel()
    complete, failed = Completeness.COMPLETE, Completeness.FAILED
    assert [kind for _, kind in outcomes] == [complete, failed, failed, failed, complete]
    times = [at for at, _ in outcomes]
    assert 9 < times[1] - times[0] < 11
    assert times[2] - times[1] >= 100  # as the source asked
    assert scraper.counts.problems == {
        "rate_limited": 1,
        "crash": 1,
        "bad_event": 1,
        "wrong_shape": 1,
    }
    said = [entry["event"] for entry in logs]
    assert said == ["fetch_failed", "source_crashed", "fetch_failed"]


class Unwilling(Awaitable[Observation]):
    """An awaitable that yields a value which Trio does not know."""

    def __await__(self) -> Generator[Any, None, Observation]:
        yield "nonsense"
        raise AssertionError


def raising(error: BaseException) -> Step:
    async def step() -> Observation:
        raise error

    return step


def giving(value: Any) -> Step:
    async def step() -> Any:
        return value

    return step


def unstamped(observation: Observation) -> Observation:
    return replace(
        observation, sequence=0, started_at=NOON, observed_at=NOON, observed_boot_s=0.0, tier=""
    )


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (giving(None), "bad_observation"),
        (giving({"events": []}), "bad_observation"),
        (giving(replace(GOOD, source="another")), "bad_observation"),
        (giving(replace(GOOD, events=list(GOOD.events))), "bad_observation"),
        (lambda: 1 / 0, "crash"),
        (raising(SystemExit(1)), "bad_observation"),
        (raising(GeneratorExit()), "bad_observation"),
        (raising(BaseExceptionGroup("all", [SystemExit(1), ValueError()])), "bad_observation"),
        (raising(ExceptionGroup("all", [ValueError(), KeyError()])), "crash"),
        (raising(StopAsyncIteration()), "crash"),
        (Unwilling, "crash"),
    ],
    ids=range(11),
)
async def test_whatever_a_source_does_instead_stays_in_it(
    step: Any, kind: str, autojump_clock: trio.testing.MockClock
) -> None:
    scraper, receive = scraper_of(Scripted(step, good), capacity=5)
    with structlog.testing.capture_logs():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scraper.run)
            first = (await receive.receive()).observation
            second = (await receive.receive()).observation
            nursery.cancel_scope.cancel()
        refreshed, _ = scraper_of(Scripted(step))
        on_demand = await refreshed.fetch_event("e", None)
    assert (first.completeness, first.problems) == (Completeness.FAILED, {kind: 1})
    # Numbered and dated by the scraper, and otherwise what the source gave.
    assert unstamped(second) == unstamped(replace(GOOD, problems={}))
    assert on_demand.completeness is Completeness.FAILED
    assert scraper.counts.problems == {kind: 1}


async def test_times_are_the_services_whatever_a_source_writes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    hours_off = replace(
        GOOD, started_at=NOON + timedelta(hours=5), observed_at=NOON + timedelta(hours=5),
        sequence=10**12, observed_boot_s=1e12,
    )  # fmt: skip
    scraper, receive = scraper_of(Scripted(giving(hours_off), giving(hours_off)), capacity=5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scraper.run)
        seen = [(await receive.receive()).observation for _ in range(2)]
        nursery.cancel_scope.cancel()
    assert {each.observed_at for each in seen} == {each.started_at for each in seen} == {NOON}
    assert seen[0].sequence < seen[1].sequence < 10**12
    assert {each.observed_boot_s for each in seen} == {NOON.timestamp()}


@pytest.mark.parametrize("gives", [GOOD, None, 7], ids=["observation", "None", "7"])
async def test_a_fetch_that_gives_no_awaitable_is_a_failure(
    gives: Any, autojump_clock: trio.testing.MockClock
) -> None:
    source = Scripted(good)
    source.fetch = lambda _pull: gives  # type: ignore[assignment, method-assign]  # a plug-in may be
    scraper, receive = scraper_of(source)
    with structlog.testing.capture_logs():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scraper.run)
            observation = (await receive.receive()).observation
            nursery.cancel_scope.cancel()
    assert observation.problems == {"bad_observation": 1}
    assert "cannot be awaited" in observation.reason


@pytest.mark.parametrize("step", [giving(None), raising(SystemExit()), lambda: Offer(())])
async def test_whatever_discovery_does_instead_stays_in_it(
    step: Any, autojump_clock: trio.testing.MockClock
) -> None:
    source = Scripted(good)
    source.discover = step  # type: ignore[method-assign]  # a plug-in may be made so
    scraper, receive = scraper_of(source)
    with structlog.testing.capture_logs():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scraper.run)
            for _ in range(3):
                observation = (await receive.receive()).observation
                assert observation.completeness is Completeness.FAILED
                assert observation.problems == {"bad_observation": 1}
            nursery.cancel_scope.cancel()


async def test_a_cancellation_passes_also_out_of_a_group_with_an_error_of_the_source() -> None:
    async def breaks_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("while it is cancelled")

    async def step() -> Observation:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(breaks_when_cancelled)
            nursery.start_soon(trio.sleep_forever)
        raise AssertionError

    scraper, receive = scraper_of(Scripted(step))
    with structlog.testing.capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scraper.run)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert [entry["event"] for entry in logs] == ["source_crashed"]
    with pytest.raises(trio.EndOfChannel):
        await receive.receive()


@pytest.mark.parametrize("asked", [1e12, float("inf"), 1_785_000_000.0])
async def test_no_source_is_left_alone_for_longer_than_is_set(
    asked: float, autojump_clock: trio.testing.MockClock
) -> None:
    step = raising(SourceError("rate_limited", "too fast", retry_after_s=asked))
    scraper, receive = scraper_of(Scripted(step, good), limits=Limits(max_retry_after_s=60.0))
    with structlog.testing.capture_logs():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scraper.run)
            await receive.receive()
            began = trio.current_time()
            await receive.receive()
            assert 59 < trio.current_time() - began < 62
            nursery.cancel_scope.cancel()


async def test_names_of_problems_that_a_source_makes_up_are_bounded(
    autojump_clock: trio.testing.MockClock,
) -> None:
    numbers = iter(range(10_000))

    async def step() -> Observation:
        await trio.lowlevel.checkpoint()
        return replace(GOOD, problems={f"made up {next(numbers)}": 2**40 for _ in range(150)})

    scraper, receive = scraper_of(Scripted(step))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scraper.run)
        for _ in range(6):
            await receive.receive()
        nursery.cancel_scope.cancel()
    assert len(scraper.counts.problems) <= 501
    assert scraper.counts.problems["other"] > 2**40


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
    assert len(source.fetched) == 1


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

    scraper, receive = scraper_of(Scripted(slow, pulls=9, concurrency=3), capacity=100)
    with trio.move_on_after(30):
        await scraper.run()
    assert most == 3
    assert receive.statistics().current_buffer_used >= 18


class _Steps(trio.abc.Instrument):
    """The steps of all tasks."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        del task
        self.count += 1


async def test_a_pull_costs_a_step_for_each_wait_and_one_of_its_reader() -> None:
    """A task for each, and the scraper woken by each, are what most of a small pull would cost."""

    async def waits() -> Observation:
        await trio.lowlevel.checkpoint()
        return GOOD

    steps = {}
    for pulls in (20, 100):
        scraper, receive = scraper_of(Scripted(waits, pulls=pulls, concurrency=3), capacity=100)
        counted = _Steps()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scraper.run)
            trio.lowlevel.add_instrument(counted)
            for _ in range(pulls):
                await receive.receive()
            trio.lowlevel.remove_instrument(counted)
            nursery.cancel_scope.cancel()
        steps[pulls] = counted.count
    assert steps[100] - steps[20] <= 2.1 * 80


async def test_one_event_on_demand_and_its_failure() -> None:
    scraper, _ = scraper_of(Scripted(good, refused))
    with structlog.testing.capture_logs():
        observation = await scraper.fetch_event("e", "listing0")
    assert observation.completeness is Completeness.FAILED
    assert observation.scope.events == frozenset({"e"})
    assert observation.reason == "too fast"


# -- by event --------------------------------------------------------------------------------------

TIERS = (
    Tier(name="soon", within_s=3_600, interval_s=10, target_s=20),
    Tier(name="later", within_s=None, interval_s=300, target_s=600),
)


def by_event(source: Scripted, *pulls: Pull) -> Scripted:
    source.pace = Pace(tiers=TIERS, by_event=True, discovery_s=100, concurrency=1)
    source.offers = [Offer(pulls)]
    return source


def carried(
    event_id: str, *, starts_in_s: float, source: str = "toa", priced: bool = False
) -> EventOdds:
    start_time = NOON + timedelta(seconds=starts_in_s)
    event = Event(
        id=event_id, sport="s", competition="c", home="h", away="a", start_time=start_time
    )
    mine = EventSource(source, event_id.removeprefix("toa:"), "listing", None)
    odds = BookmakerOdds(1, event_id, source, "b", NOON, NOON, None, {})
    return EventOdds(event, {source: mine}, {odds.key: odds} if priced else {})


def pull_of(key: str, starts_in_s: float, **more: Any) -> Pull:
    return Pull(key=key, event=True, start_time=NOON + timedelta(seconds=starts_in_s), **more)


async def test_urgent_events_are_pulled_more_often(autojump_clock: trio.testing.MockClock) -> None:
    source = by_event(Scripted(good), pull_of("far", 90_000), pull_of("near", 60))
    scraper, receive = scraper_of(source, capacity=1_000)
    with trio.move_on_after(95):
        await scraper.run()
    assert source.fetched.count("far") == 1
    assert 9 <= source.fetched.count("near") <= 11
    assert receive.statistics().current_buffer_used == len(source.fetched)
    (soon, later) = scraper.schedule.freshness(trio.current_time())
    assert (soon.pulls, soon.fresh, soon.late) == (1, 1, 0)
    assert (later.pulls, later.fresh) == (1, 1)


async def test_what_is_priced_is_in_play_however_long_ago_it_started(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Regression: six hours after its start, an event in play was fetched like next week's."""
    four_days_s = 4 * 86_400
    listed = listings_of(
        carried("toa:test", starts_in_s=-four_days_s, priced=True),
        carried("toa:over", starts_in_s=-four_days_s),
    )
    source = by_event(Scripted(good), *(pull_of(name, -four_days_s) for name in ("test", "over")))
    scraper, _ = scraper_of(source, listed, capacity=1_000)
    with trio.move_on_after(95):
        await scraper.run()
    assert 9 <= source.fetched.count("test") <= 11
    assert source.fetched.count("over") == 1


async def test_an_event_that_is_listed_no_more_is_pulled_until_the_cache_lets_it_go(
    autojump_clock: trio.testing.MockClock,
) -> None:
    entries = [carried("toa:left", starts_in_s=60), carried("x", starts_in_s=60, source="other")]
    listed = listings_of(*entries)
    source = by_event(Scripted(good))
    scraper, _ = scraper_of(source, listed, capacity=1_000)
    with trio.move_on_after(45):
        await scraper.run()
    assert set(source.fetched) == {"left"}
    assert len(source.fetched) >= 4
    listed = listings_of(*entries[1:])  # detect saw it absent twice
    fetched = len(source.fetched)
    again, _ = scraper_of(source, listed, capacity=1_000)
    with trio.move_on_after(45):
        await again.run()
    assert len(source.fetched) == fetched


async def test_a_failed_discovery_leaves_the_last_offer_standing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    source = Scripted(good)
    down = SourceError("server_error", "500")
    source.offers = [*source.offers, down]
    scraper, _receive = scraper_of(source, capacity=1_000)
    with structlog.testing.capture_logs(), trio.move_on_after(300 + 25):
        await scraper.run()
    assert source.discovered == 3  # after 300 s, 10 s later, and 20 s after that not yet
    assert len(source.fetched) >= 31
    assert scraper.counts.problems == {"server_error": 2}


async def test_what_several_sources_list_comes_first_among_equals(
    autojump_clock: trio.testing.MockClock,
) -> None:
    listed = listings_of()
    listed.update("other", [Pull(key="o", shared_ids={"sr": "2"})])
    pulls = [pull_of(f"e{n}", 60, shared_ids={"sr": str(n)}) for n in range(4)]
    source = by_event(Scripted(good), *pulls)
    scraper, _ = scraper_of(source, listed, capacity=1_000)
    with trio.move_on_after(1):
        await scraper.run()
    assert source.fetched[0] == "e2"
    assert len(source.fetched) == 4


async def test_a_source_without_events_is_up_by_its_discovery(
    autojump_clock: trio.testing.MockClock,
) -> None:
    scraper, receive = scraper_of(by_event(Scripted(good)), capacity=10)
    with trio.move_on_after(1):
        await scraper.run()
    fetched = receive.receive_nowait()
    assert fetched.pull_key == "discovery"
    assert fetched.observation.completeness is Completeness.PARTIAL


# -- budgets and back-pressure ---------------------------------------------------------------------


async def test_a_stage_that_lags_holds_the_fetches(
    autojump_clock: trio.testing.MockClock,
) -> None:
    source = Scripted(good, pulls=9, concurrency=2)
    scraper, receive = scraper_of(source)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scraper.run)
        await trio.sleep(100)
        assert len(source.fetched) == 2  # both wait for detect
        await receive.receive()
        await trio.sleep(1)
        assert len(source.fetched) == 3
        nursery.cancel_scope.cancel()


async def test_a_refresh_keeps_to_the_budget_and_goes_before_pulls(
    autojump_clock: trio.testing.MockClock,
) -> None:
    order: list[str] = []

    async def slow() -> Observation:
        order.append("start")
        await trio.sleep(5)
        order.append("end")
        return GOOD

    source = Scripted(slow, pulls=5)
    scraper, _ = scraper_of(source, capacity=100)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scraper.run)
        await trio.sleep(1)
        await scraper.fetch_event("e", "listing0")
        assert order == ["start", "end"] * 2  # one pull was under way, none overtook
        assert len(source.fetched) == 1
        nursery.cancel_scope.cancel()


async def test_a_fetch_is_charged_what_it_says_that_it_cost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    del autojump_clock

    async def told() -> Observation:
        return Observation(
            source="toa", scope=Scope(listing="listing0"), completeness=Completeness.COMPLETE,
            started_at=NOON, observed_at=NOON, cost=20.0,
        )  # fmt: skip

    source = Scripted(told)
    source.pace = Pace.steady(10.0, quota_per_day=200.0)  # from noon on, 100 of them
    source.offers = [Offer((Pull(key="listing0", cost=2.0),))]
    scraper, _ = scraper_of(source, capacity=1_000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scraper.run)
        await trio.sleep(43_000)  # until midnight
        assert len(source.fetched) == 5
        nursery.cancel_scope.cancel()


async def test_credits_that_are_used_up_hold_pulls_and_refreshes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def told() -> Observation:
        return Observation(
            source="toa", scope=Scope(listing="listing0"), completeness=Completeness.COMPLETE,
            started_at=NOON, observed_at=NOON, quota_left=3,
        )  # fmt: skip

    source = Scripted(told)
    source.offers = [Offer((Pull(key="listing0", cost=6.0),))]
    scraper, _ = scraper_of(source, capacity=1_000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scraper.run)
        await trio.sleep(3_000)
        assert len(source.fetched) == 1
        with pytest.raises(SourceError) as caught:
            await scraper.fetch_event("e", "listing0")
        assert caught.value.kind == "over_budget"
        assert scraper.counts.failures == 0
        await trio.sleep(1_000)
        assert len(source.fetched) == 2  # after an hour: it may have been renewed
        nursery.cancel_scope.cancel()
