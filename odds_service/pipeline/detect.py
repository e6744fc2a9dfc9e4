"""The detect stage: the only writer of the cache."""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final

import structlog
import trio
from msgspec import Struct
from msgspec.structs import replace

from odds_service.cache import OddsCache
from odds_service.clock import Clock
from odds_service.detection import detect, source_change
from odds_service.detection.answer_times import STALE_ANSWER, AnswerTimes
from odds_service.detection.departure import purge
from odds_service.detection.numbering import Detected
from odds_service.detection.withdrawal import Changed, due_for_withdrawal, withdraw
from odds_service.feed import ChangeFeed
from odds_service.model.change import Change, Commit
from odds_service.model.observation import Completeness, Observation
from odds_service.model.scrape_run import ScrapeRun
from odds_service.model.source import SourceReason, SourceState, SourceStatus, judged_status
from odds_service.model.text import as_text
from odds_service.pipeline.channels import Fetched, WriteQueue
from odds_service.pipeline.source_counts import Counts
from odds_service.reconcile import Reconciler
from odds_service.reconcile.regrouping import regroup, rematch
from odds_service.stamps import LogClock, Stamp

SLICE_EVENTS: Final = 32  # events compared at a stretch: keeps batches and pauses short
TICK_S: Final = 1.0  # how often sources are judged by the clock
_UNREAD: Final = frozenset({"wrong_shape", "bad_observation", "wrong_event"})

log = structlog.get_logger(__name__)


class Applied(Struct, frozen=True):
    """What one observation gave: its changes in order, and the head after it.

    observation: as it was applied, without what was older than what had been applied before.
    """

    changes: list[Change]
    head_revision: int
    markets: int
    observation: Observation


class Detector:
    """Compares observations with the cache, numbers what changed, publishes and enqueues it.

    `apply` is one synchronous function without an await inside, so nothing comes between the
    comparison, the swap, the feed and the queue.
    """

    def __init__(
        self,
        cache: OddsCache,
        feed: ChangeFeed,
        queue: WriteQueue,
        reconciler: Reconciler,
        clock: Clock,
        counts: Counts | None = None,
    ) -> None:
        self._cache = cache
        self._feed = feed
        self._queue = queue
        self._reconciler = reconciler
        self._clock = clock
        self.log_clock = LogClock(feed.last_detected_at)
        self._times = AnswerTimes(cache.events)
        self.counts = Counts() if counts is None else counts

    async def observe(self, observation: Observation) -> Applied:
        """Apply an observation in slices, each when the write queue has room.

        Cancelled in between, the slices that were applied stand, in cache and queue alike; the
        rest is as if it had not been fetched.
        """
        observation = self._times.sift(self._dated(observation))
        stale = observation.problems.get(STALE_ANSWER, 0)
        self.counts.of(observation.source).add_problems({STALE_ANSWER: stale})
        changes: list[Change] = []
        markets = 0
        for part, present in slices(observation):
            await self._queue.room()
            found = self.apply(part, present)
            changes += found.changes
            markets += found.markets
        return Applied(changes, self._feed.head_revision, markets, observation)

    def apply(self, observation: Observation, present: frozenset[str] = frozenset()) -> Detected:
        """Compare, update the cache for all that was seen, number and publish the changes."""
        observation = self._dated(observation)
        events, stamp = self._cache.events, self._stamp()
        moves = self._reconciler.place(observation, events)
        found = regroup(
            events,
            moves,
            first_revision=self._feed.head_revision + 1,
            detected_at=stamp.detected_at,
            wall_at=stamp.wall_at,
            observed_at=observation.observed_at,
        )
        found.add(
            detect(
                found.upon(events),
                observation,
                self._reconciler.placed,
                first_revision=found.next_revision,
                detected_at=stamp.detected_at,
                wall_at=stamp.wall_at,
                present=present,
            )
        )
        rematch(found, events, moves, observation.observed_at)
        if found.changes:
            found.event_sources += self._reconciler.unstored()
        self._reconciler.forget(found.departed)
        self._times.forget(found.departed)
        counts = self.counts.of(observation.source)
        counts.late_events += found.late
        counts.duplicate_events += found.duplicates
        state = self._after_fetch(self._cache.sources[observation.source], observation)
        self._publish(found, state)
        return found

    def judge_sources(self) -> None:
        """Find the sources that time has made stale, or that have recovered; a clock's tick."""
        for state in tuple(self._cache.sources.values()):
            judged = self._judged(state)
            if judged.status is not state.status:
                self._publish(Detected(self._feed.head_revision + 1, *self._stamp()), judged)

    async def purge(self, due: Callable[[], Mapping[str, AbstractSet[str]]]) -> int:
        """Let go of sources that no longer confirm their events; gives how many changes that made.

        due: event id -> which sources. It is asked anew for each batch, once the write queue has
        room: what was confirmed meanwhile stays.
        """
        changes = 0
        while True:
            await self._queue.room()
            going = due()
            if not going:
                return changes
            stamp = self._stamp()
            found = purge(
                self._cache.events,
                {event_id: going[event_id] for event_id in sorted(going)[:SLICE_EVENTS]},
                first_revision=self._feed.head_revision + 1,
                detected_at=stamp.detected_at,
                wall_at=stamp.wall_at,
            )
            self._reconciler.forget(found.departed)
            self._times.forget(found.departed)
            self._publish(found)
            changes += len(found.changes)

    async def withdraw(self, changed: Changed) -> tuple[int, int]:
        """Withdraw what the settings ask for no more, in slices, each when the queue has room.

        Returns how many changes that made, and the last revision after them.
        """
        changes = 0
        while True:
            await self._queue.room()
            going = due_for_withdrawal(self._cache.events, changed)
            if not going:
                return changes, self._feed.head_revision
            stamp = self._stamp()
            found = withdraw(
                self._cache.events,
                going[:SLICE_EVENTS],
                changed,
                first_revision=self._feed.head_revision + 1,
                detected_at=stamp.detected_at,
                wall_at=stamp.wall_at,
            )
            self._reconciler.forget(found.departed)
            self._times.forget(found.departed)
            self._publish(found)
            changes += len(found.changes)

    def _after_fetch(self, state: SourceState, observation: Observation) -> SourceState:
        if observation.completeness is Completeness.FAILED:
            failures = state.consecutive_failures
            if not (_of_one_event(observation) and self._answers(state)):
                failures += 1
            state = replace(
                state,
                consecutive_failures=failures,
                reason=observation.failure,
                detail=observation.reason,
            )
        else:
            state = replace(
                state,
                last_success_at=observation.observed_at,
                success_boot_s=observation.observed_boot_s,
                consecutive_failures=0,
                reason="",
                detail=observation.reason,
            )
        if observation.quota_left is not None:
            state = replace(state, quota_left=observation.quota_left)
        return self._judged(state)

    def _answers(self, state: SourceState) -> bool:
        """Return whether the source's other events are fetched well enough for it to be UP."""
        return judged_status(state, self._clock.boot_s()) is SourceStatus.UP

    def _judged(self, state: SourceState) -> SourceState:
        reason, detail = state.reason, state.detail
        status = judged_status(state, self._clock.boot_s())
        if status is SourceStatus.STALE and state.last_success_at is not None:
            if self._queue.full:
                reason = SourceReason.STORAGE_BEHIND
                detail = "the write queue is full: fetching waits for the database"
            elif state.consecutive_failures == 0:
                reason = SourceReason.NO_SUCCESS
                detail = f"no success since {state.last_success_at.isoformat(timespec='seconds')}"
        elif status is SourceStatus.UP and state.consecutive_failures == 0:
            reason = ""
        return replace(state, status=status, reason=reason, detail=detail if reason else "")

    def _publish(self, found: Detected, state: SourceState | None = None) -> None:
        states = {}
        if state is not None:
            before = self._cache.sources[state.source]
            state, announced = source_change(
                before,
                state,
                revision=found.next_revision,
                detected_at=found.detected_at,
                wall_at=found.wall_at,
            )
            states[state.source] = state
            if announced is not None:
                found.changes.append(announced)
                log.info("source_state", source=state.source, status=state.status.name,
                         reason=state.reason, detail=state.detail)  # fmt: skip
        batch = None
        if found.changes:
            batch = Commit(found.changes, found.snapshots, found.event_sources, found.replaced)
        self._cache.swap(found.entries, states, batch, found.detected_at)
        if batch is not None:
            self._queue.put(batch)
        for odds in found.confirmed:
            self._queue.confirm(odds)

    def log_time(self) -> datetime:
        """The log's time now, which ages of its changes are told by."""
        return self.log_clock.time(self._clock.wall(), self._clock.boot_s())

    def _stamp(self) -> Stamp:
        return self.log_clock.stamp(self._clock.wall(), self._clock.boot_s())

    def _dated(self, observation: Observation) -> Observation:
        """Date an observation that no scraper stamped by the boot clock, from its own time."""
        if observation.observed_boot_s:
            return observation
        age_s = (self._clock.wall() - observation.observed_at).total_seconds()
        return replace(observation, observed_boot_s=self._clock.boot_s() - age_s)


