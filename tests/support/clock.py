"""Clocks for tests: one that moves only when told to, one that runs beside the machine's."""

from datetime import datetime, timedelta

from odds_service.clock import SystemClock


class ManualClock:
    """Four readings that move only when they are told to; the wall clock starts at a time."""

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
        """Let time pass."""
        self.sleep(seconds)
        self._monotonic_s += seconds

    def sleep(self, seconds: float) -> None:
        """Let the machine sleep."""
        self._boot_s += seconds
        self.jump(seconds)

    def jump(self, seconds: float) -> None:
        """Set the wall clock."""
        self._wall += timedelta(seconds=seconds)


class ShiftedClock(SystemClock):
    """The machine's clocks, with a wall clock that can be set and a sleep that can be slept."""

    def __init__(self, shift_s: float = 0.0) -> None:
        super().__init__()
        self.shift_s = shift_s
        self.slept_s = 0.0

    def boot_s(self) -> float:
        return super().boot_s() + self.slept_s

    def wall(self) -> datetime:
        return super().wall() + timedelta(seconds=self.shift_s + self.slept_s)
