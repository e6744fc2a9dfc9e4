"""The data of a store without a database: log, odds before and after it, dead letters.

It holds the values themselves. Only retention bounds their number.
"""

import uuid
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from odds_service.errors import BelowFloor, StorageError, StorageUnavailable
from odds_service.model.asks import Asks
from odds_service.model.change import Change, ChangeKind, Commit, EventChange
from odds_service.model.event import Event
from odds_service.model.fold import OddsState, forwards
from odds_service.model.scrape_run import ScrapeRun
from odds_service.model.snapshot import BookmakerOdds, EventSource, Snapshot
from odds_service.store import DeadLetter

_encode: Final = msgspec.json.Encoder().encode


class KnownEvent(Struct):
    """An event with the revisions of its last change and of its last end (0: never ended)."""

    event: Event
    revision: int
    ended_revision: int


class Memory:
    """The twin of a database: it outlives its stores, and one of them at a time owns it.

    Attributes:
        commits: the log above the floor.
        before: the odds at the floor.
        now: the odds after the log.
        refused: revision of a refused change -> id of its letter, None after the letter was
            dropped.
        constraint: predicate that a change must satisfy to be accepted, like a database's CHECK.
    """

    def __init__(self) -> None:
        self.database_id = uuid.uuid4().hex
        self.epoch = ""
        self.epochs: list[tuple[str, int]] = []
        self.imported = False  # whether an import opened the last of them
        self.durable_revision = 0
        self.detected_at: datetime | None = None
        self.floor_revision = 0
        self.floor_at: datetime | None = None
        self.commits: list[Commit] = []
        self.before = OddsState()
        self.now = OddsState()
        self.events: dict[str, KnownEvent] = {}
        self.carried: dict[tuple[str, str], EventSource] = {}
        self.snapshots: dict[int, Snapshot] = {}
        self.runs: dict[tuple[datetime, str, str], ScrapeRun] = {}
        self.asks: dict[str, Asks] = {}
        self.letters: dict[int, DeadLetter] = {}
        self.refused: dict[int, int | None] = {}
        self.spilled: list[tuple[str, Sequence[Commit]]] = []
        self.constraint: Callable[[Change], bool] | None = None
        self.owned = False
        self._last_letter = 0

    def changes(self, after: int, upto: int) -> Iterator[Change]:
        """Yield the changes with after < revision <= upto, refused ones included, in order."""
        first = bisect_right(self.commits, after, key=lambda commit: commit.last_revision)
        for place in range(first, len(self.commits)):
            for change in self.commits[place].changes:
                if change.revision > upto:
                    return
                if change.revision > after:
                    yield change

    def change_at(self, revision: int) -> Change:
        """Return the change of a revision above the floor."""
        place = bisect_left(self.commits, revision, key=lambda commit: commit.last_revision)
        commit = self.commits[place]
        return commit.changes[revision - commit.first_revision]

    def last_detected(self, at: datetime) -> int:
        """Return the last revision detected at or before a time. Raises BelowFloor."""
        if self.floor_at is not None and at < self.floor_at:
            raise BelowFloor(self.floor_revision)
        revisions = range(self.floor_revision + 1, self.durable_revision + 1)
        return self.floor_revision + bisect_right(
            revisions, at, key=lambda revision: self.change_at(revision).detected_at
        )

    def append(self, commit: Commit, epoch: str, kept_at: datetime) -> int:
        """Append the next commit; return the number of its changes that became dead letters.

        Args:
            commit: the commit.
            epoch: the epoch that numbered it.
            kept_at: the time to record with dead letters.

        Raises:
            StorageUnavailable: a change was detected at a naive time, which no log contains.
        """
        for change in commit.changes:
            if change.detected_at.tzinfo is None:
                raise StorageUnavailable(f"revision {change.revision} has a naive time")
        refused = 0
        for change in commit.changes:
            reason = self.refusal(change)
            if reason is not None:
                self.refused[change.revision] = self.keep(change, epoch, reason, kept_at)
                refused += 1
        self.commits.append(commit)
        self.durable_revision = commit.last_revision
        self.detected_at = commit.changes[-1].detected_at
        self.now = forwards(self.now, self.served(commit))
        self._note(commit)
        return refused

    def _note(self, commit: Commit) -> None:
        """Store a commit's snapshots, events and their sources."""
        for snapshot in commit.snapshots:
            self.snapshots.setdefault(snapshot.snapshot_id, snapshot)
        described = set()
        for change in self.served(commit).changes:
            if isinstance(change, EventChange):
                described.add(change.event_id)
                known = self.events.get(change.event_id)
                ended = 0 if known is None else known.ended_revision
                if change.kind is ChangeKind.EVENT_ENDED:
                    ended = change.revision
                self.events[change.event_id] = KnownEvent(change.after, change.revision, ended)
        for event_id, carried in commit.event_sources:
            replaced = carried.departed_at is not None and carried.shown is None
            if event_id in described or replaced:
                self.carried[event_id, carried.source] = carried

    def confirm(self, odds: BookmakerOdds) -> None:
        """Record the time at which a snapshot was last seen true."""
        snapshot = self.snapshots.get(odds.snapshot_id)
        if snapshot is not None:
            self.snapshots[odds.snapshot_id] = replace(
                snapshot,
                observed_at=odds.observed_at,
                confirmed_at=odds.confirmed_at,
                source_updated_at=odds.source_updated_at,
                lagging=odds.lagging,
            )

    def served(self, commit: Commit) -> Commit:
        """Return a commit without the changes that are lost.

        Refused changes were served, and count as long as their letters are kept.
        """
        if not any(change.revision in self.refused for change in commit.changes):
            return commit
        return _part(commit, lambda revision: not self.is_unknown(revision))

    def is_unknown(self, revision: int) -> bool:
        """Return whether a change was refused and no letter holds it any more."""
        if revision not in self.refused:
            return False
        letter_id = self.refused[revision]
        return letter_id is None or self.letters[letter_id].change is None

    def folded(self, commits: Iterable[Commit]) -> OddsState:
        """Return the odds at the floor with commits above it applied."""
        state = self.before
        for commit in commits:
            state = forwards(state, self.served(commit))
        return state

    def refusal(self, change: Change) -> str | None:
        """Return the reason why a change is refused; None if it is acceptable."""
        if self.constraint is not None and not self.constraint(change):
            return "constraint refused"
        return unfit(change)

    def keep(self, change: Change, epoch: str, reason: str, kept_at: datetime) -> int:
        """Keep a change as a dead letter; return the id of the letter.

        Args:
            change: the change.
            epoch: the epoch that numbered it.
            reason: why it is not in the log.
            kept_at: the time to record.
        """
        self._last_letter += 1
        self.letters[self._last_letter] = DeadLetter(
            letter_id=self._last_letter,
            epoch=epoch,
            revision=change.revision,
            reason=reason,
            kept_at=kept_at,
            attempts=1,
            change=None if unfit(change) is not None else change,
        )
        return self._last_letter

    def drop(self, letter_id: int) -> bool:
        """Delete a letter; return whether it existed."""
        known = letter_id in self.letters
        self.drop_all([letter_id] if known else [])
        return known

    def drop_all(self, letter_ids: Iterable[int]) -> None:
        """Delete letters; their changes are unknown from now on."""
        lost = False
        for letter_id in letter_ids:
            letter = self.letters.pop(letter_id)
            if self.refused.get(letter.revision) == letter_id:
                self.refused[letter.revision] = None
                lost = True
        if lost:
            self.now = self.folded(self.commits)

    def epoch_of(self, revision: int) -> str | None:
        """Return the epoch that numbered a revision."""
        place = bisect_right(self.epochs, revision, key=lambda opened: opened[1]) - 1
        return self.epochs[place][0] if place >= 0 else None

    def move_floor(self, floor: int, floor_at: datetime) -> int:
        """Delete the log up to a revision; return the number of deleted changes."""
        gone = floor - self.floor_revision
        kept: list[Commit] = []
        below: list[Commit] = []
        for commit in self.commits:
            if commit.last_revision <= floor:
                below.append(commit)
            elif commit.first_revision > floor:
                kept.append(commit)
            else:
                below.append(_part(commit, lambda revision: revision <= floor))
                kept.append(_part(commit, lambda revision: revision > floor))
        self.before = self.folded(below)
        self.commits = kept
        self.refused = {each: letter for each, letter in self.refused.items() if each > floor}
        self.floor_revision, self.floor_at = floor, floor_at
        return gone


def _part(commit: Commit, keeps: Callable[[int], bool]) -> Commit:
    return replace(commit, changes=[each for each in commit.changes if keeps(each.revision)])


def unfit(change: Change) -> str | None:
    """Return the reason why no store can accept a change; None if there is none."""
    for at in (change.observed_at, change.wall_at):
        if at is not None and at.tzinfo is None:
            return f"NaiveTime: naive time {at.isoformat()}: only aware times are stored"
    try:
        _encode(replace(change, ended=()) if isinstance(change, EventChange) else change)
    except UnicodeEncodeError as error:
        return f"UnicodeEncodeError: {error}"
    return None


@contextmanager
def owned(memory: Memory) -> Iterator[None]:
    """Own the memory. Raises StorageError while another store does."""
    if memory.owned:
        raise StorageError("the memory is in use by another odds-service")
    memory.owned = True
    try:
        yield
    finally:
        memory.owned = False
