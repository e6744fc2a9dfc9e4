"""Wake-ups for streams: at most one per published commit, however many streams there are.

The feed calls its listener on the publishing thread, which schedules one callback on the server's
loop. The callback resumes all waiting streams, no more often than they can be served.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from time import monotonic  # the same clock as loop.time(), without its two extra calls
from typing import Final

import structlog

from odds_service.feed import ChangeFeed
from odds_service.status import SubscriberReport

PACE_S_PER_STREAM: Final = 20e-6  # half the cost of waking one stream
# The pace while many streams are being opened, so that their calls get most of the time.
RUSH_PACE_S_PER_STREAM: Final = 100e-6
RUSH_STREAMS: Final = 10  # streams opened within RUSH_S that count as a rush
RUSH_S: Final = 1.0
MAX_PACE_S: Final = 0.25  # no stream waits longer than this for others to be served
_WOKEN_AT_ONCE: Final = 50  # streams resumed before new calls get a turn
_WATCH_S: Final = 5.0  # the longest time between two checks for stalled writes
WRITE_TIMEOUT_S: Final = 900.0  # a reader that takes no message for this long is given up

log = structlog.get_logger(__name__)


class Waiter:
    """A task that waits for the log, with one future per wait and one timer for many waits.

    A busy stream is woken long before its heartbeat is due. Its timer is left alone and rings
    early once, which is cheaper than a timer for each wait.
    """

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None

    def future(self, loop: asyncio.AbstractEventLoop, until: float) -> "asyncio.Future[None]":
        """Return a new future, done at loop time `until` at the latest."""
        self._future = future = loop.create_future()
        if self._alarm is None or self._alarm.when() > until:
            self.disarm()
            self._alarm = loop.call_at(until, self._ring)
        return future

    def _ring(self) -> None:
        self._alarm = None
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def disarm(self) -> None:
        """Cancel the timer."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None


class Subscriber(Waiter):
    """One stream of changes, as seen by GetStatus and the hub.

    Attributes:
        revision: The place in the log up to which its reader has all changes.
        replaying: Whether it reads the database.
        given_up: Whether the hub ended it because its reader stalled.
        blocked_since: The loop time at which the pending write began; None if there is none.
        opened_s: The loop time at which it was opened.
    """

    def __init__(self, peer: str, connected_at: datetime, revision: int) -> None:
        super().__init__()
        self.peer = peer
        self.connected_at = connected_at
        self.revision = revision
        self.replaying = False
        self.given_up = False
        self.blocked_since: float | None = None
        self.opened_s = monotonic()
        self.task = asyncio.current_task()