def _of_one_event(observation: Observation) -> bool:
    """Return whether a fetch failed since one event's answer could not be read.

    That says nothing of the source as long as others can be: it does not count towards DOWN.
    """
    scope = observation.scope
    return scope.events is not None and not _UNREAD.isdisjoint(observation.problems)


def slices(observation: Observation) -> Iterator[tuple[Observation, frozenset[str]]]:
    """Cut an observation into pieces of SLICE_EVENTS events; only the last judges absences."""
    events = observation.events
    present: frozenset[str] = frozenset()
    start = 0
    while len(events) - start > SLICE_EVENTS:
        piece = events[start : start + SLICE_EVENTS]
        part = replace(observation, events=piece)
        if part.completeness is Completeness.COMPLETE:
            part = replace(part, completeness=Completeness.PARTIAL)
        yield part, frozenset()
        present |= {event.source_event_id for event in piece}
        start += SLICE_EVENTS
    yield (replace(observation, events=events[start:]) if start else observation), present


async def detect_observations(
    receive: trio.MemoryReceiveChannel[Fetched], detector: Detector, queue: WriteQueue
) -> None:
    """Apply what the scrapers fetched, in order; returns when all of them have closed their ends.

    Cancelled, it loses the fetches that still wait, never half of one that was applied.
    """
    with receive:
        async for fetched in receive:
            applied = await detector.observe(fetched.observation)
            queue.record(scrape_run(fetched, applied))


def scrape_run(fetched: Fetched, applied: Applied) -> ScrapeRun:
    """The operator's record of one pull."""
    observation = applied.observation
    return ScrapeRun(
        source=observation.source,
        listing=as_text(fetched.pull_key),
        started_at=observation.started_at,
        finished_at=observation.observed_at,
        outcome=observation.completeness.value,
        reason=as_text(observation.reason),
        events=len(observation.events),
        markets=applied.markets,
        changes=len(applied.changes),
        problems={as_text(name): times for name, times in observation.problems.items()},
    )


async def judge_by_clock(detector: Detector) -> None:
    """Judge the sources every TICK_S seconds; returns only when cancelled."""
    while True:
        await trio.sleep(TICK_S)
        detector.judge_sources()
