"""What a source may still be asked: requests at once, a second and a day. Pure arithmetic."""

from typing import Final

DAY_S: Final = 86_400.0
RENEWAL_S: Final = 3_600.0  # a quota that was used up may have been renewed: ask this seldom


class Budget:
    """Counts what was started, and tells when the next request may be.

    All times are seconds on one monotonic clock; `day_offset_s` is what the UTC day had run at its
    zero. Nothing here bursts: requests are `1 / requests_per_s` apart at least, and each one keeps
    its share of the day's credits free of others. A start in mid-day has only the rest of the day's
    credits, so that restarts do not overspend.
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
        self._next_start = float("-inf")
        self._held_until = float("-inf")
        self._day: int | None = None
        self._day_left = 0.0
        self._told_at = float("-inf")

    @property
    def full(self) -> bool:
        """Return whether as many requests are under way as may be."""
        return self.out >= self._concurrency

    def opens_at(self, now: float, cost: float) -> float:
        """When a request of so many credits may start; not after `now` means at once.

        How many are under way is not its matter: see `full`.
        """
        at = max(self._next_start, self._held_until)
        if self.quota_left is not None and self.quota_left < cost:
            at = max(at, self._told_at + RENEWAL_S)
        if self._per_day is not None and self._left_today(now) < cost and cost <= self._per_day:
            at = max(at, self._midnight_after(now))
        return at

    def start(self, now: float, cost: float) -> None:
        """A request starts; follow it by `end`."""
        self.out += 1
        self._next_start = now + self._gap_s
        if self._per_day is not None:
            left = self._left_today(now)
            if self.quota_left is not None:
                left = min(left, self.quota_left)
            self._day_left -= cost
            if left > 0:
                spread_s = (self._midnight_after(now) - now) * min(1.0, cost / left)
                self._next_start = max(self._next_start, now + spread_s)
        if self.quota_left is not None:
            if self.quota_left < cost:
                self._told_at = now
            self.quota_left -= cost

    def end(self) -> None:
        """A request has ended, however."""
        self.out -= 1

    def cost(self, now: float, planned: float, real: float) -> None:
        """What a request really cost that was started with a planned cost."""
        more = real - planned
        if self._per_day is not None:
            self._day_left = self._left_today(now) - more
        if self.quota_left is not None:
            self.quota_left -= more

    def hold(self, until: float) -> None:
        """The source asks to be left alone, or has to be."""
        self._held_until = max(self._held_until, until)

    def moved(self, now: float, day_offset_s: float, slept_s: float) -> None:
        """Follow the wall clock, which tells the UTC day, and a sleep, which this clock missed.

        A step back into the day before gives no new credits.
        """
        day = int((now + day_offset_s) // DAY_S)
        if self._day is not None and day < self._day:
            self._day = day
        self._offset_s = day_offset_s
        self._next_start -= slept_s
        self._held_until -= slept_s
        self._told_at -= slept_s

    def told(self, now: float, left: float) -> None:
        """The source told how many credits are left of its quota."""
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
