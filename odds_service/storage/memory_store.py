"""The store without a database, for tests and trials; the twin of DatabaseStore."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import structlog
import trio
from msgspec.structs import replace

from odds_service.errors import BelowFloor, StorageUnavailable, Superseded
from odds_service.model.asks import Asks
from odds_service.model.change import (
    Change,
    Commit,
    EventChange,
    SourceChange,
)
from odds_service.model.event import Event
from odds_service.model.fold import EventFold, OddsState
from odds_service.model.source import SourceState
from odds_service.storage import memory_rows
from odds_service.storage.epoch_order import (
    SUPERSEDED,
    check_consecutive,
    check_continues,
    check_stored,
)
from odds_service.storage.memory import Memory
from odds_service.storage.memory_closing import closing_of
from odds_service.storage.memory_epochs import append, extend, open_epoch, replay
from odds_service.storage.memory_load import as_known, stored_of
from odds_service.storage.memory_past import captured, revision_at, runs_before, sources_at
from odds_service.storage.memory_retention import retain
from odds_service.store import (
    ClosingOdds,
    DeadLetter,
    Extent,
    Fence,
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
        self._replayed = self._misfits = 0  # of the spill, by open_epoch()

    async def begin(self, opening: Opening = _LIVE) -> Stored:
        await trio.lowlevel.checkpoint()
        memory, now = self._memory, datetime.now(UTC)
        replayed, misfits = replay(memory, now)
        epoch = uuid.uuid4().hex
        open_epoch(memory, epoch, opening)
        self._epoch = memory.epoch = epoch
        return replace(stored_of(memory, now), replayed=replayed, misfits=misfits)

    async def fence(self) -> Fence:
        await trio.lowlevel.checkpoint()
        memory = self._memory
        self._epoch = memory.epoch = uuid.uuid4().hex
        return Fence(
            epoch=self._epoch,
            old_epoch=memory.epochs[-1][0] if memory.epochs else "",
            durable_revision=memory.durable_revision,
            epochs=list(memory.epochs),
            database_id=memory.database_id,
            last_detected_at=memory.detected_at,
        )

    async def store_surplus(self, epoch: str, commits: Sequence[Commit]) -> int:
        await trio.lowlevel.checkpoint()
        check_consecutive(commits)
        self._check_epoch()
        durable = self._memory.durable_revision
        if not commits or commits[-1].last_revision <= durable:
            return 0
        check_continues(durable, commits[0].first_revision)
        extend(self._memory, epoch, commits[-1].last_revision)
        return append(self._memory, commits, epoch, datetime.now(UTC))

    async def open_epoch(self, opening: Opening = _LIVE) -> list[tuple[str, int]]:
        await trio.lowlevel.checkpoint()
        memory = self._memory
        self._check_epoch()
        replayed, misfits = replay(memory, datetime.now(UTC), self._epoch)
        self._replayed, self._misfits = self._replayed + replayed, self._misfits + misfits
        open_epoch(memory, self._epoch, opening)
        return list(memory.epochs)

    async def load(self) -> Stored:
        await trio.lowlevel.checkpoint()
        self._check_epoch()
        stored = stored_of(self._memory, datetime.now(UTC))
        return replace(stored, replayed=self._replayed, misfits=self._misfits)

    async def warm(self) -> Stored:
        await trio.lowlevel.checkpoint()
        if not self._memory.epochs:
            raise StorageUnavailable("no service has begun on this memory yet")
        return stored_of(self._memory, datetime.now(UTC))

    async def renew(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._epoch:
            self._check_epoch()

    async def write(self, group: WriteGroup) -> int:
        await trio.lowlevel.checkpoint()
        memory = self._memory
        self._check_epoch()
        refused = append(memory, group.batches, self._epoch, datetime.now(UTC))
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
        upto = max(after, min(upto, self._memory.durable_revision))
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
        if revision < memory.floor_revision:
            raise BelowFloor(memory.floor_revision)
        check_stored(memory.durable_revision, revision)
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
                events.append(as_known(memory, entry, last, at))
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
            raise Superseded(SUPERSEDED)


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
