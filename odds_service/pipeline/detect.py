"""The detect stage: the only writer of the cache.

Each observation takes the same path: the reconciler places its events, `move` moves source events
between events, `compare_observation` finds the differences, `number` turns all of it into numbered
changes, and the cache swaps in the new entries.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from time import monotonic
from typing import Final

import structlog
import trio
from msgspec import Struct
from msgspec.structs import replace

from odds_service.cache import OddsCache
from odds_service.clock import Clock
from odds_service.delays import Delays
from odds_service.detection.answer_times import STALE_ANSWER, AnswerTimes
from odds_service.detection.comparison import compare_observation
from odds_service.detection.departure import purge
from odds_service.detection.intents import EventIntent
from odds_service.detection.numbering import Row, number
from odds_service.detection.source_changes import after_fetch, compare_states, judge
from odds_service.detection.withdrawal import Changed, doubt, due_for_withdrawal, withdraw
from odds_service.feed import ChangeFeed
from odds_service.model.change import Change, Commit, Reason, Timing
from odds_service.model.observation import Completeness, Observation
from odds_service.model.scrape_run import ScrapeRun
from odds_service.model.source import SourceReason, SourceState, SourceStatus
from odds_service.model.text import as_text
from odds_service.pipeline.channels import Fetched, WriteQueue
from odds_service.pipeline.churn import Churn, ChurnLimits, held_off
from odds_service.pipeline.source_counts import Counts
from odds_service.reconcile import Reconciler
from odds_service.reconcile.regrouping import move, rematch
from odds_service.stamps import LogClock, Stamp

SLICE_EVENTS: Final = 32  # events applied without a checkpoint: keeps commits and pauses short
TICK_S: Final = 1.0  # between two checks of the sources' states

log = structlog.get_logger(__name__)


class Applied(Struct, frozen=True):
    """The result of applying an observation or a slice of it.

    Args:
        commits: the commits in revision order, at most one per slice.
        head_revision: the head of the log afterwards.
        markets: the number of markets compared.
        observation: the observation as applied, without odds that were older than known ones.
    """

    commits: Sequence[Commit]
    head_revision: int
    markets: int
    observation: Observation

    @property
    def changes(self) -> list[Change]:
        """All changes, in revision order."""
        return [change for commit in self.commits for change in commit.changes]


class Detector:
    """The writer of the cache: compares observations, and numbers, publishes and enqueues changes.

    `apply` is synchronous, so nothing can run between the comparison, the swap, the feed and the
    queue.
    """

    def __init__(
        self,
        cache: OddsCache,
        feed: ChangeFeed,
        queue: WriteQueue,
        reconciler: Reconciler,
        clock: Clock,
        counts: Counts | None = None,
        limits: ChurnLimits = ChurnLimits(),  # immutable
        delays: Delays | None = None,
    ) -> None:
        self._cache = cache
        self._feed = feed
        self._queue = queue
        self._reconciler = reconciler
        self._clock = clock
        self.log_clock = LogClock(feed.last_detected_at)
        self._times = AnswerTimes(cache.events)
        self._begins: dict[str, int] = {}  # source -> the first attempt under its present settings
        self.counts = Counts() if counts is None else counts
        self._limits = limits
        self._churns: dict[str, Churn] = {}
        self._delays = Delays() if delays is None else delays

    async def observe(self, observation: Observation) -> Applied:
        """Apply an observation in slices, each once the write queue has room.

        New events beyond the source's bound are left out, and so is the whole answer while the
        source has made too many changes: the odds held stay as they are, unconfirmed. Where there
        is room, one slice takes no checkpoint.

        Cancellation:
            Applied slices remain, in both cache and queue; the rest is lost, as if it had not been
            fetched.
        """
        if self._is_outdated(observation):
            return self._ignored(observation)
        observation = self._dated(observation)
        if observation.completeness is not Completeness.FAILED:
            if self._churn(observation.source).holds_off(self._clock.boot_s()):
                return self._leave_out(observation)
            observation = self._bounded(observation)
        observation = self._times.sift(observation)
        stale = observation.problems.get(STALE_ANSWER, 0)
        self.counts.of(observation.source).add_problems({STALE_ANSWER: stale})
        commits: list[Commit] = []
        markets = 0
        for place, (part, present) in enumerate(slices(observation)):
            if place or not self._queue.has_room:  # the first slice follows a checkpoint
                await self._queue.room()
            applied = self.apply(part, present)
            commits += applied.commits
            markets += applied.markets
        return Applied(commits, self._feed.head_revision, markets, observation)

    def apply(self, observation: Observation, present: frozenset[str] = frozenset()) -> Applied:
        """Apply an observation at once: compare it, update the cache and publish the changes.

        An observation by settings that a reload has replaced changes nothing.

        Args:
            observation: a fetch, or a slice of one.
            present: the source's ids of the events in other slices.
        """
        if self._is_outdated(observation):
            return self._ignored(observation)
        observation = self._dated(observation)
        events, at, stamp = self._cache.events, observation.observed_at, self._stamp()
        placement = self._reconciler.place(observation, events)
        moved = move(events, placement.moves, at)
        compared = compare_observation(moved.upon(events), observation, placement.places, present)
        intents = (*moved.intents, *compared.intents)
        intents += rematch(events, placement.moves, intents, at)
        counts = self.counts.of(observation.source)
        counts.late_events += compared.late
        counts.duplicate_events += compared.duplicates
        fetched = after_fetch(
            self._cache.sources[observation.source], observation, self._clock.boot_s()
        )
        commit = self._commit(intents, stamp, self._judged(fetched), placement.rows, observation)
        commits = () if commit is None else (commit,)
        if commit is not None:
            churn, boot_s = self._churn(observation.source), self._clock.boot_s()
            counts.changes += churn.add_changes(commit.changes, boot_s)
        return Applied(commits, self._feed.head_revision, compared.markets, observation)

    def _churn(self, source: str) -> Churn:
        churn = self._churns.get(source)
        if churn is None:
            churn = self._churns[source] = Churn(self._limits)
        return churn

    def _bounded(self, observation: Observation) -> Observation:
        """Return an observation without the new events that exceed the source's bound."""
        source, counts = observation.source, self.counts.of(observation.source)
        kept, new, left_out = self._churn(source).sift(
            observation,
            lambda source_event_id: self._reconciler.knows((source, source_event_id)),
            self._clock.boot_s(),
        )
        counts.new_events += new
        counts.new_events_left_out += left_out
        counts.add_problems({SourceReason.TOO_MANY_NEW_EVENTS: left_out})
        return kept

    def _leave_out(self, observation: Observation) -> Applied:
        """Leave out an answer of a source that makes too many changes."""
        counts = self.counts.of(observation.source)
        counts.answers_left_out += 1
        counts.add_problems({SourceReason.TOO_MANY_CHANGES: 1})
        self.judge_sources()
        return Applied((), self._feed.head_revision, 0, held_off(observation))

    def judge_sources(self) -> None:
        """Publish the sources that have become stale with time, or that have recovered.

        A source that stays stale for another reason shows the new reason, without a change in the
        log: the database may have fallen behind after the source.
        """
        for state in tuple(self._cache.sources.values()):
            judged = self._judged(state)
            if (judged.status, judged.reason) != (state.status, state.reason):
                self._commit((), self._stamp(), judged)

    async def purge(
        self, due: Callable[[], Mapping[str, AbstractSet[str]]], reason: str = Reason.PURGED
    ) -> int:
        """Drop sources that no longer confirm their events; return the number of changes.

        Args:
            due: returns the sources to drop, by event id. It is called again for each batch, once
                the write queue has room, so sources confirmed in the meantime stay.
            reason: the reason of the changes.

        Cancellation:
            Applied batches remain.
        """
        changes = 0
        while True:
            await self._queue.room()
            going = due()
            if not going:
                return changes
            first = {event_id: going[event_id] for event_id in sorted(going)[:SLICE_EVENTS]}
            stamp = self._stamp()
            changes += self._let_go(purge(self._cache.events, first, _wall(stamp), reason), stamp)

    async def withdraw(self, changed: Changed) -> tuple[int, int]:
        """Withdraw odds that the settings no longer ask for, in slices, as the queue has room.

        Returns:
            The number of changes, and the last revision after them.

        Cancellation:
            Withdrawn slices remain so.
        """
        changes = 0
        while True:
            await self._queue.room()
            going = due_for_withdrawal(self._cache.events, changed)
            if not going:
                return changes, self._feed.head_revision
            stamp = self._stamp()
            intents = withdraw(self._cache.events, going[:SLICE_EVENTS], changed, _wall(stamp))
            changes += self._let_go(intents, stamp)

    def set_source(self, state: SourceState) -> None:
        """Add a source, or go on with one under other settings.

        Attempts that began before are ignored from now on, since their settings are replaced.
        """
        self._begins[state.source] = self._clock.sequence()
        self._cache.swap({}, {state.source: state}, None, self.log_time())

    def drop_source(
        self,
        name: str,
        reason: str = SourceReason.NO_LONGER_ASKED,
        detail: str = "the source was taken out of the settings",
    ) -> None:
        """Announce the end of a source, by default by a reload, and forget its state."""
        state = replace(
            self._cache.sources[name], status=SourceStatus.DOWN, reason=reason, detail=detail
        )
        self._commit((), self._stamp(), state)
        self._cache.drop_source(name)
        self._churns.pop(name, None)

    def doubt(self, changed: Changed) -> None:
        """Mark the odds of sources with other asks as stale until they are confirmed."""
        events = self._cache.events
        doubted = {event_id: doubt(entry, changed) for event_id, entry in events.items()}
        fresh = {key: entry for key, entry in doubted.items() if entry is not events[key]}
        self._cache.swap(fresh, {}, None, self.log_time())

    def log_time(self) -> datetime:
        """Return the log's current time, which the ages of its changes are relative to."""
        return self.log_clock.time(self._clock.wall(), self._clock.boot_s())

    def _let_go(self, intents: Iterable[EventIntent], stamp: Stamp) -> int:
        commit = self._commit(intents, stamp)
        return 0 if commit is None else len(commit.changes)

    def _commit(
        self,
        intents: Iterable[EventIntent],
        stamp: Stamp,
        state: SourceState | None = None,
        rows: Sequence[Row] | None = None,
        observation: Observation | None = None,
    ) -> Commit | None:
        """Number intents, swap in their entries, and publish and enqueue their changes.

        Args:
            intents: the intents, in the order of their changes.
            stamp: the time of the changes.
            state: the new state of the source, if it changes.
            rows: rows from the reconciler to store with the changes.
            observation: the fetch that the changes come from, None without one.
        """
        states = {}
        announced = None
        if state is not None:
            announced = compare_states(self._cache.sources[state.source], state)
            states[state.source] = state if announced is None else announced.after
        numbered = number(
            self._cache.events,
            intents,
            first_revision=self._feed.head_revision + 1,
            detected_at=stamp.detected_at,
            wall_at=stamp.wall_at,
            rows=rows,
            source=announced,
        )
        commit = numbered.commit(None if observation is None else self._timing(observation))
        self._cache.swap(numbered.entries, states, commit, numbered.detected_at)
        if commit is not None:
            self._queue.put(commit)
            self._delays.detected(commit)
        for odds in numbered.confirmed:
            self._queue.confirm(odds)
        if numbered.took_rows:
            self._reconciler.stored()
        self._reconciler.forget(numbered.departed)
        self._times.forget(numbered.departed)
        if announced is not None:
            log.info("source_state", source=announced.after.source,
                     status=announced.after.status.name, reason=announced.after.reason,
                     detail=announced.after.detail)  # fmt: skip
        return commit

    def _timing(self, observation: Observation) -> Timing | None:
        """Return the times of an observation and of now; None if no scraper made it."""
        if not observation.tier:
            return None
        now_s = monotonic()
        waited_s = max(0.0, self._clock.boot_s() - observation.observed_boot_s)
        return Timing(observation.source, observation.tier, now_s - waited_s, now_s)

    def _is_outdated(self, observation: Observation) -> bool:
        source = observation.source
        begins = self._begins.get(source, 0)
        return source not in self._cache.sources or observation.sequence < begins

    def _ignored(self, observation: Observation) -> Applied:
        return Applied((), self._feed.head_revision, 0, observation)

    def _judged(self, state: SourceState) -> SourceState:
        churn, boot_s = self._churns.get(state.source), self._clock.boot_s()
        overload = None if churn is None else churn.overload(boot_s)
        queue = self._queue
        return judge(
            state,
            boot_s,
            storage_behind=queue.full,
            bus_behind=queue.bus_behind,
            overload=overload,
        )

    def _stamp(self) -> Stamp:
        return self.log_clock.stamp(self._clock.wall(), self._clock.boot_s())

    def _dated(self, observation: Observation) -> Observation:
        """Add the boot-clock time to an observation that no scraper has stamped."""
        if observation.observed_boot_s:
            return observation
        age_s = (self._clock.wall() - observation.observed_at).total_seconds()
        return replace(observation, observed_boot_s=self._clock.boot_s() - age_s)


def _wall(stamp: Stamp) -> datetime:
    return stamp.wall_at or stamp.detected_at


def slices(observation: Observation) -> Iterator[tuple[Observation, frozenset[str]]]:
    """Yield slices of SLICE_EVENTS events, each with the source's ids in the previous slices.

    Only the last slice decides on absences.
    """
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
    """Apply fetches in order until all scrapers have closed their channels.

    Args:
        receive: the fetches of all scrapers; closed at the end.
        detector: applies the fetches.
        queue: records the fetches.

    Cancellation:
        Waiting fetches are lost, but slices are applied completely or not at all.
    """
    with receive:
        async for fetched in receive:
            applied = await detector.observe(fetched.observation)
            queue.record(scrape_run(fetched, applied))


def scrape_run(fetched: Fetched, applied: Applied) -> ScrapeRun:
    """Return the record of one pull."""
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
    """Update the sources' states every TICK_S seconds, until cancelled."""
    while True:
        await trio.sleep(TICK_S)
        detector.judge_sources()
