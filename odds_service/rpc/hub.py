"""The server's side of the feed: one wake-up per published batch, whatever the number of streams.

The feed calls its one listener on the thread that published; that hands over one callback to the
server's loop, and there all streams that wait are resumed, not more often than they can be served.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import structlog

from odds_service.feed import ChangeFeed
from odds_service.status import SubscriberReport

PACE_S_PER_STREAM: Final = 40e-6  # about what a wake-up costs one stream; a little CPU is left
MAX_PACE_S: Final = 0.1  # no stream waits longer than this for others to be served
_WOKEN_AT_ONCE: Final = 50  # then new calls get a turn
_WATCH_S: Final = 5.0  # how often stalled writes are looked for
WRITE_TIMEOUT_S: Final = 900.0  # a message not taken for so long: the reader is given up

log = structlog.get_logger(__name__)


class Subscriber:
    """One stream of changes, as GetStatus and the hub see it.

    revision: how far it has read. blocked_since: loop time at which the message in hand was
    offered, None while none is.
    """

    def __init__(self, peer: str, connected_at: datetime, revision: int) -> None:
        self.peer = peer
        self.connected_at = connected_at
        self.revision = revision
        self.replaying = False
        self.given_up = False
        self.blocked_since: float | None = None
        self.task = asyncio.current_task()


class Hub:
    """Wakes what waits for the log; all but its listener runs on the server's loop."""

    def __init__(self, feed: ChangeFeed, loop: asyncio.AbstractEventLoop) -> None:
        self.feed = feed
        self.subscribers: set[Subscriber] = set()
        self.wake_ups = 0
        self._loop = loop
        self._waiting: set[asyncio.Future[None]] = set()
        self._sleeping: set[asyncio.Future[None]] = set()
        self._woken_head = -1
        self._told_head = -1  # of the publishing thread alone
        self._pending = False
        self._ended = False
        self._timer: asyncio.TimerHandle | None = None
        self._next_at = 0.0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Be the feed's listener meanwhile."""
        leave = self.feed.listen(self._published)
        try:
            yield
        finally:
            leave()
            if self._timer is not None:
                self._timer.cancel()

    @property
    def closed(self) -> bool:
        """Whether streams are to end: the feed gives nothing more, or the server stops."""
        return self._ended or self.feed.closed

    def end(self) -> None:
        """Have all streams end where they are."""
        self._ended = True
        self._fan_out()

    async def emptied(self, until: float) -> None:
        """Wait until no stream is left, or loop time `until`."""
        while self.subscribers and (left_s := until - self._loop.time()) > 0:
            tasks = [each.task for each in self.subscribers if each.task is not None]
            await asyncio.wait(tasks, timeout=left_s)

    def _published(self) -> None:
        """Called on the publishing thread: hand one wake-up over for each new head.

        What moves the durable revision alone wakes nobody: heartbeats and changes tell it.
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
        self._pending = False  # before the head is looked at: what comes later wakes again
        if self._timer is not None or not self._news():
            return
        now = self._loop.time()
        if now >= self._next_at:
            self._fan_out()
        else:
            self._timer = self._loop.call_at(self._next_at, self._fan_out)

    def _news(self) -> bool:
        return self.feed.head_revision != self._woken_head or self.closed

    def _fan_out(self) -> None:
        self._timer = None
        self._woken_head = self.feed.head_revision
        self._next_at = self._loop.time() + min(
            MAX_PACE_S, PACE_S_PER_STREAM * len(self.subscribers)
        )
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

    async def wait(self, revision: int, until: float, *, woken: bool = True) -> None:
        """Wait for the next wake-up past `revision`, or loop time `until`.

        woken: False waits for the time, or the feed's end, whatever is published meanwhile. The
        pace holds for a stream that reads on too: what was published since the last wake-up comes
        with the next one.
        """
        if (woken and revision < self._woken_head) or self.closed:
            return
        future = self._loop.create_future()
        timer = self._loop.call_at(until, _settle, future)
        (self._waiting if woken else self._sleeping).add(future)
        try:
            await future
        finally:
            timer.cancel()
            self._waiting.discard(future)
            self._sleeping.discard(future)

    async def reached(self, revision: int, timeout_s: float) -> bool:
        """Wait until the head is at `revision` or beyond it; False when it was not in time."""
        until = self._loop.time() + timeout_s
        while self.feed.head_revision < revision:
            if self._loop.time() >= until or self.closed:
                return False
            await self.wait(self.feed.head_revision, until)
        return True

    @contextmanager
    def subscribed(self, subscriber: Subscriber) -> Iterator[None]:
        """Count a stream while it lasts."""
        self.subscribers.add(subscriber)
        try:
            yield
        finally:
            self.subscribers.discard(subscriber)

    def report(self, now: datetime) -> list[SubscriberReport]:
        """How far each stream is behind; from any thread."""
        held = [(each.revision, each.replaying) for each in tuple(self.subscribers)]
        ages = {revision: self.lag_s(revision, now) for revision in {at for at, _ in held}}
        head = self.feed.head_revision
        return [
            SubscriberReport(max(0, head - revision), ages[revision], replaying)
            for revision, replaying in held
        ]

    def lag_s(self, revision: int, now: datetime) -> float:
        """Age of the first change after a revision, 0 at the head.

        For one older than all that memory holds: at least the age of the oldest change there.
        """
        behind = self.feed.read_after(revision, 1)
        if behind is None:
            behind = self.feed.read_after(self.feed.oldest_revision - 1, 1)
        if not behind:
            return 0.0
        return max(0.0, (now - behind[0].changes[0].detected_at).total_seconds())

    async def watch_stalled(self, timeout_s: float = WRITE_TIMEOUT_S) -> None:
        """End the streams whose reader took nothing for `timeout_s`; runs until cancelled."""
        while True:
            await asyncio.sleep(min(_WATCH_S, timeout_s))
            oldest = self._loop.time() - timeout_s
            for subscriber in self.subscribers:
                since = subscriber.blocked_since
                if since is not None and since < oldest and subscriber.task is not None:
                    subscriber.given_up = True
                    subscriber.task.cancel()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
