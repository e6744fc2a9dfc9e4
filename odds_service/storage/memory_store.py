"""The store without a database, for tests and for trying out: the twin of DatabaseStore."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import structlog
import trio
from msgspec.structs import replace

from odds_service.errors import BelowFloor, Superseded
from odds_service.model.asks import Asks
from odds_service.model.change import (
    Change,
    ChangeKind,
    Commit,
    EventChange,
    MarketChange,
    SourceChange,
)
from odds_service.model.event import Event, EventStatus
from odds_service.model.fold import EventFold, OddsState
from odds_service.model.market import MarketStatus
from odds_service.model.observation import Completeness
from odds_service.model.scrape_run import ScrapeRun
from odds_service.model.snapshot import (
    BookmakerKey,
    EventOdds,
    EventSource,
    Snapshot,
    odds_as_known,
)
from odds_service.model.source import SourceState
from odds_service.storage.closing import Step, last_offers, last_seen
from odds_service.storage.memory import Memory
from odds_service.storage.successes import RUNS_SEARCHED, earliest_success, with_success
from odds_service.store import (
    GHOSTS_SINCE,
    MOST_GHOSTS,
    ClosingOdds,
    DeadLetter,
    HistoryFilter,
    HistoryPage,
    PastOdds,
    Retained,
    Retention,
    StartedEvents,
    Stored,
    Verified,
    WriteGroup,
)

_EVERYTHING = HistoryFilter()
_MICROSECOND = timedelta(microseconds=1)

log = structlog.get_logger(__name__)


class MemoryStore:
    """See store.Store. Each call is one step of the Trio thread: nobody sees half of it."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._epoch = ""

    async def begin(self) -> Stored:
        await trio.lowlevel.checkpoint()
        memory, now = self._memory, datetime.now(UTC)
        replayed, misfits = self._replay(now)
        self._epoch = memory.epoch = uuid.uuid4().hex
        memory.epochs.append((self._epoch, memory.durable_revision + 1))
        entries, captured = memory.now.events.values(), self._captured(memory.durable_revision)
        return Stored(
            events=[self._as_known(entry, captured, None) for entry in entries],
            ghosts=self._ghosts(now),
            sources=list(memory.now.sources.values()),
            revision=memory.durable_revision,
            epoch=self._epoch,
            epochs=list(memory.epochs),
            last_detected_at=memory.detected_at,
            database_id=memory.database_id,
            dead_letters=len(memory.letters),
            replayed=replayed,
            misfits=misfits,
            asks=dict(memory.asks),
        )

    async def write(self, group: WriteGroup) -> int:
        await trio.lowlevel.checkpoint()
        memory = self._memory
        self._check_epoch()
        refused = self._append(group.batches, datetime.now(UTC))
        for odds in group.confirmations:
            memory.confirm(odds)
        for run in group.runs:
            memory.runs.setdefault((run.started_at, run.source, run.listing), run)
        return refused

    async def put_asks(self, asks: Mapping[str, Asks]) -> None:
        await trio.lowlevel.checkpoint()
        self._check_epoch()
        self._memory.asks = dict(asks)

    def spill(self, batches: Sequence[Commit]) -> str:
        self._memory.spilled.append((self._epoch, list(batches)))
        return "memory"

    async def history(self, after: int, upto: int, limit: int) -> list[Change]:
        await trio.lowlevel.checkpoint()
        found: list[Change] = []
        for change in self._memory.changes(after, upto):
            if len(found) == limit:
                break
            if change.revision not in self._memory.refused:
                found.append(change)
        return found

    async def history_page(
        self, after: int, upto: int, limit: int, only: HistoryFilter = _EVERYTHING
    ) -> HistoryPage:
        await trio.lowlevel.checkpoint()
        page = HistoryPage([], upto, [])
        for change in self._memory.changes(after, upto):
            if change.revision in self._memory.refused:
                page.unstored.append(change.revision)
            elif _selects(only, change):
                stripped = isinstance(change, EventChange) and not only.ended
                page.changes.append(replace(change, ended=()) if stripped else change)
            else:
                continue
            if len(page.changes) + len(page.unstored) == limit:
                return HistoryPage(page.changes, change.revision, page.unstored)
        return page

    async def oldest_revision(self) -> int:
        await trio.lowlevel.checkpoint()
        return self._memory.floor_revision + 1

    async def revision_at(self, at: datetime) -> int:
        await trio.lowlevel.checkpoint()
        return self._revision_at(at)

    async def odds_at(
        self, revision: int, event_ids: Sequence[str] = (), at: datetime | None = None
    ) -> PastOdds:
        await trio.lowlevel.checkpoint()
        memory = self._memory
        if not memory.floor_revision <= revision <= memory.durable_revision:
            raise BelowFloor(memory.floor_revision)
        if revision > memory.floor_revision:
            at = at or memory.change_at(revision).detected_at
        chosen = frozenset(event_ids)
        folds: dict[str, EventFold] = {
            event_id: EventFold(entry)
            for event_id, entry in memory.now.events.items()
            if not chosen or event_id in chosen
        }
        unknown = 0
        for change in reversed(list(memory.changes(revision, memory.durable_revision))):
            if memory.is_unknown(change.revision):
                unknown += 1
            elif not isinstance(change, SourceChange) and (not chosen or change.event_id in chosen):
                folds.setdefault(change.event_id, EventFold()).undo(change)
        captured = self._captured(revision)
        events = []
        for event_id in sorted(folds):
            entry = folds[event_id].entry()
            if entry is not None:
                events.append(self._as_known(entry, captured, at))
        return PastOdds(revision, at or memory.floor_at, events, unknown)

    async def sources_at(self, revision: int, at: datetime) -> list[SourceState]:
        await trio.lowlevel.checkpoint()
        return self._sources_at(revision, at)

    def _sources_at(self, revision: int, at: datetime) -> list[SourceState]:
        memory = self._memory
        states = dict(memory.before.sources)
        for change in memory.changes(memory.floor_revision, memory.durable_revision):
            if not isinstance(change, SourceChange) or memory.is_unknown(change.revision):
                continue
            if change.revision <= revision:
                states[change.source] = change.after
            elif change.source not in states and change.before is not None:
                states[change.source] = change.before
        answered: dict[str, datetime] = {}
        for run in self._successes(at - RUNS_SEARCHED, at):
            answered[run.source] = max(run.finished_at, answered.get(run.source, run.finished_at))
        return [with_success(states[name], answered.get(name)) for name in sorted(states)]

    async def started_events(
        self, only: StartedEvents, after: tuple[datetime, str] | None, limit: int
    ) -> list[Event]:
        await trio.lowlevel.checkpoint()
        events = sorted(
            (known.event for known in self._memory.events.values()),
            key=lambda event: (event.start_time, event.id),
        )
        return [event for event in events if _starts(only, after, event)][:limit]

    async def closing_odds(self, event_ids: Sequence[str]) -> list[ClosingOdds]:
        await trio.lowlevel.checkpoint()
        found: list[ClosingOdds] = []
        for event_id in sorted(set(event_ids) & self._memory.events.keys()):
            found += self._closing_of(event_id, self._memory.events[event_id].event.start_time)
        return found

    async def dead_letters(self, after: int = 0, limit: int = 1_000) -> list[DeadLetter]:
        await trio.lowlevel.checkpoint()
        letters = self._memory.letters
        return [letters[each] for each in sorted(letters) if each > after][:limit]

    async def count_dead_letters(self) -> int:
        await trio.lowlevel.checkpoint()
        return len(self._memory.letters)

    async def retry_dead_letter(self, letter_id: int) -> str:
        await trio.lowlevel.checkpoint()
        memory = self._memory
        letter = memory.letters.get(letter_id)
        if letter is None:
            return "there is no such letter"
        if letter.change is None:
            return "it holds text that no database takes"
        if letter.epoch != memory.epoch_of(letter.revision):
            return "its revision belongs to another change now: it can be looked at, or dropped"
        if memory.refused.get(letter.revision) != letter_id:
            return "its place in the history is not there any more"
        reason = memory.refusal(letter.change)
        if reason is not None:
            memory.letters[letter_id] = replace(letter, reason=reason, attempts=letter.attempts + 1)
            return reason
        del memory.letters[letter_id], memory.refused[letter.revision]
        return ""

    async def drop_dead_letter(self, letter_id: int) -> bool:
        await trio.lowlevel.checkpoint()
        return self._memory.drop(letter_id)

    async def retain(self, policy: Retention, now: datetime) -> Retained:
        await trio.lowlevel.checkpoint()
        memory, done = self._memory, Retained()
        if policy.history is not None:
            cutoff = now - policy.history
            try:
                floor = memory.last_detected(cutoff - _MICROSECOND)
            except BelowFloor:
                floor = 0
            if floor > memory.floor_revision:
                done.history = memory.move_floor(floor, cutoff)
            self._forget_ended(done)
            self._forget_superseded(done)
        if policy.runs is not None:
            old = [key for key in memory.runs if key[0] < now - policy.runs]
            for key in old:
                del memory.runs[key]
            done.runs = len(old)
        return done

    async def verify(self) -> Verified:
        """Compare the odds that the commits have made, step by step, with a fold of them all."""
        await trio.lowlevel.checkpoint()
        memory = self._memory
        faults = []
        folded = memory.folded(memory.commits)
        for event_id in sorted(folded.events.keys() | memory.now.events.keys()):
            stands, expected = _markets(memory.now, event_id), _markets(folded, event_id)
            if stands != expected:
                faults.append(f"event {event_id}: memory has {stands}, history {expected}")
        revisions = [change.revision for commit in memory.commits for change in commit.changes]
        if revisions != list(range(memory.floor_revision + 1, memory.durable_revision + 1)):
            faults.append(f"history has {len(revisions)} revisions, not each of them once")
        markets = sum(
            len(odds.markets)
            for entry in memory.now.events.values()
            for odds in entry.bookmakers.values()
        )
        return Verified(
            markets, memory.durable_revision, len(faults), faults[:20], len(memory.refused)
        )

    def _check_epoch(self) -> None:
        if self._memory.epoch != self._epoch:
            raise Superseded("another process opened this database; this one must end")

    def _append(self, batches: Sequence[Commit], now: datetime) -> int:
        """Append what is not there yet; return the number of refused changes."""
        memory, refused = self._memory, 0
        for batch in batches:
            changes = [c for c in batch.changes if c.revision > memory.durable_revision]
            if not changes:
                continue
            if changes[0].revision != memory.durable_revision + 1:
                raise AssertionError(
                    f"revision {changes[0].revision} follows {memory.durable_revision}"
                )
            rest = Commit(changes, batch.snapshots, batch.event_sources, batch.replaced)
            refused += memory.append(rest, now)
        return refused

    def _replay(self, now: datetime) -> tuple[int, int]:
        """Append what the last stop spilled where it fits; return how much did, and did not."""
        memory = self._memory
        replayed = misfits = 0
        spilled, memory.spilled = memory.spilled, []
        for epoch, batches in spilled:
            changes = [change for batch in batches for change in batch.changes]
            if epoch == memory.epoch and changes[0].revision <= memory.durable_revision + 1:
                self._append(batches, now)
                replayed += len(changes)
                continue
            for change in changes:
                reason = f"spilled at a stop; the log went on without it (epoch {epoch})"
                memory.keep(change, epoch, reason, now)
            misfits += len(changes)
        return replayed, misfits

    def _as_known(
        self,
        entry: EventOdds,
        captured: Mapping[tuple[str, BookmakerKey], Snapshot],
        at: datetime | None,
    ) -> EventOdds:
        """Return an entry with the confirmations by a time, without what only one run knows."""
        event_id, carried = entry.event.id, self._memory.carried
        sources = {
            source: replace(
                carried[event_id, source],
                applied=None,
                absences=0,
                seen_boot_s=None,
                departed_at=None,
            )
            for source in entry.event.source_ids
            if (event_id, source) in carried
        }
        bookmakers = {
            key: odds_as_known(event_id, key, odds.markets, captured.get((event_id, key)), at)
            for key, odds in entry.bookmakers.items()
        }
        return EventOdds(entry.event, sources, bookmakers)

    def _captured(self, revision: int) -> dict[tuple[str, BookmakerKey], Snapshot]:
        """Return each bookmaker's last snapshot by a revision."""
        found: dict[tuple[str, BookmakerKey], Snapshot] = {}
        for snapshot_id in sorted(self._memory.snapshots):
            if snapshot_id <= revision:
                snapshot = self._memory.snapshots[snapshot_id]
                found[snapshot.event_id, (snapshot.source, snapshot.bookmaker)] = snapshot
        return found

    def _ghosts(self, now: datetime) -> list[tuple[str, EventSource]]:
        """Return the source events that departed from recent events, the last ones first."""
        departed = [
            (carried.departed_at, event_id, carried)
            for (event_id, _), carried in self._memory.carried.items()
            if carried.departed_at is not None
            and carried.shown is not None
            and event_id in self._memory.events
            and self._memory.events[event_id].event.start_time > now - GHOSTS_SINCE
        ]
        departed.sort(key=lambda ghost: ghost[0], reverse=True)
        return [
            (event_id, replace(carried, applied=None, absences=0, seen_boot_s=None))
            for _, event_id, carried in departed[:MOST_GHOSTS]
        ]

    def _revision_at(self, at: datetime) -> int:
        """See store.Store.revision_at; changes with a wall clock of their own are judged by it."""
        memory = self._memory
        lowest = memory.last_detected(at)
        stepped = plain = 0
        for change in memory.changes(memory.floor_revision, memory.durable_revision):
            if change.wall_at is None:
                plain = change.revision if change.revision <= lowest else plain
            elif change.wall_at <= at:
                stepped = change.revision
        return stepped if stepped >= lowest else max(plain or memory.floor_revision, stepped)

    def _successes(self, begin: datetime, end: datetime) -> Iterator[ScrapeRun]:
        """Return the pulls that began after a time, and succeeded by another one."""
        for run in self._memory.runs.values():
            failed = run.outcome == Completeness.FAILED.value
            if not failed and begin <= run.started_at and run.finished_at <= end:
                yield run

    def _closing_of(self, event_id: str, start_time: datetime) -> Iterator[ClosingOdds]:
        memory = self._memory
        steps = [
            _step(change)
            for change in memory.changes(memory.floor_revision, memory.durable_revision)
            if not isinstance(change, SourceChange)
            and change.event_id == event_id
            and change.revision not in memory.refused
            and (isinstance(change, MarketChange) or change.kind is ChangeKind.EVENT_ENDED)
        ]
        for _, (change, replaced_at, until_start) in sorted(last_offers(steps, start_time).items()):
            captures = [
                snapshot
                for snapshot in memory.snapshots.values()
                if (snapshot.event_id, snapshot.source, snapshot.bookmaker)
                == (event_id, change.source, change.bookmaker)
            ]
            confirmed_at, overwritten = last_seen(
                captures, change.snapshot_id, replaced_at, change.observed_at, start_time
            )
            if overwritten:
                confirmed_at = self._last_look(event_id, change.source, confirmed_at, start_time)
            yield ClosingOdds(
                event_id,
                start_time,
                change.source,
                change.bookmaker,
                change.after,
                confirmed_at,
                until_start,
            )

    def _last_look(
        self, event_id: str, source: str, seen_at: datetime, start_time: datetime
    ) -> datetime:
        """Return the last look of a source at an event before its start; seen_at: one of them."""
        runs = self._memory.runs
        if not runs or min(started_at for started_at, _, _ in runs) > seen_at:
            return self._earliest_look(source, seen_at, start_time)
        carried = self._memory.carried.get((event_id, source))
        pulls = set() if carried is None else {carried.listing, carried.source_event_id}
        looks = [
            run.finished_at
            for run in self._successes(seen_at, start_time)
            if run.source == source and run.listing in pulls
        ]
        return max(looks, default=seen_at)

    def _earliest_look(self, source: str, seen_at: datetime, start_time: datetime) -> datetime:
        """Return the earliest time of the last look, where the record of pulls is gone."""
        try:
            revision = self._revision_at(start_time)
        except BelowFloor:
            return seen_at
        for state in self._sources_at(revision, start_time):
            if state.source == source:
                return earliest_success(state, start_time, seen_at)
        return seen_at

    def _forget_ended(self, done: Retained) -> None:
        """Forget all of the events that ended below the floor."""
        memory = self._memory
        ended = {
            event_id
            for event_id, known in memory.events.items()
            if known.event.status is EventStatus.ENDED
            and known.ended_revision <= memory.floor_revision
        }
        for event_id in ended:
            del memory.events[event_id]
        memory.carried = {
            key: carried for key, carried in memory.carried.items() if key[0] not in ended
        }
        kept = {
            snapshot_id: snapshot
            for snapshot_id, snapshot in memory.snapshots.items()
            if snapshot.event_id not in ended
        }
        done.events += len(ended)
        done.snapshots += len(memory.snapshots) - len(kept)
        memory.snapshots = kept

    def _forget_superseded(self, done: Retained) -> None:
        """Forget the snapshots that another one below the floor replaced."""
        memory = self._memory
        last = {snapshot.snapshot_id for snapshot in self._captured(memory.floor_revision).values()}
        kept = {
            snapshot_id: snapshot
            for snapshot_id, snapshot in memory.snapshots.items()
            if snapshot_id > memory.floor_revision or snapshot_id in last
        }
        done.snapshots += len(memory.snapshots) - len(kept)
        memory.snapshots = kept


