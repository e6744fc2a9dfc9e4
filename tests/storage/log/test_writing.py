"""Logs whose wall clock moves back and forth: read by time, written over years, spilled."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from odds_service.cache import OddsCache
from odds_service.clock import SteadyClock
from odds_service.feed import ChangeFeed
from odds_service.model.change import Change, Commit
from odds_service.model.source import SourceState
from odds_service.pipeline.channels import WriteQueue
from odds_service.pipeline.detect import Detector
from odds_service.reconcile import Reconciler
from odds_service.store import Stored, WriteGroup
from tests.support.clock import ManualClock
from tests.support.databases import Place, PostgresPlace
from tests.support.observations import NOON, observe, offered
from tests.support.stories import H2H

ALL = 10**9
DAY_S = 86_400.0
JUMPS = [3_600.0, -3_600.0, 400 * DAY_S, -400 * DAY_S, 3_653 * DAY_S]


class Run:
    """A detector with a clock, from one start of the service to the next."""

    def __init__(self, stored: Stored, clock: ManualClock) -> None:
        self.manual = clock
        self.clock = SteadyClock(clock)
        self.feed = ChangeFeed(stored.epoch, stored.revision, detected_at=stored.last_detected_at)
        states = [SourceState(source="toa", interval_s=60)]
        self.cache = OddsCache(self.feed, events=stored.events, sources=states)
        reconciler = Reconciler(stored.events, stored.ghosts)
        self.detector = Detector(self.cache, self.feed, WriteQueue(10**6), reconciler, self.clock)
        self.first = stored.revision

    def after(self, seconds: int) -> None:
        for _ in range(seconds):
            self.manual.run(1.0)
            self.clock.look()

    def see(self, price: float) -> datetime:
        """Observe a price now, and return its believed time."""
        now = self.clock.wall()
        seen = observe(offered({"e": {"b": {H2H: {"home": price}}}}))
        dated = replace(
            seen,
            sequence=self.clock.sequence(),
            started_at=now,
            observed_at=now,
            observed_boot_s=self.clock.boot_s(),
        )
        self.detector.apply(dated)
        return now

    def batches(self) -> Sequence[Commit]:
        return self.feed.read_after(self.first, ALL) or []

    def log(self) -> list[Change]:
        return [change for batch in self.batches() for change in batch.changes]


@pytest.mark.parametrize("jump_s", JUMPS)
async def test_a_request_by_time_means_the_last_revision_by_the_wall_clock(
    place: Place, jump_s: float
) -> None:
    """This holds over a restart; a wrong wall clock spoils only the times that it gave."""
    manual = ManualClock(NOON)
    seen: list[tuple[datetime, int]] = []
    prices = iter(range(2, 100))
    for _ in range(2):
        async with place.begun() as (store, stored):
            run = Run(stored, manual)
            for jump in (0.0, jump_s, -jump_s):
                manual.jump(jump)
                run.clock.look()
                for _ in range(4):
                    run.after(40)
                    seen.append((run.see(float(next(prices))), run.feed.head_revision))
            await store.write(WriteGroup(run.batches()))
            assert await store.history(run.first, ALL, ALL) == run.log()
            stamps = [change.detected_at for change in await store.history(0, ALL, ALL)]
            assert stamps == sorted(stamps)
            for at, _ in seen:
                wanted = max(revision for time, revision in seen if time <= at)
                assert await store.revision_at(at) == wanted
            first = min(at for at, _ in seen)
            assert await store.revision_at(first - timedelta(microseconds=1)) == 0
    assert (lead_s(run) > DAY_S) == (jump_s > DAY_S)


def lead_s(run: Run) -> float:
    return run.detector.log_clock.lead_s(run.clock.wall(), run.clock.boot_s())


def years(stored: Stored) -> Run:
    """Return a run whose clock advances a month per change, for over ten years."""
    run = Run(stored, ManualClock(NOON))
    for month in range(125):
        run.see(2.0 + month)
        run.manual.run(30 * DAY_S)
        run.clock.look()
    return run


async def test_a_group_that_spans_ten_years_is_written_and_only_days_with_rows_have_room(
    place: Place,
) -> None:
    async with place.begun() as (store, stored):
        run = years(stored)
        await store.write(WriteGroup(run.batches()))
        assert await store.history(0, ALL, ALL) == run.log()
        assert await store.write(WriteGroup(run.batches())) == 0  # a repeat
        verified = await store.verify()
        assert (verified.faulty, verified.unstored) == (0, 0)
    if isinstance(place, PostgresPlace):
        count = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'odds_history'::regclass"
        assert int(place.value(count)) == 125


async def test_a_spill_that_spans_ten_years_is_replayed(place: Place) -> None:
    async with place.begun() as (store, stored):
        run = years(stored)
        store.spill(run.batches())
    async with place.begun() as (store, stored):
        assert stored.replayed == len(run.log())
        assert await store.history(0, ALL, ALL) == run.log()
        assert stored.last_detected_at == run.log()[-1].detected_at
    assert not place.has_spill()
