"""Shared window boundaries for conflated streams.

Streams with the same selection and interval cut their windows at the same revisions, so that one
encoding serves them all. A stream elsewhere in the log first gets a window of its own that ends at
a shared boundary.
"""

import math
from typing import Final
from weakref import WeakValueDictionary

from odds_service.filters.selection import Selection

# A stream joins a boundary only within this fraction of the interval; later, it awaits the next.
_LATE: Final = 0.5


class WindowSeries:
    """The boundaries for one selection and interval.

    All times are seconds of one monotonic clock. The next boundary is made at the earliest one
    interval after the last prompt stream was handed the previous window. By then every prompt
    stream may receive a window again, so they stay together.
    """

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._boundary = -1  # the newest boundary, a revision
        self._made_at = 0.0
        self._due_at = -math.inf  # when the next boundary may be made
        self._handed_at = 0.0  # the last prompt hand-over of a window that ends at the boundary

    def held_until(self, position: int, now: float) -> float:
        """Return the time before which a stream must not be sent a window; may be in the past.

        Args:
            position: The revision up to which the stream has, or has folded, all changes.
            now: The present time.
        """
        return -math.inf if self._joins(position, now) else self._due_at

    def boundary_for(self, position: int, head: int, now: float) -> int:
        """Return the end of a stream's next window, making a new boundary if one is due.

        Call it only after the time returned by `held_until`, or for a stream's first window.

        Args:
            position: The revision up to which the stream has, or has folded, all changes.
            head: The newest revision.
            now: The present time.
        """
        if self._joins(position, now):
            return self._boundary
        # Only a stream's first window gets here before a boundary is due: it ends at the head.
        return self.close(head, now) if now >= self._due_at else head

    def close(self, head: int, now: float) -> int:
        """Make the head a boundary at once, due or not, and return it."""
        if self._boundary != head:
            self._make(head, now)
        return head

    def handed_over(self, upto: int, now: float) -> None:
        """Record that a stream was sent a window that ends at `upto`."""
        if upto == self._boundary and now <= self._late_at:
            self._handed_at = now
            self._due_at = max(self._due_at, now + self.interval_s)

    @property
    def _late_at(self) -> float:
        return self._made_at + _LATE * self.interval_s

    def _joins(self, position: int, now: float) -> bool:
        """Return whether a stream can still join the newest boundary."""
        return position < self._boundary and now <= self._late_at

    def _make(self, head: int, now: float) -> None:
        # Expect the next round of hand-overs to take as long as the last one, so that streams do
        # not wake up before the others have been served.
        round_s = self._handed_at - self._made_at
        self._boundary = head
        self._made_at = self._handed_at = now
        self._due_at = now + self.interval_s + round_s


class SharedWindows:
    """The series of every selection and interval in use."""

    def __init__(self) -> None:
        self._series: WeakValueDictionary[tuple[Selection, float], WindowSeries] = (
            WeakValueDictionary()
        )

    def series(self, selection: Selection, interval_s: float) -> WindowSeries:
        """Return the series of a selection and an interval, shared by all streams that use both."""
        key = selection, interval_s
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = WindowSeries(interval_s)
        return series

    def forget(self) -> None:
        """Drop all boundaries, as when another log has replaced this one."""
        self._series.clear()

    def __len__(self) -> int:
        return len(self._series)