def _markets(state: OddsState, event_id: str) -> object:
    entry = state.events.get(event_id)
    if entry is None:
        return None
    return {key: (odds.snapshot_id, dict(odds.markets)) for key, odds in entry.bookmakers.items()}


def _step(change: EventChange | MarketChange) -> Step[MarketChange]:
    if isinstance(change, EventChange):
        return Step(None, change.revision, change.observed_at, None)
    place = (change.source, change.bookmaker, *change.after.key)
    offered = change if change.after.status is MarketStatus.OPEN else None
    return Step(place, change.revision, change.observed_at, offered)


def _selects(only: HistoryFilter, change: Change) -> bool:
    """Return whether a filter selects a change."""
    if isinstance(change, SourceChange):
        return not only.sources or change.source in only.sources
    if only.event_ids and change.event_id not in only.event_ids:
        return False
    if isinstance(change, EventChange):
        return True
    return (
        only.of_markets
        and (not only.sources or change.source in only.sources)
        and (not only.bookmakers or change.bookmaker in only.bookmakers)
        and (not only.markets or change.after.key.market in only.markets)
    )


def _starts(only: StartedEvents, after: tuple[datetime, str] | None, event: Event) -> bool:
    """Return whether a filter selects an event that comes after a place in the order."""
    return (
        event.start_time < only.before
        and (not only.event_ids or event.id in only.event_ids)
        and (not only.sports or event.sport in only.sports)
        and (not only.competitions or event.competition in only.competitions)
        and (only.start_from is None or event.start_time >= only.start_from)
        and (after is None or (event.start_time, event.id) > after)
    )
