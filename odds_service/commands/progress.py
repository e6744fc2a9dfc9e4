"""Progress of work that takes long: a bar on a terminal, a line every 10 s in a pipe."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from odds_service.commands.output import Output
from odds_service.store import Report

T = TypeVar("T")

LINE_EVERY_S: Final = 10.0

Step = Callable[[int, int | None], None]  # done so far, and in all if that is known


@contextmanager
def stages(out: Output, clock: Callable[[], float] = time.monotonic) -> Iterator[Report]:
    """Show the progress of stages, one after another, on standard error until the block ends.

    The function that the block gets may be called from any thread.

    Args:
        out: The output.
        clock: A clock in seconds.
    """
    if out.remarks_on_terminal:
        with _bar(out.remarks_console) as bar:
            yield _Bars(bar).report
    else:
        yield _Lines(out, clock).report


@contextmanager
def progress(what: str, out: Output) -> Iterator[Step]:
    """Show the progress of one stage, as stages() does.

    Args:
        what: The things that are counted, in the plural.
        out: The output.
    """
    with stages(out) as report:
        report(what, 0, None)
        yield partial(report, what)


@contextmanager
def counting(
    what: str, out: Output, place: Callable[[T], tuple[int, int | None]]
) -> Iterator[Callable[[Iterable[T]], Iterator[T]]]:
    """Show how far the items are that pass through the function that the block gets.

    Args:
        what: The things that are counted, in the plural.
        out: The output.
        place: Returns how far an item is, and how far the last one will be if that is known.
    """
    with progress(what, out) as step:

        def count(items: Iterable[T]) -> Iterator[T]:
            for number, item in enumerate(items):
                yield item
                if number % 256 == 0:
                    step(*place(item))

        yield count


class _Lines:
    """Progress as lines, for a pipe."""

    def __init__(self, out: Output, clock: Callable[[], float]) -> None:
        self._out = out
        self._clock = clock
        self._what = ""
        self._begun = self._said = clock()

    def report(self, what: str, done: int, total: int | None) -> None:
        now = self._clock()
        if what != self._what:
            self._what, self._begun = what, now
        if now < self._said + LINE_EVERY_S:
            return
        self._said = now
        of = "" if total is None else f" of {total:,}"
        told = f"{done:,}{of} {what}"
        if rate := done / (now - self._begun) if now > self._begun else 0.0:
            told += f", {rate:,.0f} a second"
            told += "" if total is None else f", {max(total - done, 0) / rate:,.0f} s left"
        self._out.remark(told)


class _Bars:
    """Progress as a bar, which is replaced by the next stage's."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._what = ""
        self._task = TaskID(0)

    def report(self, what: str, done: int, total: int | None) -> None:
        if what != self._what:
            if self._what:
                self._bar.remove_task(self._task)
            self._what = what
            self._task = self._bar.add_task(what, total=None, rate="")
        speed = next(task.speed for task in self._bar.tasks if task.id == self._task)
        rate = f"{speed:,.0f}/s" if speed else ""
        self._bar.update(self._task, completed=done, total=total, rate=rate)


def _bar(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
