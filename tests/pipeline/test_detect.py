"""The detect stage: cache, feed and write queue agree, even if it is cancelled or held."""

from datetime import UTC, datetime, timedelta

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from odds_service.cache import OddsCache
from odds_service.clock import DrivenClock
from odds_service.feed import ChangeFeed
from odds_service.model.change import Change, ChangeKind, SourceChange
from odds_service.model.market import MarketKey
from odds_service.model.observation import Completeness, Observation, Scope
from odds_service.model.source import SourceState, SourceStatus
from odds_service.pipeline.channels import (
    OBSERVATIONS_WAITING,
    SCRAPE_RUNS_KEPT,
    Fetched,
    WriteQueue,
)
from odds_service.pipeline.detect import (
    SLICE_EVENTS,
    Detector,
    detect_observations,
    judge_by_clock,
    scrape_run,
    slices,
)
from odds_service.pipeline.write import Writer
from odds_service.reconcile import Reconciler
from odds_service.storage.memory import Memory
from odds_service.storage.memory_store import MemoryStore
from tests.support.observations import NOON, Offer, cached, fold, observe, offered

H2H = MarketKey("h2h")
INTERVAL_S = 60.0


class Stage:
    """A detector with its real neighbours, and a clock that the test moves."""

    def __init__(self, *, capacity: int = 1_000, announced: SourceStatus | None = None) -> None:
        self.now = NOON
        self.clock = DrivenClock(lambda: self.now)
        self.feed = ChangeFeed("e1", 0)
        state = SourceState(source="toa", interval_s=INTERVAL_S, announced=announced)
        self.cache = OddsCache(self.feed, sources=[state])
        self.queue = WriteQueue(capacity)
        self.detector = Detector(self.cache, self.feed, self.queue, Reconciler(), self.clock)

    def published(self) -> list[Change]:
        return [c for b in self.feed.read_after(0, 10_000) or [] for c in b.changes]

    def enqueued(self) -> list[Change]:
        changes: list[Change] = []
        while True:
            try:
                changes += self.queue.receive.receive_nowait().changes
            except trio.WouldBlock:
                return changes

    def agrees(self) -> list[Change]:
        """Assert that cache, feed and queue agree; return the log."""
        log = self.published()
        assert self.enqueued() == log
        assert fold(log) == cached(self.cache.events)
        assert self.cache.view().cursor.revision == len(log)
        return log


def big(events: int, price: float = 2.0) -> Offer:
    return {f"e{n:04}": {"b": {H2H: {"home": price}}} for n in range(events)}


async def test_cancelled_for_want_of_room_what_was_applied_is_in_all_three() -> None:
    stage = Stage(capacity=SLICE_EVENTS)
    with trio.move_on_after(60) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.detector.observe, observe(offered(big(5 * SLICE_EVENTS))))
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    log = stage.agrees()
    assert SLICE_EVENTS <= len(log) < 2 * 5 * SLICE_EVENTS  # some were applied, not all


async def test_room_lets_a_held_observation_go_on_and_nothing_is_missing() -> None:
    stage = Stage(capacity=SLICE_EVENTS)
    written: list[Change] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.detector.observe, observe(offered(big(5 * SLICE_EVENTS))))

        async def write() -> None:
            async with stage.queue.receive.clone() as batches:
                while len(written) < 2 * 5 * SLICE_EVENTS + 1:
                    batch = await batches.receive()
                    written.extend(batch.changes)
                    assert stage.queue.pending_changes <= 4 * SLICE_EVENTS
                    await stage.queue.wrote(len(batch.changes))

        nursery.start_soon(write)
    assert written == stage.published()
    assert fold(written) == cached(stage.cache.events)
    assert stage.queue.pending_changes == 0


async def test_only_what_waits_for_room_or_has_several_slices_takes_a_checkpoint() -> None:
    stage = Stage(capacity=2 * SLICE_EVENTS)
    with trio.testing.assert_no_checkpoints():
        await stage.detector.observe(observe(offered(big(SLICE_EVENTS))))
    with trio.testing.assert_checkpoints(), trio.move_on_after(0):
        await stage.detector.observe(observe(offered(big(1, 3.0)), 1))  # the queue is full
    assert len(stage.agrees()) == 2 * SLICE_EVENTS + 1
    several = Stage()
    with trio.testing.assert_checkpoints():
        await several.detector.observe(observe(offered(big(SLICE_EVENTS + 1))))


async def test_slices_judge_absences_as_the_whole_does() -> None:
    stage = Stage()
    whole = observe(offered(big(3 * SLICE_EVENTS + 1)))
    assert sum(len(part.events) for part, _ in slices(whole)) == len(whole.events)
    await stage.detector.observe(whole)
    fewer = dict(list(big(3 * SLICE_EVENTS + 1).items())[:-2])
    for minute in (1, 2):
        await stage.detector.observe(observe(offered(fewer), minute))
    ended = [c.event_id for c in stage.agrees() if c.kind is ChangeKind.EVENT_ENDED
             and not isinstance(c, SourceChange)]  # fmt: skip
    assert ended == ["toa:e0095", "toa:e0096"]


