"""Wake-ups for streams: at most one per published commit, however many streams there are.

The feed calls its listener on the publishing thread, which schedules one callback on the server's
loop. The callback resumes the waiting streams whose filters the news may pass, no more often than
they can be served. The others sleep on, and learn at their next wake-up how far the log held
nothing for them.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from time import monotonic  # the same clock as loop.time(), without its two extra calls
from typing import Final

import structlog

from odds_service.feed import ChangeFeed
from odds_service.filters.news import News
from odds_service.filters.selection import Selection
from odds_service.status import SubscriberReport

PACE_S_PER_STREAM: Final = 20e-6  # half the cost of waking one stream
# The pace while many streams are being opened, so that their calls get most of the time.
RUSH_PACE_S_PER_STREAM: Final = 100e-6
RUSH_STREAMS: Final = 10  # streams opened within RUSH_S that count as a rush
RUSH_S: Final = 1.0
MAX_PACE_S: Final = 0.25  # no stream waits longer than this for others to be served
_WOKEN_AT_ONCE: Final = 50  # streams resumed before new calls get a turn
# News of more commits or changes is not looked through: it concerns every stream.
_COMMITS_LOOKED_AT: Final = 256
_CHANGES_LOOKED_AT: Final = 2_000
_WATCH_S: Final = 5.0  # the longest time between two checks for stalled writes
WRITE_TIMEOUT_S: Final = 900.0  # a reader that takes no message for this long is given up

log = structlog.get_logger(__name__)


class _Asleep:
    """The tasks with one selection that wait for news.

    Attributes:
        since: The head of the log when the first of them began to wait.
        quiet_to: The revision up to which the log holds nothing for any of them.
        futures: The futures of their waits.
    """

    __slots__ = ("futures", "quiet_to", "since")

    def __init__(self, revision: int) -> None:
        self.since = self.quiet_to = revision
        self.futures: set[asyncio.Future[None]] = set()


class Waiter:
    """A task that waits for the log, with one future per wait and one timer for many waits.

    A busy stream is woken long before its heartbeat is due. Its timer is left alone and rings
    early once, which is cheaper than a timer for each wait.

    Attributes:
        selection: The changes that it waits for; None for all.
        asleep: The group that it waits in; None while it does not wait for news.
    """

    def __init__(self, selection: Selection | None = None) -> None:
        self.selection = selection
        self.asleep: _Asleep | None = None
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
        revision: The place in the log up to which its reader has all changes, as of its last
            message or wake-up.
        replaying: Whether it reads the database.
        given_up: Whether the hub ended it because its reader stalled.
        blocked_since: The loop time at which the pending write began; None if there is none.
        opened_s: The loop time at which it was opened.
    """

    def __init__(
        self,
        peer: str,
        connected_at: datetime,
        revision: int,
        selection: Selection | None = None,
    ) -> None:
        super().__init__(selection)
        self.peer = peer
        self.connected_at = connected_at
        self.revision = revision
        self.replaying = False
        self.given_up = False
        self.blocked_since: float | None = None
        self.opened_s = monotonic()
        self.task = asyncio.current_task()

    @property
    def position(self) -> int:
        """The place in the log up to which its reader lacks nothing."""
        asleep = self.asleep
        return self.revision if asleep is None else max(self.revision, asleep.quiet_to)


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
        self._streams: Counter[Selection | None] = Counter()
        self._waiting: dict[Selection | None, _Asleep] = {}
        self._sleeping: set[asyncio.Future[None]] = set()
        self.woken_head = feed.head_revision
        self._told: tuple[int, str] = -1, ""  # used on the publishing thread only
        self._woken_epoch = feed.epoch
        self._pending = False
        self._ended = False  # until `reopen`
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

    def reopen(self) -> None:
        """Let streams begin again after `end`, at what may be another log."""
        self._ended = False
        self.woken_head, self._woken_epoch = self.feed.head_revision, self.feed.epoch

    def give_up(self) -> None:
        """Cancel the streams that are left, as if their readers had stalled."""
        for subscriber in self.subscribers:
            if subscriber.task is not None:
                subscriber.given_up = True
                subscriber.task.cancel()

    async def emptied(self, until: float) -> None:
        """Wait until no stream is left, or until loop time `until`."""
        while self.subscribers and (left_s := until - monotonic()) > 0:
            tasks = [each.task for each in self.subscribers if each.task is not None]
            await asyncio.wait(tasks, timeout=left_s)

    def _published(self) -> None:
        """Schedule a wake-up for a new head or epoch; runs on the publishing thread.

        A new durable revision alone wakes no stream, since heartbeats and changes carry it. Where
        nobody listens the loop is not woken: that costs more than all else of a small commit.
        """
        told = self.feed.head_revision, self.feed.epoch
        if self._pending or (told == self._told and not self.feed.closed):
            return
        # The head moves before this look, and whoever comes looks at the head afterwards.
        if not (self.subscribers or self._waiting or self.feed.closed):
            return
        self._pending = True
        self._told = told
        try:
            self._loop.call_soon_threadsafe(self._on_wake)
        except RuntimeError:
            log.debug("published_after_loop_closed")

    def _catch_up(self) -> None:
        """Tell what was published while nobody listened; for those who do now."""
        if not self._pending and self._timer is None and self._news():
            self._on_wake()

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
        feed = self.feed
        moved = feed.head_revision != self.woken_head or feed.epoch != self._woken_epoch
        return moved or self.closed

    def _fan_out(self) -> None:
        self._timer = None
        after, self.woken_head = self.woken_head, self.feed.head_revision
        self._woken_epoch = self.feed.epoch
        resumed, streams = self._concerned(after)
        self._next_at = monotonic() + self.pace_s(streams)
        self.wake_ups += 1
        self._resume(resumed)

    def _concerned(self, after: int) -> tuple[list[asyncio.Future[None]], int]:
        """Return the waits that the news after a revision ends, and how many streams it concerns.

        For all others, record that the log holds nothing for them.
        """
        news = self._news_after(after)
        resumed = list(self._sleeping) if self.closed else []
        streams = 0
        for selection, count in (*self._streams.items(), (None, 0)):
            quiet = not (news is None or selection is None or news.may_concern(selection))
            streams += 0 if quiet else count
            asleep = self._waiting.get(selection)
            if asleep is None:
                continue
            if quiet:
                asleep.quiet_to = self.woken_head
            if not quiet or self.woken_head - asleep.since > self.feed.capacity // 4:
                del self._waiting[selection]
                resumed += asleep.futures
        return resumed, streams

    def _news_after(self, revision: int) -> News | None:
        """Return what the changes up to the woken head concern; None for everything."""
        if self.closed or self.woken_head - revision > _CHANGES_LOOKED_AT:
            return None
        commits = self.feed.read_after(revision, _COMMITS_LOOKED_AT)
        if not commits or commits[-1].last_revision < self.woken_head:
            return None
        return News(change for commit in commits for change in commit.changes)

    def _resume(self, waiting: list[asyncio.Future[None]]) -> None:
        for future in waiting[:_WOKEN_AT_ONCE]:
            if not future.done():
                future.set_result(None)
        if len(waiting) > _WOKEN_AT_ONCE:
            self._loop.call_soon(self._resume, waiting[_WOKEN_AT_ONCE:])

    def pace_s(self, streams: int) -> float:
        """The shortest time after a wake-up that concerns so many streams, in seconds."""
        rush = monotonic() - self._opened_at[0] < RUSH_S
        each_s = RUSH_PACE_S_PER_STREAM if rush else PACE_S_PER_STREAM
        return min(MAX_PACE_S, each_s * streams)

    async def wait(self, waiter: Waiter, revision: int, until: float, *, woken: bool = True) -> int:
        """Wait for news or for a time; the wait may end early.

        Args:
            waiter: The waiting task.
            revision: The place up to which it has read; news beyond it ends the wait.
            until: The approximate loop time that ends the wait.
            woken: False to sleep through news; the end of all streams still ends the wait.

        Returns:
            The revision up to which the log holds nothing for the task; `revision` or a later one.
        """
        if (woken and self.has_news(revision)) or self.closed:
            return revision
        future = waiter.future(self._loop, until)
        if not woken:
            self._sleeping.add(future)
            try:
                await future
            finally:
                self._sleeping.discard(future)
            return revision
        selection = waiter.selection
        asleep = self._waiting.get(selection)
        if asleep is None:
            asleep = self._waiting[selection] = _Asleep(self.woken_head)
        asleep.futures.add(future)
        waiter.asleep = asleep
        self._catch_up()
        try:
            await future
        finally:
            waiter.asleep = None
            asleep.futures.discard(future)
            if not asleep.futures and self._waiting.get(selection) is asleep:
                del self._waiting[selection]
        return max(revision, asleep.quiet_to)

    async def reached(self, revision: int, timeout_s: float) -> bool:
        """Wait until the head reaches a revision; return False on a time-out or at the stop."""
        return await self.until(lambda: self.feed.head_revision >= revision, timeout_s)

    async def until(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until something holds that a new head or epoch can bring about.

        Returns:
            False on a time-out or at the stop.
        """
        until = monotonic() + timeout_s
        waiter = Waiter()
        try:
            while not holds():
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
        self._streams[subscriber.selection] += 1
        self._opened_at.append(monotonic())
        self._catch_up()
        try:
            yield
        finally:
            self.subscribers.discard(subscriber)
            self._streams[subscriber.selection] -= 1
            if not self._streams[subscriber.selection]:
                del self._streams[subscriber.selection]
            subscriber.disarm()

    def report(self, now: datetime) -> list[SubscriberReport]:
        """Report how far each stream is behind. May be called from any thread."""
        held = [(each.position, each.replaying) for each in tuple(self.subscribers)]
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