class Hub:
    """A waker of the streams that wait for the log.

    Everything but the listener and `report` runs on the server's loop.

    Attributes:
        woken_head: The head of the log as of the last wake-up.
    """

    def __init__(self, feed: ChangeFeed, loop: asyncio.AbstractEventLoop) -> None:
        self.feed = feed
        self.subscribers: set[Subscriber] = set()
        self.wake_ups = 0
        self._loop = loop
        self._waiting: set[asyncio.Future[None]] = set()
        self._sleeping: set[asyncio.Future[None]] = set()
        self.woken_head = feed.head_revision
        self._told_head = -1  # used on the publishing thread only
        self._pending = False
        self._ended = False
        self._timer: asyncio.TimerHandle | None = None
        self._next_at = 0.0
        self._opened_at: deque[float] = deque([-RUSH_S] * RUSH_STREAMS, maxlen=RUSH_STREAMS)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen to the feed during a block."""
        leave = self.feed.listen(self._published)
        self.woken_head = self.feed.head_revision  # earlier changes trigger no wake-up
        try:
            yield
        finally:
            leave()
            if self._timer is not None:
                self._timer.cancel()

    @property
    def closed(self) -> bool:
        """Return whether streams should end: the feed is closed or the server is stopping."""
        return self._ended or self.feed.closed

    def has_news(self, revision: int) -> bool:
        """Return whether a stream that has read up to a revision may read on.

        Changes published since the last wake-up do not count until the next one.
        """
        return revision < (self.feed.head_revision if self.closed else self.woken_head)

    def end(self) -> None:
        """Ask all streams to end at their present places."""
        self._ended = True
        self._fan_out()

    async def emptied(self, until: float) -> None:
        """Wait until no stream is left, or until loop time `until`."""
        while self.subscribers and (left_s := until - monotonic()) > 0:
            tasks = [each.task for each in self.subscribers if each.task is not None]
            await asyncio.wait(tasks, timeout=left_s)

    def _published(self) -> None:
        """Schedule a wake-up for a new head; runs on the publishing thread.

        A new durable revision alone wakes no stream, since heartbeats and changes carry it.
        """
        head = self.feed.head_revision
        if self._pending or (head == self._told_head and not self.feed.closed):
            return
        self._pending = True
        self._told_head = head
        try:
            self._loop.call_soon_threadsafe(self._on_wake)
        except RuntimeError:
            log.debug("published_after_loop_closed")

    def _on_wake(self) -> None:
        self._pending = False  # before reading the head, so that a later commit wakes again
        if self._timer is not None or not self._news():
            return
        now = monotonic()
        if now >= self._next_at:
            self._fan_out()
        else:
            self._timer = self._loop.call_at(self._next_at, self._fan_out)

    def _news(self) -> bool:
        return self.feed.head_revision != self.woken_head or self.closed

    def _fan_out(self) -> None:
        self._timer = None
        self.woken_head = self.feed.head_revision
        self._next_at = monotonic() + self.pace_s()
        waiting, self._waiting = self._waiting, set()
        if self.closed:
            waiting |= self._sleeping
        self.wake_ups += 1
        self._resume(list(waiting))

    def _resume(self, waiting: list[asyncio.Future[None]]) -> None:
        for future in waiting[:_WOKEN_AT_ONCE]:
            if not future.done():
                future.set_result(None)
        if len(waiting) > _WOKEN_AT_ONCE:
            self._loop.call_soon(self._resume, waiting[_WOKEN_AT_ONCE:])

    def pace_s(self) -> float:
        """The shortest time between two wake-ups, in seconds."""
        rush = monotonic() - self._opened_at[0] < RUSH_S
        each_s = RUSH_PACE_S_PER_STREAM if rush else PACE_S_PER_STREAM
        return min(MAX_PACE_S, each_s * len(self.subscribers))

    async def wait(
        self, waiter: Waiter, revision: int, until: float, *, woken: bool = True
    ) -> None:
        """Wait for the next wake-up or for a time; the wait may end early.

        Args:
            waiter: The waiting task.
            revision: The place up to which it has read; a wake-up beyond it ends the wait.
            until: The approximate loop time that ends the wait.
            woken: False to sleep through wake-ups; the end of all streams still ends the wait.
        """
        if (woken and self.has_news(revision)) or self.closed:
            return
        future = waiter.future(self._loop, until)
        those = self._waiting if woken else self._sleeping
        those.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)  # a wake-up may have replaced the set
            self._sleeping.discard(future)

    async def reached(self, revision: int, timeout_s: float) -> bool:
        """Wait until the head reaches a revision; return False on a time-out or at the stop."""
        until = monotonic() + timeout_s
        waiter = Waiter()
        try:
            while self.feed.head_revision < revision:
                if monotonic() >= until or self.closed:
                    return False
                await self.wait(waiter, self.feed.head_revision, until)
        finally:
            waiter.disarm()
        return True

    @contextmanager
    def subscribed(self, subscriber: Subscriber) -> Iterator[None]:
        """Count a stream during a block."""
        self.subscribers.add(subscriber)
        self._opened_at.append(monotonic())
        try:
            yield
        finally:
            self.subscribers.discard(subscriber)
            subscriber.disarm()

    def report(self, now: datetime) -> list[SubscriberReport]:
        """Report how far each stream is behind. May be called from any thread."""
        held = [(each.revision, each.replaying) for each in tuple(self.subscribers)]
        ages = {revision: self.lag_s(revision, now) for revision in {at for at, _ in held}}
        head = self.feed.head_revision
        return [
            SubscriberReport(max(0, head - revision), ages[revision], replaying)
            for revision, replaying in held
        ]

    def lag_s(self, revision: int, now: datetime) -> float:
        """Return the age of the first change after a revision in seconds, 0 at the head.

        For a revision older than memory, return the age of the oldest change in memory.
        """
        behind = self.feed.read_after(revision, 1)
        if behind is None:
            behind = self.feed.read_after(self.feed.oldest_revision - 1, 1)
        if not behind:
            return 0.0
        return max(0.0, (now - behind[0].changes[0].detected_at).total_seconds())

    async def watch_stalled(self, timeout_s: float = WRITE_TIMEOUT_S) -> None:
        """End streams whose reader takes nothing for `timeout_s`; return only when cancelled."""
        while True:
            await asyncio.sleep(min(_WATCH_S, timeout_s))
            oldest = monotonic() - timeout_s
            for subscriber in self.subscribers:
                since = subscriber.blocked_since
                if since is not None and since < oldest and subscriber.task is not None:
                    subscriber.given_up = True
                    subscriber.task.cancel()
