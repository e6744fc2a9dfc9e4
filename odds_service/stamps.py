"""Time stamps of the log: they never decrease, whatever the wall clock does."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from odds_service.clock import later

HOLD_LEAD_S: Final = 86_400.0  # with a greater lead, the log would take days to meet the clock
LEADING_PACE: Final = 0.5  # relative to the clock's pace, while the log is ahead of it

_LEAST: Final = timedelta(microseconds=1)


class Stamp(NamedTuple):
    """The time of a detection; `wall_at` is the wall clock, None if equal to `detected_at`."""

    detected_at: datetime
    wall_at: datetime | None


class LogClock:
    """A maker of stamps for the log, from readings of the wall clock.

    If the log is ahead of the wall clock (which was set back, or was ahead before a restart),
    stamps advance at half the clock's pace until the two meet. If it is ahead by more than
    HOLD_LEAD_S, it holds: each stamp is one microsecond later than the previous one.
    """

    def __init__(self, last: datetime | None) -> None:
        self._last = last
        self._last_boot_s: float | None = None
        self._led = False  # at the last stamp

    def stamp(self, wall: datetime, boot_s: float) -> Stamp:
        """Return a stamp for a detection now; all later stamps are at or after it.

        Args:
            wall: The time of day, aware UTC.
            boot_s: The boot clock, in seconds.
        """
        stamp, held = self._next(wall, boot_s)
        if held and self._last is not None:
            stamp = self._last + _LEAST
        self._last, self._last_boot_s, self._led = stamp, boot_s, stamp > wall
        return Stamp(stamp, None if stamp == wall else wall)

    def time(self, wall: datetime, boot_s: float) -> datetime:
        """Return the log's time now, without stamping anything."""
        return self._next(wall, boot_s)[0]

    def lead_s(self, wall: datetime, boot_s: float) -> float:
        """Return the seconds by which the log is ahead of the wall clock, else 0."""
        return (self._next(wall, boot_s)[0] - wall).total_seconds()

    def holds(self, wall: datetime, boot_s: float) -> bool:
        """Return whether the log waits for the wall clock instead of running."""
        return self._next(wall, boot_s)[1]

    def _next(self, wall: datetime, boot_s: float) -> tuple[datetime, bool]:
        last = self._last
        if last is None or (last <= wall and not self._led):
            return wall, False
        lead_s = (last - wall).total_seconds()
        if lead_s > HOLD_LEAD_S:
            return last, True
        elapsed_s = 0.0 if self._last_boot_s is None else max(0.0, boot_s - self._last_boot_s)
        running_s = min(elapsed_s, HOLD_LEAD_S - lead_s)  # before that the log held
        return max(wall, later(last, running_s * LEADING_PACE)), False