@pytest.mark.parametrize("observations", [0, 1, OBSERVATIONS_WAITING])
async def test_the_stage_applies_all_that_was_fetched_once_the_scrapers_have_ended(
    observations: int,
) -> None:
    stage = Stage()
    send, receive = trio.open_memory_channel[Fetched](OBSERVATIONS_WAITING)
    for minute in range(observations):
        offer = big(3, 2.0 + minute)
        await send.send(Fetched("soccer_epl", observe(offered(offer), minute)))
    send.close()
    with trio.fail_after(10):
        await detect_observations(receive, stage.detector, stage.queue)
    stage.agrees()
    assert len(stage.queue.take_runs()) == observations


async def test_of_the_records_of_pulls_that_wait_the_newest_are_kept() -> None:
    stage = Stage()
    await stage.detector.observe(observe(offered(big(1))))
    applied = await stage.detector.observe(observe(offered(big(1)), 1))
    for number in range(SCRAPE_RUNS_KEPT + 3):
        stage.queue.record(scrape_run(Fetched(str(number), applied.observation), applied))
    writer = Writer(MemoryStore(Memory()), stage.queue, stage.feed)
    assert writer.report().runs_dropped == 3
    waiting = [run.listing for run in stage.queue.take_runs()]
    assert waiting == [str(number) for number in range(3, SCRAPE_RUNS_KEPT + 3)]
    assert stage.queue.take_runs() == []


async def test_a_full_channel_holds_the_scraper() -> None:
    stage = Stage(capacity=1)
    send, receive = trio.open_memory_channel[Fetched](OBSERVATIONS_WAITING)
    sent = 0

    async def scrape() -> None:
        nonlocal sent
        with send:
            for minute in range(50):
                offer = big(1, 2.0 + minute)
                await send.send(Fetched("soccer_epl", observe(offered(offer), minute)))
                sent += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(scrape)
        nursery.start_soon(detect_observations, receive, stage.detector, stage.queue)
        await trio.testing.wait_all_tasks_blocked()
        assert sent == OBSERVATIONS_WAITING + 2  # one applied, one held by detect, the rest wait
        nursery.cancel_scope.cancel()
    stage.agrees()


async def test_confirmations_are_coalesced_and_wait_for_their_snapshot() -> None:
    stage = Stage()
    for minute in range(5):
        await stage.detector.observe(observe(offered(big(2)), minute))
    assert stage.queue.take_confirmations(durable_revision=0) == []
    taken = stage.queue.take_confirmations(durable_revision=stage.feed.head_revision)
    assert [odds.confirmed_at for odds in taken] == [NOON + timedelta(minutes=4)] * 2
    assert stage.queue.take_confirmations(durable_revision=stage.feed.head_revision) == []
    stage.agrees()


def failed(minute: float) -> Observation:
    return observe([], minute, completeness=Completeness.FAILED)


def source_kinds(stage: Stage) -> list[ChangeKind]:
    return [c.kind for c in stage.published() if isinstance(c, SourceChange)]


async def test_a_source_comes_up_goes_stale_and_down_and_up_again() -> None:
    stage = Stage()
    await stage.detector.observe(failed(0))
    assert source_kinds(stage) == []  # starting is announced only when it is over
    await stage.detector.observe(observe(offered(big(1)), 0))
    stage.now = NOON + timedelta(seconds=3 * INTERVAL_S)
    stage.detector.judge_sources()
    assert source_kinds(stage) == [ChangeKind.SOURCE_UP]
    stage.now += timedelta(seconds=1)
    stage.detector.judge_sources()
    stage.detector.judge_sources()
    for _ in range(6):
        await stage.detector.observe(failed(5))
    stage.now = NOON + timedelta(minutes=6)
    await stage.detector.observe(observe(offered(big(1)), 6))
    assert source_kinds(stage) == [
        ChangeKind.SOURCE_UP,
        ChangeKind.SOURCE_STALE,
        ChangeKind.SOURCE_DOWN,
        ChangeKind.SOURCE_UP,
    ]
    stage.agrees()


async def test_with_a_full_queue_a_source_turns_stale_and_says_why() -> None:
    stage = Stage(capacity=2)
    await stage.detector.observe(observe(offered(big(1)), 0))
    assert stage.queue.full
    stage.now += timedelta(seconds=10 * INTERVAL_S)
    stage.detector.judge_sources()
    state = stage.cache.sources["toa"]
    assert (state.status, state.reason) == (SourceStatus.STALE, "storage_behind")
    stage.agrees()


async def test_a_stale_source_says_when_it_is_the_database_that_holds_it() -> None:
    stage = Stage(capacity=1_000)
    await stage.detector.observe(observe(offered(big(1)), 0))
    stage.now += timedelta(seconds=10 * INTERVAL_S)
    stage.detector.judge_sources()
    assert stage.cache.sources["toa"].reason == "no_success"
    kinds = source_kinds(stage)
    stage.queue.capacity = stage.queue.pending_changes
    assert stage.queue.full
    stage.detector.judge_sources()
    assert stage.cache.sources["toa"].reason == "storage_behind"
    assert source_kinds(stage) == kinds  # the same status: no change in the log
    stage.agrees()


