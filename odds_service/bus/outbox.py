"""The outbox: commits on their way to the log on the bus, in revision order.

Detect uses it from the Trio thread (`put`, `room`), as it uses the write queue. `Outbox.run` runs
on the asyncio loop of the bus thread and reads the commits from the ring, which holds them anyhow.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog
import trio
from msgspec import Struct

from odds_service.bus.log import (
    Log,
    LogError,
    NotConnected,
    Stored,
    Unavailable,
    WrongSequence,
)
from odds_service.bus.messages import Batch, Freshness, Opened, decode, encode, end_revision
from odds_service.model.change import Commit
from odds_service.model.snapshot import EventSource, Snapshot
from odds_service.model.source import SourceState

OUTBOX_CHANGES: Final = 100_000  # as in the write queue; less than the ring holds
PACE_S: Final = 0.005  # between messages: a message costs far more than a change
MESSAGE_CHANGES: Final = 2_000  # about 400 kB
FRESH_S: Final = 1.0  # between messages about what moves without a change
WINDOW: Final = 64  # messages under way, at most 32 MiB
RETRY_FIRST_S: Final = 0.05
RETRY_MOST: Final = 20  # times as long at most

log = structlog.get_logger(__name__)


class Fenced(LogError):
    """Another writer has opened an epoch; this one must end."""


class RingTooShort(LogError):
    """The bus has lost commits that the ring no longer holds; only a new epoch helps."""


class Ring(Protocol):
    """The last commits, as ChangeFeed has them. Thread-safe."""

    capacity: int

    @property
    def durable_revision(self) -> int: ...

    def note_acked(self, revision: int) -> None: ...

    def read_after(self, revision: int, max_batches: int) -> list[Commit] | None: ...


class _Sent(Struct):
    """A message under way.

    Attributes:
        expect: The sequence before it.
        revision: The revision of the log once it is stored; None if more parts follow.
        begun_s: The loop's clock at the first attempt.
    """

    message: bytes
    expect: int
    revision: int | None
    begun_s: float
    task: "asyncio.Task[int]"


class Outbox:
    """The writer's end of the log on the bus.

    It is bounded by the number of changes that the log has not acknowledged. The ring keeps these,
    and at least as many acknowledged ones, so that a lost tail can be written again. A full outbox
    makes `room` wait; `put` still accepts commits, since they are in the cache already. Messages of
    changes and of freshness keep their order: a message without changes is true for the revision
    before it.

    Args:
        ring: The feed that holds the commits.
        revision: The revision before the first commit.
        capacity: The number of changes from which the outbox is full, at most the ring's.
        retry_s: The first wait after a refusal, in s; it doubles up to RETRY_MOST times as long,
            but not while there is no connection: readers would wait for the next attempt after it.
        clock: Returns the time that messages carry.

    Attributes:
        acked_revision: The last revision that the log is known to hold. It steps back when the bus
            loses its tail.
        reason: The trouble with the bus; empty without one.
        messages: The messages stored since the start.
        sequence: The last sequence that the log is known to hold.
        ack_total_s: The sum of the delays of their acknowledgements, in s.
        tails_rewritten: The times that a lost tail was written again.
        fenced: Whether another writer has taken the log over.
    """

    def __init__(
        self,
        ring: Ring,
        revision: int,
        *,
        capacity: int = OUTBOX_CHANGES,
        retry_s: float = RETRY_FIRST_S,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if capacity > ring.capacity:
            raise AssertionError(f"an outbox of {capacity} changes on a ring of {ring.capacity}")
        self.capacity = capacity
        self.acked_revision = revision
        self.reason = ""
        self.closed = False
        self.messages = 0
        self.sequence = 0
        self.ack_total_s = 0.0
        self.tails_rewritten = 0
        self.fenced = False
        self._ring = ring
        self._retry_s = retry_s
        self._clock = clock
        self._head = revision
        self._composed = revision  # the last revision in a message under way or stored
        self._waiting: deque[tuple[trio.lowlevel.TrioToken, trio.Event]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._awake = False  # the loop will look at the head before it waits, or needs not look
        self._lock = threading.Lock()
        self._fresh: dict[
            tuple[object, ...], Snapshot | tuple[str, EventSource] | SourceState | str
        ]
        self._fresh = {}
        self._epoch = ""
        ring.note_acked(revision)

    @property
    def pending_changes(self) -> int:
        """The changes that are not acknowledged."""
        return self._head - self.acked_revision

    @property
    def full(self) -> bool:
        return self.pending_changes >= self.capacity

    async def room(self) -> None:
        """Wait, in Trio, until the outbox is below its capacity; cancelling loses nothing."""
        while self.full:
            woken = trio.Event()
            self._waiting.append((trio.lowlevel.current_trio_token(), woken))
            if self.pending_changes < self.capacity:
                return  # an acknowledgement came before the line above
            await woken.wait()

    def put(self, commit: Commit) -> None:
        """Announce the next commit, which is in the ring. May be called from any thread.

        Raises:
            trio.ClosedResourceError: after `close`.
        """
        if self.closed:
            raise trio.ClosedResourceError
        with self._lock:
            self._head = commit.last_revision
        self._tell()

    def refresh(self, moved: Snapshot | tuple[str, EventSource] | SourceState | str) -> None:
        """Record what moved without a change; may be called from any thread.

        Only the latest of each snapshot, source of an event, and source is kept, and sent once a
        second with the newest commit. Commits that it is based on must have been put before.

        Args:
            moved: See Freshness; a text is the name of a source that was dropped.
        """
        key: tuple[object, ...]
        if isinstance(moved, Snapshot):
            key = (moved.snapshot_id,)
        elif isinstance(moved, tuple):
            key = moved[0], moved[1].source
        else:
            key = "source", moved if isinstance(moved, str) else moved.source, 0
        with self._lock:
            self._fresh[key] = moved

    def close(self) -> None:
        """Refuse further commits; `run` ends once everything is acknowledged."""
        self.closed = True
        self._tell()

    async def run(self, bus: Log, opened: Opened, sequence: int) -> None:
        """Append all commits, until the outbox is closed and everything stored.

        An outage is waited out. If the log has lost its tail, it is written again from the ring,
        with the message that began the epoch if that is lost, too.

        Args:
            bus: The log.
            opened: The message that began the epoch, with which the log was taken over.
            sequence: The sequence of that message.

        Raises:
            Fenced: Another writer has taken the log over.
            RingTooShort: The log has lost what the ring no longer holds.
            Gone, MadeAnew: The log no longer exists.
            BadMessage: The log ends in a message of another version.

        Cancellation: Appends under way may be stored or not.
        """
        self._epoch = opened.epoch
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self.sequence = sequence
        under_way: deque[_Sent] = deque()
        try:
            await self._send(bus, opened, sequence, under_way)
        except Fenced:
            self.fenced = True
            raise
        finally:
            self._loop = None
            for sent in under_way:
                sent.task.cancel()
            ended = asyncio.gather(*(sent.task for sent in under_way), return_exceptions=True)
            await ended  # noqa: ASYNC102  # they are cancelled, and end at once

    async def _send(self, bus: Log, opened: Opened, last: int, under_way: deque[_Sent]) -> None:
        loop = asyncio.get_running_loop()
        next_at = fresh_at = loop.time()
        wait_s = self._retry_s
        while True:
            self._news.clear()
            self._awake = False  # from here on a commit has to wake the loop
            now = loop.time()
            if len(under_way) < WINDOW and now >= next_at:
                fresh = now >= fresh_at or self.closed
                for message, revision in self._compose(fresh=fresh):
                    under_way.append(self._begin(bus, message, last, revision))
                    last += 1
                    # A full message is followed at once.
                    next_at = now if self._composed < self._head else now + PACE_S
                if fresh:
                    fresh_at = now + FRESH_S
            if self.closed and not under_way and self._composed == self._head and not self._fresh:
                return
            if not (under_way and under_way[0].task.done()):
                await self._wait(next_at, fresh_at, len(under_way))
            while under_way and under_way[0].task.done():
                try:
                    under_way[0].task.result()
                except Unavailable as error:
                    self._trouble(error)
                    await _settled(under_way)
                    await asyncio.sleep(wait_s)
                    if not isinstance(error, NotConnected):  # an attempt sends nothing then
                        wait_s = min(2 * wait_s, RETRY_MOST * self._retry_s)
                    self._begin_again(bus, under_way)
                    break
                except WrongSequence as error:
                    await _settled(under_way)
                    under_way.clear()
                    last = await self._resume(bus, opened, error)
                    break
                wait_s = self._retry_s
                self._acknowledge(under_way.popleft())

    async def _wait(self, next_at: float, fresh_at: float, under_way: int) -> None:
        """Wait for a commit, an answer, or the time of the next message."""
        until: float | None = None
        if under_way < WINDOW:
            behind = self._composed < self._head or (self.closed and self._fresh)
            until = next_at if behind else max(next_at, fresh_at)
            self._awake = bool(behind)  # another commit changes nothing until then
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._news.wait()

    def _begin(self, bus: Log, message: bytes, expect: int, revision: int | None) -> _Sent:
        begun_s = asyncio.get_running_loop().time()
        return _Sent(message, expect, revision, begun_s, self._append(bus, message, expect))

    def _append(self, bus: Log, message: bytes, expect: int) -> "asyncio.Task[int]":
        task = asyncio.ensure_future(bus.append(message, expect))
        task.add_done_callback(lambda _: self._news.set())
        return task

    def _begin_again(self, bus: Log, under_way: deque[_Sent]) -> None:
        """Repeat the appends that were not stored, in order."""
        for sent in under_way:
            if sent.task.exception() is not None:
                sent.task = self._append(bus, sent.message, sent.expect)

    def _acknowledge(self, sent: _Sent) -> None:
        self.messages += 1
        self.sequence = sent.expect + 1
        self.ack_total_s += asyncio.get_running_loop().time() - sent.begun_s
        if self.reason:
            log.info("bus_back")
            self.reason = ""
        if sent.revision is not None and sent.revision != self.acked_revision:
            self.acked_revision = sent.revision
            self._ring.note_acked(sent.revision)
        while not self.full and self._waiting:
            token, woken = self._waiting.popleft()
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(woken.set)

    def _compose(self, *, fresh: bool) -> list[tuple[bytes, int | None]]:
        """Return the next messages with the revision after each; several are parts of one batch.

        With `fresh`, a message without commits is one, too: it tells the durable revision, and
        finds out whether the log still ends where it should.
        """
        commits = self._next_commits()
        prev = self._composed
        revision = commits[-1].last_revision if commits else prev
        moved = self._take_fresh(revision) if fresh else None
        if not commits and moved is None and (self.closed or not fresh):
            return []
        durable = self._ring.durable_revision
        batch = Batch(self._epoch, prev, durable, commits, moved, self._clock())
        pieces = encode(batch)
        self._composed = revision
        return [(piece, None) for piece in pieces[:-1]] + [(pieces[-1], revision)]

    def _next_commits(self) -> Sequence[Commit]:
        if self._composed == self._head:
            return ()
        found = self._ring.read_after(self._composed, MESSAGE_CHANGES)
        if found is None:
            raise RingTooShort(f"the ring no longer holds revision {self._composed + 1}")
        changes, count = 0, 0
        for commit in found:
            if commit.last_revision > self._head:
                break  # swapped in, and not put yet
            changes += len(commit.changes)
            if count and changes > MESSAGE_CHANGES:
                break
            count += 1
        return found[:count]

    def _take_fresh(self, revision: int) -> Freshness | None:
        """Take what has moved, if `revision` is the head; older commits would undo it."""
        with self._lock:
            if revision != self._head or not self._fresh:
                return None
            moved, self._fresh = self._fresh.values(), {}
        return Freshness(
            tuple(each for each in moved if isinstance(each, Snapshot)),
            tuple(each for each in moved if isinstance(each, tuple)),
            tuple(each for each in moved if isinstance(each, SourceState)),
            tuple(each for each in moved if isinstance(each, str)),
        )

    async def _resume(self, bus: Log, opened: Opened, refused: WrongSequence) -> int:
        """Find the end of the log after a refusal, and go on from there; return its sequence."""
        while True:
            try:
                stored = await bus.last()
                last = (await bus.info()).last if stored is None else stored.sequence
                revision = self._revision_of(stored, opened)
                if revision is None:  # the epoch message is lost, too
                    prev = 0 if stored is None else _revision_after(stored)
                    again = Opened(opened.epochs, opened.first_revision, prev)
                    last = await bus.append(encode(again)[0], last)
                    revision = opened.first_revision - 1
                break
            except (Unavailable, WrongSequence) as error:
                self._trouble(error)
                await asyncio.sleep(self._retry_s)
        if self._ring.read_after(revision, 1) is None:
            raise RingTooShort(f"the bus lost all after revision {revision}, which the ring lacks")
        log.warning("bus_tail_written_again", after_revision=revision, reason=str(refused))
        self._composed = self.acked_revision = revision
        self._ring.note_acked(revision)
        self.tails_rewritten += 1
        self.sequence = last
        return last

    def _revision_of(self, stored: Stored | None, opened: Opened) -> int | None:
        """Return the revision at the end of the log, None if our epoch is not in it.

        Raises:
            Fenced: The log ends in an epoch that we do not know.
        """
        if stored is None:
            return None
        epoch = decode(stored.message).epoch
        if epoch == opened.epoch:
            return _revision_after(stored)
        if epoch not in dict(opened.epochs):
            raise Fenced("another writer has taken the log over, and opened a newer epoch")
        return None

    def _trouble(self, error: LogError) -> None:
        if not self.reason:
            log.warning("bus_away", reason=str(error), revision=self.acked_revision)
        self.reason = str(error)

    def _tell(self) -> None:
        loop = self._loop
        if loop is not None and not self._awake:
            self._awake = True
            with suppress(RuntimeError):  # the loop has just ended
                loop.call_soon_threadsafe(self._news.set)


def _revision_after(stored: Stored) -> int:
    return end_revision(decode(stored.message))


async def _settled(under_way: deque[_Sent]) -> None:
    """Wait until no append is under way any more."""
    await asyncio.gather(*(sent.task for sent in under_way), return_exceptions=True)
