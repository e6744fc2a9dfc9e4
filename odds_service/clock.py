"""The clock of the service, with four readings: order, age, pace and the time of day.

None of them can replace another. A wall clock can be set and step back, so it neither orders nor
measures. A monotonic clock stops while the machine sleeps, so it gives no ages. A boot clock does
not give the time of day.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final, Protocol

from msgspec import Struct

from odds_service.model.snapshot import Reading

JUMP_S: Final = 2.0  # slewing moves a clock less than this between two looks
FOLLOW_AFTER_S: Final = 60.0  # a jump that is undone sooner is ignored

_FIRST: Final = datetime(1, 1, 2, tzinfo=UTC)
_LAST: Final = datetime(9999, 12, 30, tzinfo=UTC)


class Clock(Protocol):
    """A source of time, passed in so that tests, import and replay can replace it."""

    def sequence(self) -> int:
        """Return the next number of a counter that orders attempts. It is never stored."""
        ...

    def boot_s(self) -> float:
        """Return seconds since the machine started, including sleep: for ages and staleness."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds that never step back, excluding sleep: for retries and pace."""
        ...

    def wall(self) -> datetime:
        """Return the time of day as aware UTC: for event starts, quota days and people."""
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


class DrivenClock:
    """A clock driven by one function, for tests, import and replay."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._number = 0

    def sequence(self) -> int:
        self._number = max(self._number + 1, round(self._now().timestamp()))
        return self._number

    def boot_s(self) -> float:
        return self._now().timestamp()

    def monotonic_s(self) -> float:
        return self._now().timestamp()

    def wall(self) -> datetime:
        return self._now()


class ClockState(Struct, frozen=True):
    """Jumps and sleeps since the start, for operators.

    Attributes:
        last_jump_s: The seconds of the wall clock's last jump, negative for a jump back.
        last_jump_at: The wall clock's time after that jump.
        waiting: Whether the wall clock jumped less than FOLLOW_AFTER_S ago.
    """

    jumps: int = 0
    last_jump_s: float = 0.0
    last_jump_at: datetime | None = None
    waiting: bool = False
    sleeps: int = 0
    slept_s: float = 0.0


class Looked(Struct, frozen=True):
    """The result of one look at the clocks, in seconds: a jump (negative: back), and sleep."""

    jump_s: float
    slept_s: float


class SteadyClock:
    """A clock that ignores short-lived jumps of the underlying wall clock.

    `wall` is the time of day at the last look, plus the seconds that the boot clock has run since.
    Call `look` about once a second. It follows the wall clock at once if that strays by at most
    JUMP_S, and otherwise FOLLOW_AFTER_S after the jump. So a clock that is wrong for some seconds
    neither starts an event nor dates odds. All methods but `look` may be called from any thread.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        boot_s = clock.boot_s()
        self._anchor = (clock.wall(), boot_s)
        self._asleep_s = boot_s - clock.monotonic_s()
        self._strayed_s = 0.0  # seconds that the wall clock was ahead of `wall` at the last look
        self._stands_since = boot_s
        self._distrust_before_s = float("-inf")
        self.awake_since_s = boot_s  # the start, or the end of the last sleep, by the boot clock
        self.moves = 0  # looks that found a jump or a sleep, or followed the wall clock
        self.state = ClockState()

    def sequence(self) -> int:
        return self._clock.sequence()

    def boot_s(self) -> float:
        return self._clock.boot_s()

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s()

    def wall(self) -> datetime:
        return self.wall_at(self._clock.boot_s())

    def wall_at(self, boot_s: float) -> datetime:
        """Return the time of day at a reading of the boot clock."""
        wall, anchor_s = self._anchor
        return later(wall, boot_s - anchor_s)

    def reading(self) -> Reading:
        """Read both clocks that judge the age of odds at the same time."""
        boot_s = self._clock.boot_s()
        wall, distrust_s = self.wall_at(boot_s), self._distrust_before_s
        strayed_s = (self._clock.wall() - wall).total_seconds()
        if strayed_s - self._strayed_s > JUMP_S:
            distrust_s = boot_s  # the next look will find it too
        return Reading(wall, boot_s, distrust_s)

    def look(self) -> Looked:
        """Compare the clocks with the last look, and follow the wall clock if due."""
        boot_s, wall = self._clock.boot_s(), self._clock.wall()
        asleep_s = boot_s - self._clock.monotonic_s()
        slept_s = asleep_s - self._asleep_s
        self._asleep_s = asleep_s
        strayed_s = (wall - self.wall_at(boot_s)).total_seconds()
        jump_s = strayed_s - self._strayed_s
        jumped, slept = abs(jump_s) > JUMP_S, slept_s > JUMP_S
        if slept:
            self.awake_since_s = boot_s
        if jumped:
            self._stands_since = boot_s
            if jump_s > 0:  # as after the pause of a virtual machine: ages are unknown
                self._distrust_before_s = boot_s
        self._strayed_s, followed = strayed_s, False
        if abs(strayed_s) <= JUMP_S or boot_s - self._stands_since >= FOLLOW_AFTER_S:
            followed = abs(strayed_s) > JUMP_S
            self._anchor = (wall, boot_s)
            self._strayed_s = 0.0
        self.moves += jumped or slept or followed
        state = self.state
        self.state = ClockState(
            jumps=state.jumps + jumped,
            last_jump_s=jump_s if jumped else state.last_jump_s,
            last_jump_at=wall if jumped else state.last_jump_at,
            waiting=self._strayed_s != 0.0,
            sleeps=state.sleeps + slept,
            slept_s=state.slept_s + (slept_s if slept else 0.0),
        )
        return Looked(jump_s if jumped else 0.0, slept_s if slept else 0.0)


def later(time: datetime, seconds: float) -> datetime:
    """Return a time some seconds later, clipped to the range of datetime."""
    try:
        return time + timedelta(seconds=seconds)
    except OverflowError:
        return _LAST if seconds > 0 else _FIRST
