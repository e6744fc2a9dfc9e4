"""Common boundaries for the windows of equal conflated streams.

Streams with the same selection and interval cut their windows at the same revisions, so that one
encoding serves all of them. A stream that is elsewhere in the log gets one window of its own, which
ends at a common boundary.
"""

import math
from typing import Final
from weakref import WeakValueDictionary

from odds_service.filters.selection import Selection

# A stream whose turn comes later than this part of the interval after a boundary awaits the next.
_LATE: Final = 0.5


class WindowSeries:
    """The boundaries of one selection and interval; times are those of one monotonic clock.

    A boundary is made no sooner than one interval after the last prompt stream was handed the
    window before: by then each prompt stream may be sent the next one, so they stay together.
    """

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._boundary = -1  # the newest boundary, a revision
        self._made_at = 0.0
        self._due_at = -math.inf  # when the next boundary may be made
        self._handed_at = 0.0  # the last prompt hand-over of the window that ends there

    def held_until(self, position: int, now: float) -> float:
        """Return the time at which a stream may be sent a window; one that has passed: now.

        Args:
            position: The revision up to which the stream has, or has folded, all changes.
            now: The present time.
        """
        return -math.inf if self._joins(position, now) else self._due_at

    def boundary_for(self, position: int, head: int, now: float) -> int:
        """Return the end of the next window of a stream that is not held; it may make a boundary.

        Args:
            position: The revision up to which the stream has, or has folded, all changes.
            head: The newest revision.
            now: The present time.
        """
        if self._joins(position, now):
            return self._boundary
        # Before the next one is due, only a stream's first window comes here: it ends at the head.
        return self.close(head, now) if now >= self._due_at else head

    def close(self, head: int, now: float) -> int:
        """Make the head the last boundary, due at once, and return it."""
        if self._boundary != head:
            self._make(head, now)
        return head

    def handed_over(self, upto: int, now: float) -> None:
        """Note that a stream was sent a window that ends at `upto`."""
        if upto == self._boundary and now <= self._late_at:
            self._handed_at = now
            self._due_at = max(self._due_at, now + self.interval_s)

    @property
    def _late_at(self) -> float:
        return self._made_at + _LATE * self.interval_s

    def _joins(self, position: int, now: float) -> bool:
        """Return whether a window that ends at the newest boundary suits a stream."""
        return position < self._boundary and now <= self._late_at

    def _make(self, head: int, now: float) -> None:
        # The next round takes about as long as the last one. Streams that wait for its end at once
        # need not wake up to find that others have only just been served.
        round_s = self._handed_at - self._made_at
        self._boundary = head
        self._made_at = self._handed_at = now
        self._due_at = now + self.interval_s + round_s


class SharedWindows:
    """The series of all selections and intervals that streams ask for at present."""

    def __init__(self) -> None:
        self._series: WeakValueDictionary[tuple[Selection, float], WindowSeries] = (
            WeakValueDictionary()
        )

    def series(self, selection: Selection, interval_s: float) -> WindowSeries:
        """Return the series of a selection and an interval; equal ones share it."""
        key = selection, interval_s
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = WindowSeries(interval_s)
        return series

    def __len__(self) -> int:
        return len(self._series)
