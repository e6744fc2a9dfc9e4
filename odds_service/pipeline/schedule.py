"""When each pull of a source is due: earliest deadline first, no pull overlapping itself."""

import heapq
import random
from collections.abc import Hashable, Iterable
from typing import Final, Generic, Protocol, TypeVar

JITTER: Final = 0.05  # share of the interval by which pulls are spread, so that they do not align
MAX_BACKOFF_INTERVALS: Final = 8.0  # a pull that fails again and again is still tried this often


class Due(Protocol):
    """What can be scheduled: a name that stays the same, and a pace in seconds."""

    @property
    def key(self) -> Hashable: ...
    @property
    def interval_s(self) -> float: ...


D = TypeVar("D", bound=Due)


class Schedule(Generic[D]):
    """Due times of one source's pulls, on a monotonic clock in seconds; pure but for its jitter.

    A pull handed out by `take` comes back only after `finished`, so it never overlaps itself. New
    pulls are due at once, spread over their first interval only by the source's own limits.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()  # noqa: S311  # spreads load, guards nothing
        self._heap: list[tuple[float, int, D]] = []
        self._known: dict[Hashable, D] = {}
        self._out: set[Hashable] = set()
        self._order = 0

    def update(self, pulls: Iterable[D], now: float) -> None:
        """Take over the source's present pulls: new ones are due now, ones gone are dropped."""
        current = {pull.key: pull for pull in pulls}
        for key, pull in current.items():
            if key not in self._known and key not in self._out:
                self._push(now, pull)
        self._known = current

    def next_due(self) -> float | None:
        """When the next pull is due; None while none waits."""
        self._forget_dropped()
        return self._heap[0][0] if self._heap else None

    def take(self, now: float) -> D | None:
        """The most urgent pull that is due, if any; it is out until `finished`."""
        due = self.next_due()
        if due is None or due > now:
            return None
        _, _, pull = heapq.heappop(self._heap)
        self._out.add(pull.key)
        return self._known[pull.key]

    def finished(self, pull: D, started: float, failures: int, retry_after_s: float | None) -> None:
        """Put a pull back: one interval after its start, later after failures in a row.

        retry_after_s: what the source asked for, counted from the start too; the longer holds.
        """
        self._out.discard(pull.key)
        wait_s = pull.interval_s * min(2.0 ** max(failures - 1, 0), MAX_BACKOFF_INTERVALS)
        wait_s *= 1 + JITTER * (self._rng.random() - 0.5)
        self._push(started + max(wait_s, retry_after_s or 0.0), pull)

    def _push(self, due: float, pull: D) -> None:
        self._order += 1
        heapq.heappush(self._heap, (due, self._order, pull))

    def _forget_dropped(self) -> None:
        while self._heap and self._heap[0][2].key not in self._known:
            heapq.heappop(self._heap)
