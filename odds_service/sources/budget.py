"""A source's budget: pulls at once, requests a second and credits a day. Pure arithmetic."""

from typing import Final

DAY_S: Final = 86_400.0
RENEWAL_S: Final = 3_600.0  # a used-up quota may have been renewed: ask this seldom


class Budget:
    """Counts pulls and requests, and says when the next one may start.

    All times are seconds on one monotonic clock. Nothing bursts: pulls start at least
    `1 / requests_per_s` apart, and so do requests; each pull also waits for its share of the
    day's credits. A budget that begins in mid-day has only the rest of the day's credits, so
    restarts do not overspend.

    Args:
        concurrency: pulls under way at once.
        requests_per_s: starts a second; None for no limit.
        quota_per_day: credits a UTC day; None for no limit of our own.
        day_offset_s: seconds of the UTC day that had passed at the clock's zero.
    """

    def __init__(
        self,
        *,
        concurrency: int,
        requests_per_s: float | None = None,
        quota_per_day: float | None = None,
        day_offset_s: float = 0.0,
    ) -> None:
        self.out = 0
        self.quota_left: float | None = None
        self._concurrency = concurrency
        self._gap_s = 0.0 if requests_per_s is None else 1 / requests_per_s
        self._per_day = quota_per_day
        self._offset_s = day_offset_s
        self._next_pull = float("-inf")
        self._next_request = float("-inf")
        self._held_until = float("-inf")
        self._day: int | None = None
        self._day_left = 0.0
        self._told_at = float("-inf")

    @property
    def full(self) -> bool:
        """Return whether as many pulls are under way as may be."""
        return self.out >= self._concurrency

    def opens_at(self, now: float, cost: float) -> float:
        """Return when a pull of so many credits may start; a time up to `now` means at once.

        The number of pulls under way is not considered: see `full`.
        """
        at = max(self._next_pull, self._held_until)
        if self.quota_left is not None and self.quota_left < cost:
            at = max(at, self._told_at + RENEWAL_S)
        if self._per_day is not None and self._left_today(now) < cost and cost <= self._per_day:
            at = max(at, self._midnight_after(now))
        return at

    def start(self, now: float, cost: float) -> None:
        """Start a pull; `end` must follow."""
        self.out += 1
        self._next_pull = now + self._gap_s
        if self._per_day is not None:
            left = self._left_today(now)
            if self.quota_left is not None:
                left = min(left, self.quota_left)
            self._day_left -= cost
            if left > 0:
                spread_s = (self._midnight_after(now) - now) * min(1.0, cost / left)
                self._next_pull = max(self._next_pull, now + spread_s)
        if self.quota_left is not None:
            if self.quota_left < cost:
                self._told_at = now
            self.quota_left -= cost

    def end(self) -> None:
        """End a pull, whatever came of it."""
        self.out -= 1

    def request(self, now: float) -> float:
        """Book a request, and return the time from `now` on at which it may start."""
        at = max(now, self._next_request)
        self._next_request = at + self._gap_s
        return at

    def cost(self, now: float, planned: float, real: float) -> None:
        """Correct the credits of a pull that was started with a planned cost."""
        more = real - planned
        if self._per_day is not None:
            self._day_left = self._left_today(now) - more
        if self.quota_left is not None:
            self.quota_left -= more

    def hold(self, until: float) -> None:
        """Start no pull until a time."""
        self._held_until = max(self._held_until, until)

    def moved(self, now: float, day_offset_s: float, slept_s: float) -> None:
        """Follow a move of the wall clock, or a sleep of the machine.

        A step back into the day before gives no new credits.

        Args:
            now: seconds on the monotonic clock.
            day_offset_s: seconds of the UTC day at that clock's zero, by the wall clock now.
            slept_s: seconds of sleep, in which the monotonic clock stood still; 0 for none.
        """
        day = int((now + day_offset_s) // DAY_S)
        if self._day is not None and day < self._day:
            self._day = day
        self._offset_s = day_offset_s
        self._next_pull -= slept_s
        self._next_request -= slept_s
        self._held_until -= slept_s
        self._told_at -= slept_s

    def told(self, now: float, left: float) -> None:
        """Take over the credits that the source says are left of its quota."""
        self.quota_left = left
        self._told_at = now

    def _left_today(self, now: float) -> float:
        day = int((now + self._offset_s) // DAY_S)
        if day != self._day:
            share = 1.0 if self._day is not None else (self._midnight_after(now) - now) / DAY_S
            self._day = day
            self._day_left = (self._per_day or 0.0) * share
        return self._day_left

    def _midnight_after(self, now: float) -> float:
        return ((now + self._offset_s) // DAY_S + 1) * DAY_S - self._offset_s
