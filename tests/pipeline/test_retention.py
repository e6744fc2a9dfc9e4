"""Retention: unconfirmed odds leave the cache, as changes; old rows leave the database."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from odds_service.clock import DrivenClock, SteadyClock
from odds_service.errors import StorageUnavailable
from odds_service.model.change import ChangeKind, EventChange, MarketChange, Reason
from odds_service.model.market import MarketKey
from odds_service.model.snapshot import Reading
from odds_service.model.source import SourceState
from odds_service.pipeline.retention import (
    GRACE,
    RETAIN_EVERY_S,
    TICK_S,
    PurgePolicy,
    due_for_purge,
    purge_by_clock,
    retain_by_clock,
)
from odds_service.pipeline.write import Writer
from odds_service.store import Retained, Retention
from tests.pipeline.test_detect import Stage, big
from tests.support.observations import NOON, Offer, observe, offered

HOUR = timedelta(hours=1)
POLICY = PurgePolicy(over=6 * HOUR, unconfirmed=72 * HOUR)
H2H = MarketKey("h2h")
OFFER: Offer = {"e": {"b": {H2H: {"home": 2.0}}}}  # starts six hours after NOON


def reading(at: datetime) -> Reading:
    """Return a reading as a DrivenClock gives it."""
    return Reading(at, at.timestamp())


async def seen(*sources: str) -> Stage:
    """Return a stage in which each source showed the event at noon, after a start at noon."""
    stage = Stage()
    states = {name: SourceState(source=name, interval_s=60) for name in sources}
    stage.cache.swap({}, states, None, NOON)
    for source in sources:
        await stage.detector.observe(replace(observe(offered(OFFER)), source=source))
    return stage


@pytest.mark.parametrize(
    ("after", "due"),
    [
        (5 * HOUR, False),  # not begun
        (12 * HOUR - timedelta(seconds=1), False),
        (12 * HOUR, True),  # begun six hours ago, and not seen since
    ],
)
async def test_an_event_that_is_over_goes_once_nobody_has_confirmed_it_since(
    after: timedelta, due: bool
) -> None:
    stage = await seen("toa")
    found = due_for_purge(
        stage.cache.events,
        stage.cache.sources,
        POLICY,
        since_s=NOON.timestamp(),
        now=reading(NOON + after),
    )
    assert found == ({"toa:e": {"toa"}} if due else {})


async def test_one_that_is_confirmed_stays_however_long_ago_it_began() -> None:
    stage = await seen("toa")
    await stage.detector.observe(observe(offered(OFFER), 60 * 100))
    for hours, due in ((105, False), (106, True)):
        found = due_for_purge(
            stage.cache.events,
            stage.cache.sources,
            POLICY,
            since_s=NOON.timestamp(),
            now=reading(NOON + hours * HOUR),
        )
        assert bool(found) == due, hours


async def test_after_a_start_the_sources_have_time_to_confirm() -> None:
    stage = await seen("toa")
    long_after = NOON + 1000 * HOUR
    slow: Mapping[str, SourceState] = {"toa": SourceState(source="toa", interval_s=3600)}
    for sources, wait in ((stage.cache.sources, GRACE), (slow, 3 * HOUR), ({}, GRACE)):
        for now, due in (
            (long_after + wait - timedelta(seconds=1), False),
            (long_after + wait, True),
        ):
            found = due_for_purge(
                stage.cache.events,
                sources,
                POLICY,
                since_s=long_after.timestamp(),
                now=reading(now),
            )
            assert bool(found) == due, (sources, wait)


async def test_a_source_that_is_gone_takes_its_odds_with_it_and_the_last_one_the_event() -> None:
    stage = await seen("one", "two")
    (before,) = stage.cache.view().events.values()
    first = len(stage.published())

    def confirmed_by_two() -> dict[str, set[str]]:
        there = stage.cache.events.get("one:e")
        return {"one:e": {"one"}} if there is not None and "one" in there.sources else {}

    assert await stage.detector.purge(confirmed_by_two) == 2
    left, removed = stage.published()[first:]
    assert isinstance(left, EventChange)
    assert (left.kind, left.reason) == (ChangeKind.EVENT_UPDATED, Reason.SOURCE_LEFT)
    assert isinstance(removed, MarketChange)
    assert (removed.kind, removed.reason) == (ChangeKind.REMOVED, Reason.PURGED)
    (entry,) = stage.cache.view().events.values()
    assert entry.bookmakers == {("two", "b"): before.bookmakers["two", "b"]}

    assert await stage.detector.purge(lambda: {id_: {"two"} for id_ in stage.cache.events}) == 1
    ended = stage.agrees()[-1]
    assert isinstance(ended, EventChange)
    assert (ended.kind, ended.reason) == (ChangeKind.EVENT_ENDED, Reason.PURGED)
    assert ended.ended == tuple(
        replace(odds, confirmed_boot_s=0.0) for odds in entry.bookmakers.values()
    )
    assert not stage.cache.events


async def test_the_clock_purges_what_is_due_and_what_was_confirmed_meanwhile_stays(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stage = Stage()
    await stage.detector.observe(observe(offered(big(40))))
    begun = trio.current_time()

    def now() -> datetime:
        return NOON + timedelta(seconds=trio.current_time() - begun) * 3600

    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            purge_by_clock, stage.cache, stage.detector, POLICY, SteadyClock(DrivenClock(now))
        )
        await trio.sleep(TICK_S / 2)
        again = dict(list(big(40).items())[:3])
        later = replace(observe(offered(again), 60 * 58), completeness=observe([]).completeness)
        await stage.detector.observe(replace(later, scope=replace(later.scope, listing="other")))
        await trio.sleep(TICK_S)
        nursery.cancel_scope.cancel()
    assert list(stage.cache.events) == [f"toa:{event_id}" for event_id in again]
    ended = [c for c in stage.agrees() if c.kind is ChangeKind.EVENT_ENDED]
    assert len(ended) == 37


class Flaky:
    """A store whose first rounds of retention fail."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.rounds: list[float] = []

    async def retain(self, policy: Retention, now: object) -> Retained:
        await trio.lowlevel.checkpoint()
        self.rounds.append(trio.current_time())
        if self.failures:
            raise self.failures.pop(0)
        return Retained(history=3)

    async def count_dead_letters(self) -> int:
        await trio.lowlevel.checkpoint()
        return 7


@pytest.mark.logs_errors
async def test_failures_of_retention_are_told_and_tried_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stage = Stage()
    store = Flaky(StorageUnavailable("away"), LookupError("a bug"))
    writer = Writer(store, stage.queue, stage.feed)  # type: ignore[arg-type]  # it is not asked to write
    begun = trio.current_time()
    with trio.move_on_after(RETAIN_EVERY_S * 1.5):
        await retain_by_clock(store, writer, Retention(), lambda: NOON)  # type: ignore[arg-type]  # it only retains
    assert [at - begun for at in store.rounds] == [
        0,
        TICK_S,
        2 * TICK_S,
        2 * TICK_S + RETAIN_EVERY_S,
    ]
    assert writer.report().dead_letters == 7
