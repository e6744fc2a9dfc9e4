"""What a part measures: figures with their spread, ratios taken turn by turn, aims and verdicts."""

import gc
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from msgspec import Struct, field

LEAST_TURNS: Final = 3  # a spread needs them, whatever the clock says
RATIO: Final = "×"


class Aim(Struct, frozen=True):
    """A bound that the median of a figure should keep: from above, or from below."""

    bound: float
    upper: bool

    def met(self, value: float) -> bool:
        return value <= self.bound if self.upper else value >= self.bound

    def __str__(self) -> str:
        return f"{'≤' if self.upper else '≥'} {short(self.bound)}"


def at_most(bound: float) -> Aim:
    """The figure should not be above it."""
    return Aim(bound, upper=True)


def at_least(bound: float) -> Aim:
    """The figure should not be below it."""
    return Aim(bound, upper=False)


class Figure(Struct):
    """One thing that was measured, a sample a turn.

    unit: `ms`, `changes/s`, `MB` …; RATIO for a ratio of two others. limit: what keeps it from
    being better, in words, as it was found by measuring.
    """

    name: str
    unit: str
    samples: list[float]
    aim: Aim | None = None
    limit: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def least(self) -> float:
        return min(self.samples)

    @property
    def greatest(self) -> float:
        return max(self.samples)

    @property
    def verdict(self) -> str:
        """By the median; `met?` and `missed?` where the spread reaches across the bound."""
        if self.aim is None:
            return ""
        met = self.aim.met(self.median)
        clear = self.aim.met(self.least) is met is self.aim.met(self.greatest)
        return ("met" if met else "missed") + ("" if clear else "?")

    def spread(self) -> str:
        """`median (least–greatest)`."""
        if len(self.samples) == 1:
            return short(self.median)
        return f"{short(self.median)} ({short(self.least)}–{short(self.greatest)})"


class Report(Struct):
    """All that one run of a part found. load: the machine's load average before and after."""

    part: str
    title: str
    facts: dict[str, float]
    figures: list[Figure]
    load: tuple[float, float]
    seconds: float

    def figure(self, name: str) -> Figure:
        """Raises KeyError when it was not measured."""
        for figure in self.figures:
            if figure.name == name:
                return figure
        raise KeyError(name)


class Bounds(Struct, frozen=True):
    """How long a part may measure: so many turns, or until the seconds are up."""

    repeats: int
    seconds: float

    def turns(self) -> Iterator[int]:
        """Count the turns; there are LEAST_TURNS, also when the time is up before."""
        until = time.perf_counter() + self.seconds
        for turn in range(max(self.repeats, LEAST_TURNS)):
            if turn >= LEAST_TURNS and time.perf_counter() > until:
                return
            yield turn


class Measured(Struct):
    """A report in the making."""

    part: str
    title: str
    figures: dict[str, Figure] = field(default_factory=dict)
    began: float = field(default_factory=time.perf_counter)
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    def add(self, name: str, value: float, unit: str) -> None:
        """One more sample of a figure."""
        self.figures.setdefault(name, Figure(name, unit, [])).samples.append(value)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """One more sample, in ms; none when the block raises."""
        began = time.perf_counter()
        yield
        self.add(name, (time.perf_counter() - began) * 1000, "ms")

    def ratio(self, name: str, top: str, bottom: str, aim: Aim | None = None) -> None:
        """`top` divided by `bottom`, turn by turn. Raises ValueError for unequal turns."""
        pairs = zip(self.figures[top].samples, self.figures[bottom].samples, strict=True)
        self.figures[name] = Figure(name, RATIO, [one / other for one, other in pairs], aim)

    def aim(self, name: str, aim: Aim) -> None:
        """What a figure should be."""
        self.figures[name].aim = aim

    def limits(self, name: str, limit: str) -> None:
        """What keeps a figure from being better."""
        self.figures[name].limit = limit

    def report(self, **facts: float) -> Report:
        """facts: sizes that the figures belong to, such as markets=90_000."""
        return Report(
            self.part,
            self.title,
            facts,
            list(self.figures.values()),
            (self.load, os.getloadavg()[0]),
            time.perf_counter() - self.began,
        )


def settle() -> None:
    """Collect, and set aside what lives: the next stage pays for its own garbage alone."""
    gc.collect()
    gc.freeze()


def short(value: float) -> str:
    """Three figures, without an exponent: 0.012, 1.23, 12.3, 39, 12,345."""
    if value == int(value):
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"
