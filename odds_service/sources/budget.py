"""A source's budget: concurrent pulls, requests per second, credits per day. Pure arithmetic."""

from typing import Final

DAY_S: Final = 86_400.0
RENEWAL_S: Final = 3_600.0  # pause of a source whose quota is used up; it may be renewed by then


class Budget:
    """A count of pulls and requests that determines the earliest start of the next one.

    All times are seconds on one monotonic clock. There are no bursts: pulls start at least `1 /
    requests_per_s` apart, and so do requests; each pull also waits for its share of the day's
    credits. A budget created during the day gets only the corresponding share of the credits, so
    restarts do not overspend.

    Args:
        concurrency: limit of pulls under way at once.
        requests_per_s: limit of starts per second; None for no limit.
        quota_per_day: credits per UTC day; None for no limit of our own.
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
        self.held_until = float("-inf")
        self._day: int | None = None
        self._day_left = 0.0
        self._told_at = float("-inf")

    def take_over(self, other: "Budget", now: float) -> None:
        """Go on with another budget of the same account: its credits, pauses and places.

        Under another daily quota the same share of it is left.
        """
        self.quota_left, self._told_at = other.quota_left, other._told_at
        self.held_until = other.held_until
        self._next_request = other._next_request
        if self._per_day == other._per_day:
            self._next_pull = other._next_pull
        if self._per_day is not None and other._per_day is not None:
            left = other._left_today(now)
            self._day = other._day
            self._day_left = left * self._per_day / other._per_day

    @property
    def full(self) -> bool:
        """Return whether the limit of concurrent pulls is reached."""
        return self.out >= self._concurrency

    def opens_at(self, now: float, cost: float) -> float:
        """Return when a pull of `cost` credits may start; a time up to `now` means at once.

        The number of pulls under way is not considered: see `full`.
        """
        at = max(self._next_pull, self.held_until)
        if self.quota_left is not None and self.quota_left < cost:
            at = max(at, self._told_at + RENEWAL_S)
        if self._per_day is not None and self._left_today(now) < cost and cost <= self._per_day:
            at = max(at, self._midnight_after(now))
        return at

    def start(self, now: float, cost: float) -> None:
        """Count a pull that starts now; `end` must follow."""
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
        """Count the end of a pull, successful or not."""
        self.out -= 1

    def request(self, now: float) -> float:
        """Reserve a request, and return the time, not before `now`, at which it may start."""
        at = max(now, self._next_request)
        self._next_request = at + self._gap_s
        return at

    def cost(self, now: float, planned: float, real: float) -> None:
        """Correct the credits of a pull after its answer.

        Args:
            now: seconds on the monotonic clock.
            planned: credits that the pull was started with.
            real: credits that it really cost.
        """
        more = real - planned
        if self._per_day is not None:
            self._day_left = self._left_today(now) - more
        if self.quota_left is not None:
            self.quota_left -= more

    def hold(self, until: float) -> None:
        """Block all pulls until a time."""
        self.held_until = max(self.held_until, until)

    def moved(self, now: float, day_offset_s: float, slept_s: float) -> None:
        """Adjust to a jump of the wall clock or a sleep of the machine.

        A step back into the previous day grants no new credits.

        Args:
            now: seconds on the monotonic clock.
            day_offset_s: seconds of the UTC day at that clock's zero, by the present wall clock.
            slept_s: seconds of sleep, during which the monotonic clock stood still; 0 for none.
        """
        day = int((now + day_offset_s) // DAY_S)
        if self._day is not None and day < self._day:
            self._day = day
        self._offset_s = day_offset_s
        self._next_pull -= slept_s
        self._next_request -= slept_s
        self.held_until -= slept_s
        self._told_at -= slept_s

    def told(self, now: float, left: float) -> None:
        """Record the credits left of the quota, as reported by the source."""
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
