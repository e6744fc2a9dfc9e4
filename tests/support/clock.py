"""Clocks for tests: a manual one, and one that runs at an offset to the machine's."""

from datetime import datetime, timedelta

from odds_service.clock import SystemClock


class ManualClock:
    """A clock whose four readings move only by its methods; the wall clock starts at `wall`."""

    def __init__(self, wall: datetime) -> None:
        self._wall = wall
        self._boot_s = 1_000.0
        self._monotonic_s = 500.0
        self._number = 0

    def sequence(self) -> int:
        self._number += 1
        return self._number

    def boot_s(self) -> float:
        return self._boot_s

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def wall(self) -> datetime:
        return self._wall

    def run(self, seconds: float) -> None:
        """Move all readings, as time does."""
        self.sleep(seconds)
        self._monotonic_s += seconds

    def sleep(self, seconds: float) -> None:
        """Move the readings that go on while the machine sleeps."""
        self._boot_s += seconds
        self.jump(seconds)

    def jump(self, seconds: float) -> None:
        """Move the wall clock alone."""
        self._wall += timedelta(seconds=seconds)


class ShiftedClock(SystemClock):
    """The machine's clocks, with jumps of the wall clock and sleeps of the machine on demand."""

    def __init__(self, shift_s: float = 0.0) -> None:
        super().__init__()
        self.shift_s = shift_s
        self.slept_s = 0.0

    def boot_s(self) -> float:
        return super().boot_s() + self.slept_s

    def wall(self) -> datetime:
        return super().wall() + timedelta(seconds=self.shift_s + self.slept_s)
