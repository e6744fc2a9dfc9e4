"""The change feed: one shared, bounded log of immutable batches that every subscriber reads."""

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from odds_service.model.change import Commit, EventChange, MarketChange
from odds_service.model.cursor import Cursor
from odds_service.model.market import Markets
from odds_service.model.memo import release

RING_CHANGES: Final = 200_000  # minutes of a busy day; about 300 bytes each beside the cache
ENCODED_CHANGES: Final = 20_000  # their bytes are as large again; few readers are further behind

Epochs = Sequence[tuple[str, int]]  # each epoch with its first revision, oldest first


class ChangeFeed:
    """A ring of batches from `oldest_revision` to the head, the newest revision.

    The ring keeps at most `capacity` changes, but always all that are not yet durable (the write
    queue limits these), so that a reader can move from the database to the ring without a gap. With
    a bus it also keeps all that the bus has not acknowledged (the outbox limits these). The feed
    does not track subscribers: each holds a cursor and reads at its own pace. All methods may
    be called from any thread, unless noted.

    Changes keep their encoded bytes while they are among the newest. Older ones release them; a
    reader that is further behind makes them anew.

    Args:
        epoch: The present epoch.
        revision: The head.
        capacity: The number of changes that the ring keeps.
        encoded: The number of changes that keep their bytes, rounded up to a whole commit.
        detected_at: The time stamp of the head.
        epochs: All known epochs, the present one last; None if no other is known.
    """

    def __init__(
        self,
        epoch: str,
        revision: int,
        *,
        capacity: int = RING_CHANGES,
        encoded: int = ENCODED_CHANGES,
        detected_at: datetime | None = None,
        epochs: Epochs | None = None,
    ) -> None:
        self.lock = threading.Lock()
        self.capacity = capacity
        self._epochs = tuple(epochs or [(epoch, 0)])
        self._ring: deque[Commit] = deque()
        self._changes = 0
        self._encoded = encoded
        self._newest: deque[Commit] = deque()  # the end of the ring, with its bytes
        self._newest_changes = 0
        self._aged: deque[Commit] = deque()  # whose bytes wake() releases, outside the lock
        self._trimmed_to = revision
        self._head = revision
        self._durable = revision
        self._acked: int | None = None  # by the bus; None without one
        self._kept_after = revision  # the ring keeps all changes after this revision
        self._detected_at = detected_at
        self._listeners: list[Callable[[], None]] = []
        self._closed = False

    @property
    def epoch(self) -> str:
        """The present epoch."""
        return self._epochs[-1][0]

    @property
    def epochs(self) -> Epochs:
        """All known epochs with their first revisions, the present one last."""
        return self._epochs

    @property
    def cursor(self) -> Cursor:
        """The head of the log.

        A later epoch with a revision from before its first names the same place, so the head is
        read first.
        """
        head = self._head
        return Cursor(self.epoch, head)

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
        self._newest.append(batch)
        self._newest_changes += len(batch.changes)
        while self._newest_changes - len(self._newest[0].changes) >= self._encoded:
            aged = self._newest.popleft()
            self._newest_changes -= len(aged.changes)
            self._aged.append(aged)
        self._head = batch.last_revision
        self._detected_at = detected_at
        self._trim_locked()

    def open_epoch_locked(self, epochs: Epochs) -> None:
        """Replace the known epochs, of which the last one begins behind the head.

        The caller holds `lock`, and calls `wake` afterwards.
        """
        if epochs[-1][1] > self._head + 1:
            raise AssertionError(f"an epoch begins at {epochs[-1][1]}, head {self._head}")
        self._epochs = tuple(epochs)

    def adopt_locked(self, other: "ChangeFeed") -> None:
        """Take over the whole state of another feed, which nobody else uses.

        The caller holds `lock`, and calls `wake` afterwards.
        """
        self._epochs = other._epochs
        self._ring, self._changes = other._ring, other._changes
        self._newest, self._newest_changes = other._newest, other._newest_changes
        self._aged.extend(other._aged)
        self._trimmed_to, self._head = other._trimmed_to, other._head
        self._durable, self._detected_at = other._durable, other._detected_at
        self._keep_locked()

    def advance_durable(self, revision: int) -> None:
        """Record that all changes up to `revision` are durable."""
        with self.lock:
            if not self._durable <= revision <= self._head:
                raise AssertionError(f"durable {self._durable} -> {revision}, head {self._head}")
            self._durable = revision
            self._keep_locked()
        self.wake()

    def note_acked(self, revision: int) -> None:
        """Record that the bus holds all changes up to `revision`, which may step back.

        From the first call on the ring keeps what the bus does not hold.
        """
        with self.lock:
            self._acked = revision
            self._keep_locked()

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
        while self._aged:
            try:
                _release(self._aged.popleft())
            except IndexError:  # another thread took the last one
                break
        for listener in tuple(self._listeners):
            listener()

    def _keep_locked(self) -> None:
        acked = self._acked
        self._kept_after = self._durable if acked is None else min(self._durable, acked)
        self._trim_locked()

    def _trim_locked(self) -> None:
        while (
            len(self._ring) > 1
            and self._changes > self.capacity
            and self._ring[0].last_revision <= self._kept_after
        ):
            batch = self._ring.popleft()
            self._changes -= len(batch.changes)
            self._trimmed_to = batch.last_revision
            if batch is self._newest[0]:  # a ring that is smaller than what keeps its bytes
                self._newest.popleft()
                self._newest_changes -= len(batch.changes)


def _release(batch: Commit) -> None:
    """Release the bytes of changes, and of odds that only they still hold."""
    for change in batch.changes:
        release(change)
        if isinstance(change, MarketChange):
            if change.before is not None:
                release(change.before)
        elif isinstance(change, EventChange):
            for odds in change.ended:
                if isinstance(odds.markets, Markets):
                    odds.markets.release()
