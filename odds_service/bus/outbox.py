"""The outbox: commits on their way to the log on the bus, in revision order.

Detect uses it from the Trio thread (`put`, `room`), as it uses the write queue. `Outbox.run` runs
on the asyncio loop of the bus thread and reads the commits from the ring, which holds them anyhow.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

import structlog
import trio
from msgspec import Struct

from odds_service.bus.log import Log, LogError, Stored, Unavailable, WrongSequence
from odds_service.bus.messages import Batch, Freshness, Opened, Part, decode, encode
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

    @property
    def durable_revision(self) -> int: ...

    def read_after(self, revision: int, max_batches: int) -> list[Commit] | None: ...


class _Sent(Struct):
    """A message under way.

    Attributes:
        expect: The sequence before it.
        revision: The revision of the log once it is stored; None if more parts follow.
    """

    message: bytes
    expect: int
    revision: int | None
    task: "asyncio.Task[int]"


class Outbox:
    """The writer's end of the log on the bus.

    It is bounded by the number of changes that the log has not acknowledged, which must not exceed
    what the ring holds. A full outbox makes `room` wait; `put` still accepts commits, since they
    are in the cache already. Messages of changes and of freshness keep their order: a message
    without changes is true for the revision before it.

    Args:
        ring: The feed that holds the commits.
        revision: The revision before the first commit.
        capacity: The number of changes from which the outbox is full.
        retry_s: The first wait after a refusal, in s; it doubles up to RETRY_MOST times as long.

    Attributes:
        acked_revision: The last revision that the log is known to hold. It steps back when the bus
            loses its tail.
        reason: The trouble with the bus; empty without one.
    """

    def __init__(
        self,
        ring: Ring,
        revision: int,
        *,
        capacity: int = OUTBOX_CHANGES,
        retry_s: float = RETRY_FIRST_S,
    ) -> None:
        self.capacity = capacity
        self.acked_revision = revision
        self.reason = ""
        self.closed = False
        self.messages = 0  # stored, for tests and metrics
        self._ring = ring
        self._retry_s = retry_s
        self._head = revision
        self._composed = revision  # the last revision in a message under way or stored
        self._waiting: deque[tuple[trio.lowlevel.TrioToken, trio.Event]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._lock = threading.Lock()
        self._fresh: dict[
            tuple[object, ...], Snapshot | tuple[str, EventSource] | SourceState | str
        ]
        self._fresh = {}
        self._epoch = ""

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

    async def run(self, bus: Log, opened: Opened, expect: int) -> None:
        """Open an epoch and append all commits, until the outbox is closed and everything stored.

        An outage is waited out. If the log has lost its tail, it is written again from the ring.

        Args:
            bus: The log.
            opened: The message that begins the epoch, which fences the writer before.
            expect: The last sequence of the log when it was taken over.

        Raises:
            Fenced: Another writer has taken the log over, or did so before this one.
            RingTooShort: The log has lost what the ring no longer holds.
            Gone, MadeAnew: The log no longer exists.
            BadMessage: The log ends in a message of another version.

        Cancellation: Appends under way may be stored or not.
        """
        self._epoch = opened.epoch
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        under_way: deque[_Sent] = deque()
        try:
            try:
                await self._append_surely(bus, encode(opened)[0], expect)
            except WrongSequence as error:
                raise Fenced(f"another writer has taken the log over: {error}") from None
            await self._send(bus, opened, expect + 1, under_way)
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
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._news.wait()

    def _begin(self, bus: Log, message: bytes, expect: int, revision: int | None) -> _Sent:
        task = asyncio.ensure_future(bus.append(message, expect))
        task.add_done_callback(lambda _: self._news.set())
        return _Sent(message, expect, revision, task)

    def _begin_again(self, bus: Log, under_way: deque[_Sent]) -> None:
        """Repeat the appends that were not stored, in order."""
        for place, sent in enumerate(under_way):
            if sent.task.exception() is not None:
                under_way[place] = self._begin(bus, sent.message, sent.expect, sent.revision)

    def _acknowledge(self, sent: _Sent) -> None:
        self.messages += 1
        if self.reason:
            log.info("bus_back")
            self.reason = ""
        if sent.revision is not None:
            self.acked_revision = sent.revision
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
        batch = Batch(self._epoch, prev, self._ring.durable_revision, commits, moved)
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
            [each for each in moved if isinstance(each, Snapshot)],
            [each for each in moved if isinstance(each, tuple)],
            [each for each in moved if isinstance(each, SourceState)],
            [each for each in moved if isinstance(each, str)],
        )

    async def _append_surely(self, bus: Log, message: bytes, expect: int) -> None:
        """Append one message through any outage. Raises WrongSequence."""
        wait_s = self._retry_s
        while True:
            try:
                await bus.append(message, expect)
                return
            except Unavailable as error:
                self._trouble(error)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, RETRY_MOST * self._retry_s)

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
        if loop is not None:
            with suppress(RuntimeError):  # the loop has just ended
                loop.call_soon_threadsafe(self._news.set)


def _revision_after(stored: Stored) -> int:
    """Return the revision of the log after its last message; an incomplete batch does not count."""
    message = decode(stored.message)
    if isinstance(message, Opened):
        return message.first_revision - 1
    if isinstance(message, Part):
        return message.revision if message.number == message.count else message.prev_revision
    return message.revision


async def _settled(under_way: deque[_Sent]) -> None:
    """Wait until no append is under way any more."""
    await asyncio.gather(*(sent.task for sent in under_way), return_exceptions=True)
