"""Progress of work that takes long: a bar on a terminal, a line every 10 s in a pipe."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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

T = TypeVar("T")

LINE_EVERY_S: Final = 10.0

Step = Callable[[int, int | None], None]  # done so far, and in all if that is known


@contextmanager
def progress(what: str, out: Output) -> Iterator[Step]:
    """Show progress on standard error until the end of the block.

    Args:
        what: The things that are counted, in the plural.
        out: The output.
    """
    if out.remarks_on_terminal:
        with _bar(out.remarks_console) as bar:
            task = bar.add_task(what, total=None, rate="")
            yield lambda done, total: _update(bar, task, done, total)
        return
    begun = said = time.monotonic()

    def step(done: int, total: int | None) -> None:
        nonlocal said
        now = time.monotonic()
        if now < said + LINE_EVERY_S:
            return
        said = now
        rate = done / (now - begun)
        of = "" if total is None else f" of {total:,}"
        left = "" if total is None or not rate else f", {max(total - done, 0) / rate:,.0f} s left"
        out.remark(f"{done:,}{of} {what}, {rate:,.0f} a second{left}")

    yield step


@contextmanager
def counting(what: str, out: Output) -> Iterator[Callable[[Iterable[T]], Iterator[T]]]:
    """Show how many items pass through; the block gets a function that counts an iterable.

    Args:
        what: The items, in the plural.
        out: The output.
    """
    with progress(what, out) as step:

        def count(items: Iterable[T]) -> Iterator[T]:
            for done, item in enumerate(items, 1):
                yield item
                if done % 256 == 0:
                    step(done, None)

        yield count


def _bar(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def _update(bar: Progress, task: TaskID, done: int, total: int | None) -> None:
    speed = bar.tasks[0].speed
    bar.update(task, completed=done, total=total, rate=f"{speed:,.0f}/s" if speed else "")