async def test_after_a_restart_the_same_state_is_no_change() -> None:
    stage = Stage(announced=SourceStatus.UP)
    before = stage.cache.sources["toa"]
    await stage.detector.observe(observe([], 0))
    after = stage.cache.sources["toa"]
    assert (before.status, after.status) == (SourceStatus.STALE, SourceStatus.UP)
    assert stage.published() == []


async def test_the_clock_judges_by_itself(autojump_clock: trio.testing.MockClock) -> None:
    stage = Stage()
    await stage.detector.observe(observe(offered(big(1)), 0))
    began = trio.current_time()
    clock = Detector(
        stage.cache, stage.feed, stage.queue, Reconciler(),
        DrivenClock(lambda: NOON + timedelta(seconds=trio.current_time() - began)),
    )  # fmt: skip
    with trio.move_on_after(4 * INTERVAL_S):
        await judge_by_clock(clock)
    assert source_kinds(stage)[-1] is ChangeKind.SOURCE_STALE


async def test_stamps_never_decrease() -> None:
    stage = Stage()
    await stage.detector.observe(observe(offered(big(1)), 0))
    stage.now = datetime(2026, 1, 1, tzinfo=UTC)
    await stage.detector.observe(observe(offered(big(1, 3.0)), 1))
    stamps = [change.detected_at for change in stage.published()]
    assert stamps == sorted(stamps)


async def test_why_a_source_is_not_up_is_a_word_and_the_text_stands_beside_it() -> None:
    stage = Stage()
    text = "/v4/sports/soccer_epl/odds: answered 503"
    for _ in range(5):
        await stage.detector.observe(replace(failed(1), reason=text, problems={"server_error": 1}))
    (down,) = [c for c in stage.published() if isinstance(c, SourceChange)]
    assert (down.kind, down.reason) == (ChangeKind.SOURCE_DOWN, "server_error")
    assert (down.after.reason, down.after.detail) == ("server_error", text)
    await stage.detector.observe(observe(offered(big(1)), 2))
    up = stage.cache.sources["toa"]
    assert (up.status, up.reason, up.detail) == (SourceStatus.UP, "", "")
    await stage.detector.observe(replace(failed(2), reason="slow", problems={"timeout": 1}))
    up = stage.cache.sources["toa"]
    assert (up.status, up.reason, up.detail) == (SourceStatus.UP, "timeout", "slow")
    await stage.detector.observe(observe(offered(big(1)), 2))
    stage.now = NOON + timedelta(hours=1)
    stage.detector.judge_sources()
    stale = stage.cache.sources["toa"]
    assert (stale.reason, stale.detail) == (
        "no_success",
        "no success since 2026-08-04T12:02:00+00:00",
    )
    assert [c.reason for c in stage.published() if isinstance(c, SourceChange)] == [
        "server_error", "", "no_success",
    ]  # fmt: skip


def unread(minute: float, event_id: str | None, problem: str = "wrong_shape") -> Observation:
    """Return a failed fetch of one event, or of a listing."""
    events = None if event_id is None else frozenset({event_id})
    failed = observe([], minute, scope=Scope(events=events), completeness=Completeness.FAILED)
    return replace(failed, reason="no event", problems={problem: 1})


async def test_an_event_that_cannot_be_read_takes_no_source_down_whose_others_can() -> None:
    stage = Stage()
    for minute in (0, 1, 2):
        await stage.detector.observe(observe(offered(big(2)), minute))
        for n in range(7):
            await stage.detector.observe(unread(minute, f"odd{n}"))
            assert stage.cache.sources["toa"].status is SourceStatus.UP
    for n in range(5):
        await stage.detector.observe(unread(3, f"e{n}", "timeout"))
    assert stage.cache.sources["toa"].status is SourceStatus.DOWN


async def test_a_source_of_which_no_event_can_be_read_goes_down() -> None:
    stage = Stage()
    for n in range(5):
        await stage.detector.observe(unread(0, f"odd{n}"))
    seen = [stage.cache.sources["toa"].status]
    await stage.detector.observe(observe(offered(big(1)), 1))
    seen.append(stage.cache.sources["toa"].status)
    assert seen == [SourceStatus.DOWN, SourceStatus.UP]
    stage.now = NOON + timedelta(seconds=60 + 4 * INTERVAL_S)
    for n in range(5):
        await stage.detector.observe(unread(5, f"odd{n}"))
    assert stage.cache.sources["toa"].status is SourceStatus.DOWN


async def test_a_listing_that_cannot_be_read_counts() -> None:
    stage = Stage()
    await stage.detector.observe(observe(offered(big(1))))
    for _ in range(5):
        await stage.detector.observe(unread(1, None))
    assert stage.cache.sources["toa"].status is SourceStatus.DOWN
