"""The store without a database, for tests and trials; the twin of DatabaseStore."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import structlog
import trio
from msgspec.structs import replace

from odds_service.errors import BelowFloor, Superseded
from odds_service.model.asks import Asks
from odds_service.model.change import (
    Change,
    Commit,
    EventChange,
    SourceChange,
)
from odds_service.model.event import Event
from odds_service.model.fold import EventFold, OddsState
from odds_service.model.snapshot import (
    BookmakerKey,
    EventOdds,
    EventSource,
    Snapshot,
    odds_as_known,
)
from odds_service.model.source import SourceState
from odds_service.storage import memory_rows
from odds_service.storage.memory import Memory
from odds_service.storage.memory_closing import closing_of
from odds_service.storage.memory_past import captured, revision_at, runs_before, sources_at
from odds_service.storage.memory_retention import retain
from odds_service.store import (
    GHOSTS_SINCE,
    MOST_GHOSTS,
    ClosingOdds,
    DeadLetter,
    Extent,
    HistoryFilter,
    HistoryPage,
    LogRows,
    Opening,
    PastOdds,
    Report,
    Retained,
    Retention,
    RunPlace,
    RunsFilter,
    RunsPage,
    StartedEvents,
    Stored,
    Verified,
    WriteGroup,
    unreported,
)

_EVERYTHING = HistoryFilter()
_LIVE = Opening()

log = structlog.get_logger(__name__)


class MemoryStore:
    """See store.Store. Each call is a single step on the Trio thread, so nobody sees half of it."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._epoch = ""

    async def begin(self, opening: Opening = _LIVE) -> Stored:
        await trio.lowlevel.checkpoint()
        memory, now = self._memory, datetime.now(UTC)
        replayed, misfits = self._replay(now)
        opening.check(imported=memory.imported, last_detected_at=memory.detected_at)
        memory.imported = opening.recorded_from is not None
        self._epoch = memory.epoch = uuid.uuid4().hex
        memory.epochs.append((self._epoch, memory.durable_revision + 1))
        entries, last = memory.now.events.values(), captured(memory, memory.durable_revision)
        return Stored(
            events=[self._as_known(entry, last, None) for entry in entries],
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

    @property
    def wal_bytes(self) -> int | None:
        return None

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
            elif memory_rows.selects(only, change):
                stripped = isinstance(change, EventChange) and not only.ended
                page.changes.append(replace(change, ended=()) if stripped else change)
            else:
                continue
            if len(page.changes) + len(page.unstored) == limit:
                return HistoryPage(page.changes, change.revision, page.unstored)
        return page

    async def extent(self) -> Extent:
        await trio.lowlevel.checkpoint()
        memory = self._memory
        return Extent(memory.database_id, memory.floor_revision, memory.durable_revision)

    async def log_rows(
        self, after: int, upto: int, limit: int, only: HistoryFilter = _EVERYTHING
    ) -> LogRows:
        await trio.lowlevel.checkpoint()
        return memory_rows.log_rows(self._memory, after, upto, limit, only)

    async def source_rows(self, after: int, upto: int) -> LogRows:
        await trio.lowlevel.checkpoint()
        return memory_rows.source_rows(self._memory, after, upto)

    async def event_texts(self, event_ids: Sequence[str], revision: int) -> dict[str, str]:
        await trio.lowlevel.checkpoint()
        return memory_rows.event_texts(self._memory, event_ids, revision)

    async def oldest_revision(self) -> int:
        await trio.lowlevel.checkpoint()
        return self._memory.floor_revision + 1

    async def revision_at(self, at: datetime) -> int:
        await trio.lowlevel.checkpoint()
        return revision_at(self._memory, at)

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
        last = captured(memory, revision)
        events = []
        for event_id in sorted(folds):
            entry = folds[event_id].entry()
            if entry is not None:
                events.append(self._as_known(entry, last, at))
        return PastOdds(revision, at or memory.floor_at, events, unknown)

    async def sources_at(self, revision: int, at: datetime) -> list[SourceState]:
        await trio.lowlevel.checkpoint()
        return sources_at(self._memory, revision, at)

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
            found += closing_of(self._memory, event_id)
        return found

    async def runs(self, only: RunsFilter, before: RunPlace | None, limit: int) -> RunsPage:
        await trio.lowlevel.checkpoint()
        return runs_before(self._memory, only, before, limit)

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
            return "it holds text that no database accepts"
        if letter.epoch != memory.epoch_of(letter.revision):
            return "its revision now belongs to another change: inspect or drop it"
        if memory.refused.get(letter.revision) != letter_id:
            return "its place in the history no longer exists"
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
        return retain(self._memory, policy, now)

    async def size(self) -> None:
        await trio.lowlevel.checkpoint()

    async def verify(self, report: Report = unreported) -> Verified:
        """Compare the odds built up commit by commit with a fold of the whole log."""
        del report  # all of it is in memory
        await trio.lowlevel.checkpoint()
        memory = self._memory
        faults = []
        folded = memory.folded(memory.commits)
        for event_id in sorted(folded.events.keys() | memory.now.events.keys()):
            stored, expected = _markets(memory.now, event_id), _markets(folded, event_id)
            if stored != expected:
                faults.append(f"event {event_id}: memory has {stored}, history {expected}")
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
        """Append commits after the durable revision; return the number of refused changes."""
        memory, refused = self._memory, 0
        for batch in batches:
            changes = [c for c in batch.changes if c.revision > memory.durable_revision]
            if not changes:
                continue
            if changes[0].revision != memory.durable_revision + 1:
                raise AssertionError(
                    f"revision {changes[0].revision} follows {memory.durable_revision}"
                )
            refused += memory.append(replace(batch, changes=changes), now)
        return refused

    def _replay(self, now: datetime) -> tuple[int, int]:
        """Append the spill where it fits; return the numbers of appended and misfit changes."""
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
        snapshots: Mapping[tuple[str, BookmakerKey], Snapshot],
        at: datetime | None,
    ) -> EventOdds:
        """Return an event as a start or a past reading sees it.

        Args:
            entry: the event with its odds.
            snapshots: each bookmaker's last snapshot; supplies the confirmations.
            at: the time up to which confirmations count; None for all.
        """
        event_id, carried = entry.event.id, self._memory.carried
        sources = {
            source: replace(_stored(carried[event_id, source]), departed_at=None)
            for source in entry.event.source_ids
            if (event_id, source) in carried
        }
        bookmakers = {
            key: odds_as_known(event_id, key, odds.markets, snapshots.get((event_id, key)), at)
            for key, odds in entry.bookmakers.items()
        }
        return EventOdds(entry.event, sources, bookmakers)

    def _ghosts(self, now: datetime) -> list[tuple[str, EventSource]]:
        """Return the source events that departed from recent events, the latest first."""
        departed = [
            (carried.departed_at, event_id, carried)
            for (event_id, _), carried in self._memory.carried.items()
            if carried.departed_at is not None
            and carried.shown is not None
            and event_id in self._memory.events
            and self._memory.events[event_id].event.start_time > now - GHOSTS_SINCE
        ]
        departed.sort(key=lambda ghost: ghost[0], reverse=True)
        return [(event_id, _stored(carried)) for _, event_id, carried in departed[:MOST_GHOSTS]]


def _stored(carried: EventSource) -> EventSource:
    """Return a source event without the fields that only one run knows."""
    return replace(carried, applied=None, absences=0, seen_boot_s=None, tier="")


def _markets(state: OddsState, event_id: str) -> object:
    entry = state.events.get(event_id)
    if entry is None:
        return None
    return {key: (odds.snapshot_id, dict(odds.markets)) for key, odds in entry.bookmakers.items()}


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
