"""Delivery strategies: every change as it comes, or folded into windows."""

import math
from collections.abc import Sequence
from typing import Final, Protocol

from odds_service.feed import ChangeFeed
from odds_service.filters.filtering import Selected
from odds_service.stream.actions import SendChanges, SendStored, SendWindow
from odds_service.stream.conflation import Window
from odds_service.stream.options import WatchOptions
from odds_service.stream.shared_windows import SharedWindows, WindowSeries

# The most subjects folded from the database before a window is sent: about 30 MB.
WINDOW_SUBJECTS: Final = 20_000


class Delivery(Protocol):
    """A subscription's strategy for delivering changes.

    In every method, the reader has all changes up to `revision`.
    """

    def position(self, revision: int) -> int:
        """Return the revision after which to read on: the reader's, or that of a window begun."""
        ...

    def send(self, revision: int, news: int, now: float) -> SendChanges | SendWindow | float | None:
        """Decide which changes to send next from memory.

        Args:
            revision: The reader has all changes up to here.
            news: The newest revision that streams were woken for.
            now: The present time, in seconds of a monotonic clock.

        Returns:
            The changes to send; or the time before which to send nothing; or None to wait for new
            changes.
        """
        ...

    def take_page(self, selected: Sequence[Selected], upto: int) -> None:
        """Take a page of stored changes that reaches up to revision `upto`."""
        ...

    def send_stored(
        self, revision: int, now: float, *, stopping: bool
    ) -> SendStored | SendWindow | float | None:
        """Decide which of the stored changes taken to send next.

        Args:
            revision: The reader has all changes up to here.
            now: The present time, in seconds of a monotonic clock.
            stopping: Whether the service is stopping, so that nothing is held back.

        Returns:
            The changes to send; or the time before which to send nothing; or None to read another
            page.
        """
        ...

    def sent(self, revision: int, now: float) -> None:
        """Record that the reader was handed all changes up to `revision`."""
        ...

    def stop(self) -> None:
        """Stop holding changes back: the service is stopping."""
        ...

    def forget(self) -> None:
        """Drop changes not sent yet: an image replaces them."""
        ...


class EveryChange:
    """Delivery of each change by itself, as soon as it is published."""

    def __init__(self) -> None:
        self._page: Sequence[Selected] = ()
        self._upto = -1

    def position(self, revision: int) -> int:
        return revision

    def send(self, revision: int, news: int, _now: float) -> SendChanges | None:
        return SendChanges(revision) if revision < news else None

    def take_page(self, selected: Sequence[Selected], upto: int) -> None:
        self._page, self._upto = selected, upto

    def send_stored(self, revision: int, _now: float, *, stopping: bool) -> SendStored | None:
        del stopping  # a page already read is always sent whole
        if revision >= self._upto:
            self._page = ()
            return None
        self._page = [each for each in self._page if each.change.revision > revision]
        return SendStored(self._page, revision, self._upto)

    def sent(self, revision: int, now: float) -> None:
        pass

    def stop(self) -> None:
        pass

    def forget(self) -> None:
        self._page, self._upto = (), -1


class Conflated:
    """Delivery of at most one window per interval, cut at a shared boundary if possible.

    The interval starts when the previous window is handed over, so a delayed write never brings
    the next window closer. The first window does not wait for a boundary.
    """

    def __init__(self, series: WindowSeries, feed: ChangeFeed) -> None:
        self._series = series
        self._feed = feed
        self._interval_s = series.interval_s
        self._free_at = -math.inf  # when the next window may be handed over
        self._stopping = False
        self._begun: Window | None = None  # a window of stored changes, not sent yet

    def position(self, revision: int) -> int:
        return revision if self._begun is None else self._begun.upto

    def send(self, revision: int, _news: int, now: float) -> SendWindow | float | None:
        head = self._feed.head_revision
        if self._stopping:
            if revision == head:
                return None
            return SendWindow(revision, self._series.close(head, now), self._begun)
        if now < self._free_at:
            return self._free_at
        if revision == head:
            return None
        position = self.position(revision)
        if self._free_at != -math.inf:
            held_until = self._series.held_until(position, now)
            if now < held_until:
                return held_until
        return SendWindow(revision, self._series.boundary_for(position, head, now), self._begun)

    def take_page(self, selected: Sequence[Selected], upto: int) -> None:
        if self._begun is None:
            self._begun = Window(upto)  # add() moves it on
        self._begun.add((each.change for each in selected), upto)

    def send_stored(
        self, revision: int, now: float, *, stopping: bool
    ) -> SendWindow | float | None:
        begun = self._begun
        if begun is None:
            return None
        if stopping or now >= self._free_at:
            return SendWindow(revision, begun.upto, begun)
        return self._free_at if len(begun) >= WINDOW_SUBJECTS else None

    def sent(self, revision: int, now: float) -> None:
        self._begun = None
        self._free_at = now + self._interval_s
        self._series.handed_over(revision, now)

    def stop(self) -> None:
        self._stopping = True

    def forget(self) -> None:
        self._begun = None


def delivery_of(options: WatchOptions, shared: SharedWindows, feed: ChangeFeed) -> Delivery:
    """Return the strategy that a stream's options ask for."""
    if not options.conflate_s:
        return EveryChange()
    return Conflated(shared.series(options.selection, options.conflate_s), feed)
