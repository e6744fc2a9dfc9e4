"""The import: recorded bodies through detect and write, by a clock that the recordings set.

What a service would have done between two of its fetches happens here too: its source becomes
stale, and events that nothing confirms any more leave. Each at its own time.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog
import trio
from msgspec import Struct
from msgspec.structs import replace

from odds_service.assembly import Parts, assemble
from odds_service.bridge import open_bridge
from odds_service.clock import DrivenClock
from odds_service.config import LimitSettings, Settings
from odds_service.errors import SourceError, StorageError
from odds_service.forgetting import purge_policy
from odds_service.importing.recordings import Recording, Recordings, interval_s
from odds_service.model.change import Reason
from odds_service.model.observation import Completeness, Observation, Scope
from odds_service.model.snapshot import Reading
from odds_service.model.source import (
    STALE_AFTER_INTERVALS,
    SourceReason,
    SourceState,
    SourceStatus,
)
from odds_service.pipeline.channels import Fetched
from odds_service.pipeline.detect import TICK_S, scrape_run
from odds_service.pipeline.retention import TICK_S as PURGE_TICK_S
from odds_service.pipeline.retention import due_for_purge
from odds_service.sources.boundary import Gate
from odds_service.sources.recorded import RecordedReader
from odds_service.store import Report, unreported
from odds_service.watchdog import watched

# All bodies count: no bound on churn, which protects a running service from its sources.
_NO_BOUNDS: Final = LimitSettings(
    max_events=1_000_000, max_new_events_per_h=1_000_000, max_changes_per_s=1_000_000
)

log = structlog.get_logger(__name__)


class Imported(Struct, kw_only=True):
    """The result of an import.

    Attributes:
        bodies: The number of bodies, unreadable ones included.
        changes: The number of changes in the log, those of the end included.
        first, last: The times of the first and of the last body; None before the first one.
        failures: Description of a failure -> the number of bodies that it made unreadable.
        problems: Name of a part that was left out -> its number.
        revision: The revision of the last change.
    """

    bodies: int = 0
    changes: int = 0
    first: datetime | None = None
    last: datetime | None = None
    failures: Counter[str]
    problems: Counter[str]
    revision: int = 0


async def import_recordings(
    settings: Settings,
    name: str,
    reader: RecordedReader,
    recordings: Recordings,
    chosen: Sequence[Recording],
    stop: trio.Event,
    report: Report = unreported,
) -> Imported:
    """Import recordings as one epoch; at its end the source is DOWN and its events have ended.

    Args:
        settings: Settings of the database and of retention.
        name: The name of the source that the odds will have.
        reader: Reads its bodies.
        recordings: Holds the bodies.
        chosen: Those to import, in order; not empty.
        stop: Set it to end after the bodies of this second, as if they were the last ones.
        report: Gets the progress.

    Raises:
        StorageError: The database has an owner, its log is newer than the first body, or changes
            could be neither stored nor spilled.

    Cancellation: What is not stored yet is spilled, and the next start stores it. The source is not
    DOWN then; `serve` asks for --adopt all the same.
    """
    settings = settings.model_copy(update={"limits": _NO_BOUNDS})
    run = _Run(name, reader, chosen[0].at)
    clock = DrivenClock(lambda: run.now)
    with watched() as watchdog:
        async with (
            open_bridge() as faults,
            assemble(settings, [], faults, watchdog, clock, chosen[0].at) as parts,
        ):
            run.begin(parts, interval_s(chosen))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(parts.writer.run)
                for number, recording in enumerate(chosen, 1):
                    if stop.is_set() and recording.at > run.end_at:
                        break
                    body = await trio.to_thread.run_sync(recordings.read, recording)
                    await run.take(recording, body)
                    report("bodies", number, len(chosen))
                await run.end()
                parts.queue.close()
            if parts.writer.lost:
                raise StorageError(parts.writer.lost)
            run.result.revision = parts.feed.durable_revision
    return run.result


class _Run:
    """One import under way.

    Attributes:
        now: The time by which everything is judged.
    """

    def __init__(self, name: str, reader: RecordedReader, begin: datetime) -> None:
        self.now = self._swept = begin
        self.result = Imported(failures=Counter(), problems=Counter())
        self._name = name
        self._reader = reader
        self._gate = Gate(name)
        self._held: Parts | None = None

    @property
    def _parts(self) -> Parts:
        if self._held is None:
            raise RuntimeError("the import has not begun")
        return self._held

    def begin(self, parts: Parts, interval_s: float) -> None:
        """Add the source, whose answers to one pull are `interval_s` apart."""
        self._held = parts
        known = {state.source: state.announced for state in parts.stored.sources}
        state = SourceState(
            source=self._name,
            interval_s=interval_s,
            paces=((None, interval_s),),
            announced=known.get(self._name),
        )
        parts.detector.set_source(state)
        self._policy = purge_policy(parts.settings.retention)
        self._since_s = parts.clock.boot_s()

    async def take(self, recording: Recording, body: bytes) -> None:
        """Let the time pass up to a body, and apply it."""
        await self._pass(recording.at)
        parts, result = self._parts, self.result
        observation = await self._observed(recording, body)
        applied = await parts.detector.observe(observation)
        parts.queue.record(scrape_run(Fetched(recording.key, observation), applied))
        result.bodies += 1
        result.changes += len(applied.changes)
        result.first = result.first or recording.at
        result.last = recording.at

    @property
    def end_at(self) -> datetime:
        """The time of the end, if no body follows."""
        return self.now + timedelta(seconds=TICK_S)

    async def end(self) -> None:
        """End what the import brought, a moment after its last body."""
        parts, name = self._parts, self._name
        self.now = self.end_at
        before = parts.feed.head_revision

        def carried() -> dict[str, set[str]]:
            events = parts.cache.events.items()
            return {event_id: {name} for event_id, entry in events if name in entry.sources}

        await parts.detector.purge(carried, Reason.IMPORT_ENDED)
        parts.detector.drop_source(name, SourceReason.IMPORT_ENDED, "the recordings have ended")
        self.result.changes += parts.feed.head_revision - before

    async def _observed(self, recording: Recording, body: bytes) -> Observation:
        at, problems = recording.at, Counter[str]()
        parts = self._parts
        number, boot_s = parts.clock.sequence(), parts.clock.boot_s()
        try:
            given = self._reader.read(body, recording.key, at)
            admitted = await self._gate.admit(given, problems, started_at=at, observed_at=at)
        except SourceError as error:
            self.result.failures[f"{error.kind}: {error}"] += 1
            log.warning("body_not_read", file=recording.place, kind=error.kind, reason=str(error))
            return Observation(
                source=self._name,
                scope=Scope(listing=recording.key or None),
                completeness=Completeness.FAILED,
                started_at=at,
                observed_at=at,
                reason=str(error),
                problems={error.kind: 1},
                sequence=number,
                observed_boot_s=boot_s,
            )
        self.result.problems.update(admitted.problems)
        return replace(admitted, sequence=number, observed_boot_s=boot_s)

    # -- the time between two bodies -----------------------------------------------------------

    async def _pass(self, until: datetime) -> None:
        """Judge and purge at the times at which a running service would have done so."""
        parts = self._parts
        while True:
            stale, purge = self._stale_at(), self._purge_at(until)
            due = min(stale or until, purge or until)
            if due >= until:
                break
            self.now = due
            before = parts.feed.head_revision
            parts.detector.judge_sources()
            if due == purge:
                self._swept = due
                await parts.detector.purge(lambda: self._due_at(self.now))
            self.result.changes += parts.feed.head_revision - before
        self.now = until

    def _stale_at(self) -> datetime | None:
        """Return when the source becomes STALE, by the tick that would find it; None if it is."""
        state = self._parts.cache.sources[self._name]
        if state.status is not SourceStatus.UP or state.last_success_at is None:
            return None
        lasts_s = STALE_AFTER_INTERVALS * state.interval_s + TICK_S
        return state.last_success_at + timedelta(seconds=lasts_s)

    def _purge_at(self, until: datetime) -> datetime | None:
        """Return the first tick before `until` at which something is due for the purge."""
        ticks = int((until - self._swept).total_seconds() // PURGE_TICK_S)

        def tick(number: int) -> datetime:
            return self._swept + timedelta(seconds=number * PURGE_TICK_S)

        if not ticks or not self._due_at(tick(ticks)):
            self._swept = tick(ticks)
            return None
        # Without a confirmation in between, what is due stays due.
        numbers = range(1, ticks + 1)
        found = bisect_left(numbers, True, key=lambda number: bool(self._due_at(tick(number))))
        return tick(numbers[found])

    def _due_at(self, at: datetime) -> Mapping[str, set[str]]:
        cache = self._parts.cache
        return due_for_purge(
            cache.events, cache.sources, self._policy,
            since_s=self._since_s, now=Reading(at, at.timestamp()),
        )  # fmt: skip
