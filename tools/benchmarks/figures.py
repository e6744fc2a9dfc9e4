"""The results of a part: figures with their spread, ratios by turn, aims and verdicts."""

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
    """An upper or lower bound for the median of a figure."""

    bound: float
    upper: bool

    def met(self, value: float) -> bool:
        return value <= self.bound if self.upper else value >= self.bound

    def __str__(self) -> str:
        return f"{'≤' if self.upper else '≥'} {short(self.bound)}"


def at_most(bound: float) -> Aim:
    """Return an upper bound."""
    return Aim(bound, upper=True)


def at_least(bound: float) -> Aim:
    """Return a lower bound."""
    return Aim(bound, upper=False)


class Figure(Struct):
    """One measured quantity, with a sample for each turn.

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
        """Judge the median; `met?` and `missed?` mean that the spread crosses the bound."""
        if self.aim is None:
            return ""
        met = self.aim.met(self.median)
        clear = self.aim.met(self.least) is met is self.aim.met(self.greatest)
        return ("met" if met else "missed") + ("" if clear else "?")

    def spread(self) -> str:
        """Return `median (least–greatest)`."""
        if len(self.samples) == 1:
            return short(self.median)
        return f"{short(self.median)} ({short(self.least)}–{short(self.greatest)})"


class Report(Struct):
    """The results of one run of a part. load: the machine's load average before and after."""

    part: str
    title: str
    facts: dict[str, float]
    figures: list[Figure]
    load: tuple[float, float]
    seconds: float

    def figure(self, name: str) -> Figure:
        """Return a figure by its name. Raises KeyError if it was not measured."""
        for figure in self.figures:
            if figure.name == name:
                return figure
        raise KeyError(name)


class Bounds(Struct, frozen=True):
    """Limits of a measurement: a number of turns and a time in seconds; the first one ends it."""

    repeats: int
    seconds: float

    def turns(self) -> Iterator[int]:
        """Yield the turns' numbers; at least LEAST_TURNS, even if the time is up earlier."""
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
        """Add a sample to a figure."""
        self.figures.setdefault(name, Figure(name, unit, [])).samples.append(value)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Time the block and add a sample in ms, unless the block raises."""
        began = time.perf_counter()
        yield
        self.add(name, (time.perf_counter() - began) * 1000, "ms")

    def ratio(self, name: str, top: str, bottom: str, aim: Aim | None = None) -> None:
        """Divide `top` by `bottom`, turn by turn. Raises ValueError for unequal turns."""
        pairs = zip(self.figures[top].samples, self.figures[bottom].samples, strict=True)
        self.figures[name] = Figure(name, RATIO, [one / other for one, other in pairs], aim)

    def aim(self, name: str, aim: Aim) -> None:
        """Set the aim of a figure."""
        self.figures[name].aim = aim

    def limits(self, name: str, limit: str) -> None:
        """Note the bottleneck that limits a figure."""
        self.figures[name].limit = limit

    def report(self, **facts: float) -> Report:
        """Return the report. facts: the sizes measured with, such as markets=90_000."""
        return Report(
            self.part,
            self.title,
            facts,
            list(self.figures.values()),
            (self.load, os.getloadavg()[0]),
            time.perf_counter() - self.began,
        )


def settle() -> None:
    """Collect garbage and freeze what survives, so that the next stage pays only for its own."""
    gc.collect()
    gc.freeze()


def short(value: float) -> str:
    """Format to three significant digits, without an exponent: 0.012, 1.23, 12.3, 39, 12,345."""
    if value == int(value):
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"
