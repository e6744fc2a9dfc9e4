"""The change feed: one shared, bounded log of immutable batches that every subscriber reads."""

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Final

from odds_service.model.change import Commit
from odds_service.model.cursor import Cursor

RING_CHANGES: Final = 200_000  # minutes of a busy day; about 300 bytes each beside the cache


class ChangeFeed:
    """A ring of batches from `oldest_revision` to the head, the newest revision.

    The ring keeps at most `capacity` changes, but always all that are not yet durable (the write
    queue limits these), so that a reader can move from the database to the ring without a gap. The
    feed does not track subscribers: each holds a cursor and reads at its own pace. All methods may
    be called from any thread, unless noted.
    """

    def __init__(
        self,
        epoch: str,
        revision: int,
        *,
        capacity: int = RING_CHANGES,
        detected_at: datetime | None = None,
    ) -> None:
        self.lock = threading.Lock()
        self.epoch = epoch
        self.capacity = capacity
        self._ring: deque[Commit] = deque()
        self._changes = 0
        self._trimmed_to = revision
        self._head = revision
        self._durable = revision
        self._detected_at = detected_at
        self._listeners: list[Callable[[], None]] = []
        self._closed = False

    @property
    def cursor(self) -> Cursor:
        """The head of the log."""
        return Cursor(self.epoch, self._head)

    @property
    def head_revision(self) -> int:
        return self._head

    @property
    def durable_revision(self) -> int:
        """The last revision up to which all changes are in the database or the dead letters."""
        return self._durable

    @property
    def oldest_revision(self) -> int:
        """The first revision that the ring still holds; head + 1 if it is empty."""
        return self._trimmed_to + 1

    @property
    def last_detected_at(self) -> datetime | None:
        """The time stamp of the head; stamps never decrease."""
        return self._detected_at

    @property
    def closed(self) -> bool:
        return self._closed

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after every append, advance and close; return a function to unlisten.

        The listener runs on the publishing thread, so it must do no more than schedule a wake-up.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def append_locked(self, batch: Commit, detected_at: datetime) -> None:
        """Append the next revisions. The caller holds `lock`, and calls `wake` afterwards."""
        if batch.first_revision != self._head + 1:
            raise AssertionError(f"revision {batch.first_revision} follows head {self._head}")
        self._ring.append(batch)
        self._changes += len(batch.changes)
        self._head = batch.last_revision
        self._detected_at = detected_at
        self._trim_locked()

    def advance_durable(self, revision: int) -> None:
        """Record that all changes up to `revision` are durable."""
        with self.lock:
            if not self._durable <= revision <= self._head:
                raise AssertionError(f"durable {self._durable} -> {revision}, head {self._head}")
            self._durable = revision
            self._trim_locked()
        self.wake()

    def read_after(self, revision: int, max_batches: int) -> list[Commit] | None:
        """Return the batches that follow `revision`, oldest first, at most `max_batches`.

        The first batch may begin at or before `revision`. The list is empty at the head. Returns
        None if the ring no longer reaches back to `revision`.
        """
        with self.lock:
            if revision < self._trimmed_to:
                return None
            if revision >= self._head:
                return []
            start = bisect_right(self._ring, revision, key=lambda batch: batch.last_revision)
            stop = min(start + max_batches, len(self._ring))
            return [self._ring[place] for place in range(start, stop)]

    def close(self) -> None:
        """End the log: subscribers end once they have read to the head."""
        self._closed = True
        self.wake()

    def wake(self) -> None:
        """Call every listener; a server has only one, however many subscribers it has."""
        for listener in tuple(self._listeners):
            listener()

    def _trim_locked(self) -> None:
        while (
            len(self._ring) > 1
            and self._changes > self.capacity
            and self._ring[0].last_revision <= self._durable
        ):
            batch = self._ring.popleft()
            self._changes -= len(batch.changes)
            self._trimmed_to = batch.last_revision
