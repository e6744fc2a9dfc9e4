"""The clock of the service: one value gives order, age, pace and the time of day.

They are four readings, because no one of them can do for another. A wall clock is set and steps
back, so it orders nothing and measures nothing; a monotonic clock stands still while the machine
sleeps, so it tells no age; a boot clock is not the time of day.
"""

import time
from datetime import UTC, datetime
from itertools import count
from typing import Protocol


class Clock(Protocol):
    """What the service reads time from; injected, so that tests, import and replay bring theirs."""

    def sequence(self) -> int:
        """Return the next number of one counter: the order of attempts. It is never stored."""
        ...

    def boot_s(self) -> float:
        """Return seconds since the machine started, sleep included: for ages and staleness."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds that never step back and stop in sleep: for retries, holds and pace."""
        ...

    def wall(self) -> datetime:
        """Return the time of day, aware UTC: for starts of events, quota days and people."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def sequence(self) -> int:
        return next(self._numbers)

    def boot_s(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def monotonic_s(self) -> float:
        return time.monotonic()

    def wall(self) -> datetime:
        return datetime.now(UTC)
