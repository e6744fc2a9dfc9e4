"""Two ways to deliver changes: every one as it comes, or folded into windows."""

import math
from collections.abc import Sequence
from typing import Final, Protocol

from odds_service.feed import ChangeFeed
from odds_service.filters.filtering import Selected
from odds_service.stream.actions import SendChanges, SendStored, SendWindow
from odds_service.stream.conflation import Window
from odds_service.stream.options import WatchOptions
from odds_service.stream.shared_windows import SharedWindows, WindowSeries

WINDOW_SUBJECTS: Final = 20_000  # folded from the database before it is sent: about 30 MB


class Delivery(Protocol):
    """A strategy of a subscription. `revision` is the place up to which its reader has all."""

    def position(self, revision: int) -> int:
        """Return the place up to which changes need not be read again."""
        ...

    def send(self, revision: int, news: int, now: float) -> SendChanges | SendWindow | float | None:
        """Return the next changes to send out of memory.

        A number is the time until which to hold what there is; None asks to wait for news.

        Args:
            revision: The place up to which the reader has all changes.
            news: The newest revision that streams were woken for.
            now: The present time.
        """
        ...

    def take_page(self, selected: Sequence[Selected], upto: int) -> None:
        """Take a page of stored changes that reaches up to a revision."""
        ...

    def send_stored(
        self, revision: int, now: float, *, stopping: bool
    ) -> SendStored | SendWindow | float | None:
        """Return what to send of the stored changes taken.

        A number is the time until which to hold what there is; None asks for another page.
        """
        ...

    def sent(self, revision: int, now: float) -> None:
        """Note that the reader was handed all changes up to a revision."""
        ...

    def stop(self) -> None:
        """Hold nothing back any more: the service stops."""
        ...

    def forget(self) -> None:
        """Drop changes that are not sent yet: an image replaces them."""
        ...


class EveryChange:
    """Deliver each change by itself, as soon as there is one."""

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
        del stopping  # a page in hand is sent whole
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
    """Deliver at most one window per interval, at the boundaries of a series where it can.

    The interval counts from the hand-over of the window before: a write that was held up brings the
    next window no nearer. The first window does not wait for a boundary.
    """

    def __init__(self, series: WindowSeries, feed: ChangeFeed) -> None:
        self._series = series
        self._feed = feed
        self._interval_s = series.interval_s
        self._free_at = -math.inf  # when the next window may be handed over
        self._stopping = False
        self._begun: Window | None = None  # of stored changes, not sent yet

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
