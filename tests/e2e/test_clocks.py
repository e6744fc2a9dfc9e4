"""The whole service under clock jumps and sleeps, which freeze, purge and stale nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
import trio

import odds_service.clock
from odds_service.bridge import open_bridge
from odds_service.config import Settings
from odds_service.demo.bookmaker import SimulatedBookmaker, run_bookmaker
from odds_service.demo.settings import SimulationSettings
from odds_service.model.overround import Standing, standing
from odds_service.model.source import SourceStatus
from odds_service.pipeline.retention import PurgePolicy, due_for_purge
from odds_service.service import Running
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.clock import ShiftedClock
from tests.support.databases import DatabasePlace
from tests.support.places import on_databases
from tests.support.serving import call, service, settings_for, status_of, wait_until

HOUR_S, DAY_S = 3_600.0, 86_400.0
JUMPS = [HOUR_S, -HOUR_S, 400 * DAY_S, -400 * DAY_S, 3_653 * DAY_S]
MOVING = SimulationSettings(
    sports=1, events=4, bookmakers=2, markets_per_bookmaker=3, change_share=0.5,
    lead_s=90_000, in_play_s=90_000,
)  # fmt: skip
POLICY = PurgePolicy(over=timedelta(hours=6), unconfirmed=timedelta(hours=72))


pytestmark = on_databases


@asynccontextmanager
async def configured(place: DatabasePlace) -> AsyncIterator[Settings]:
    """Yield the settings for a simulated bookmaker that moves its prices at every poll."""
    offer = SimulatedBookmaker(MOVING)
    async with trio.open_nursery() as nursery:
        port = await nursery.start(partial(run_bookmaker, MOVING))
        table: dict[str, Any] = {
            "regions": list(MOVING.regions), "markets": list(offer.market_keys), "interval_s": 0.05
        }  # fmt: skip
        settings = settings_for(place.folder, port, offer.sport_keys, **table)
        database = settings.database.model_copy(
            update={
                "url": type(settings.database.url)(place.url),
                "migrate": True,
                "spill_folder": place.folder,
            }
        )
        yield settings.model_copy(update={"database": database})
        nursery.cancel_scope.cancel()


async def goes_on(running: Running) -> None:
    """Wait until all odds in the cache were confirmed after this call and are live."""
    parts = running.parts
    before_s = parts.clock.boot_s()
    (name,) = parts.scrapers

    def live() -> bool:
        state, now = parts.cache.sources[name], parts.clock.reading()
        held = [
            (odds, entry.event.start_time)
            for entry in parts.cache.events.values()
            for odds in entry.bookmakers.values()
        ]
        return bool(held) and all(
            odds.confirmed_boot_s > before_s
            and standing(odds, state, now, start_time) is Standing.LIVE
            for odds, start_time in held
        )

    await wait_until(live, "all odds are confirmed and live")
    assert parts.cache.sources[name].status is SourceStatus.UP
    assert parts.detector.counts.late_events == 0


async def stamps(place: DatabasePlace) -> list[datetime]:
    """Return the detection times of a stopped service's log, and check that it has no hole."""
    async with open_bridge(), place.opened(owner=False) as store:
        log = await store.history(0, 10**9, 10**6)
    assert [change.revision for change in log] == list(range(1, len(log) + 1))
    return [change.detected_at for change in log]


@pytest.mark.parametrize("jump_s", JUMPS)
async def test_odds_go_on_over_a_jump_while_scraping_and_over_a_restart(
    place: DatabasePlace, jump_s: float
) -> None:
    clock = ShiftedClock()
    async with configured(place) as settings:
        async with service(settings, clock) as running:
            await goes_on(running)
            events = set(running.parts.cache.events)
            clock.shift_s = jump_s
            await goes_on(running)
            await wait_until(lambda: running.parts.clock.state.jumps == 1, "the jump is noticed")
            told = (await status_of(running.address)).clock
            assert told.waiting
            assert abs(told.last_jump_s - jump_s) < 2
            (entry, *_) = running.parts.cache.events.values()
            clock.shift_s = 0.0
            await goes_on(running)
            assert set(running.parts.cache.events) == events
            assert entry.event == running.parts.cache.events[entry.event.id].event
        # One start with a wrong clock, and one after it was corrected.
        clock.shift_s = jump_s
        async with service(settings, clock) as running:
            await goes_on(running)
            assert set(running.parts.cache.events) == events
        clock.shift_s = 0.0
        async with service(settings, clock) as running:
            await goes_on(running)
            assert set(running.parts.cache.events) == events
            told = (await status_of(running.address)).clock
            assert told.log_holds == (jump_s > DAY_S)
            assert (told.log_lead_s > 0) == (jump_s > 0)
        times = await stamps(place)
        assert times == sorted(times)


async def test_a_machine_that_slept_for_80_hours_looks_at_everything_and_purges_nothing(
    place: DatabasePlace,
) -> None:
    clock = ShiftedClock()
    async with configured(place) as settings:
        sources = [table | {"interval_s": 3_600.0} for table in settings.sources]
        settings = settings.model_copy(update={"sources": sources})
        async with service(settings, clock) as running:
            await looked_once(running)
            parts = running.parts
            events = set(parts.cache.events)
            before_s = parts.clock.boot_s()
            clock.slept_s = 80 * HOUR_S
            parts.clock.look()
            due = due_for_purge(
                parts.cache.events, parts.cache.sources, POLICY,
                since_s=parts.clock.awake_since_s, now=parts.clock.reading(),
            )  # fmt: skip
            assert due == {}
            # Without the sleep, nothing would be due for another hour.
            await wait_until(
                lambda: all(
                    odds.confirmed_boot_s > before_s + HOUR_S
                    for entry in parts.cache.events.values()
                    for odds in entry.bookmakers.values()
                ),
                "all odds are confirmed",
            )
            assert set(parts.cache.events) == events
            told = (await status_of(running.address)).clock
            assert (told.sleeps, told.jumps) == (1, 0)
            assert abs(told.slept_s - 80 * HOUR_S) < 2


def jumped(running: Running, jumps: int) -> bool:
    return running.parts.clock.state.jumps > jumps


async def looked_once(running: Running) -> None:
    await wait_until(lambda: bool(running.parts.cache.events), "the first look")


async def test_a_shifted_datetime_now_under_the_machines_own_clock(
    place: DatabasePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    shift = timedelta()

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]  # a plain datetime
            return datetime.now(tz) + shift

    monkeypatch.setattr(odds_service.clock, "datetime", Shifted)
    async with configured(place) as settings, service(settings) as running:
        await goes_on(running)
        events = set(running.parts.cache.events)
        for jump_s in (*JUMPS, 0.0):
            shift = timedelta(seconds=jump_s)
            jumps = running.parts.clock.state.jumps
            await goes_on(running)
            await wait_until(partial(jumped, running, jumps), "the jump is noticed")
        await goes_on(running)
        assert set(running.parts.cache.events) == events
        reply = await call(
            running.address, lambda stub: stub.GetOdds(pb.GetOddsRequest(), timeout=30)
        )
        assert not any(odds.stale for event in reply.events for odds in event.bookmakers)
    times = await stamps(place)
    assert times == sorted(times)
    assert max(times) - min(times) < timedelta(minutes=10)
