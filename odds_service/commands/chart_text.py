"""Price charts as text: one letter per bookmaker, and blanks where an outcome is suspended."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from string import ascii_letters
from typing import Final

from odds_service.commands.price_series import PriceHistory, Steps

HEIGHT: Final = 12  # rows per outcome
LEAST_WIDTH: Final = 20
SEVERAL: Final = "*"  # a cell that more than one bookmaker occupies
_AXIS: Final = 9  # columns for the prices and the axis
_TIMES_EVERY: Final = 20  # columns between two time labels


def chart_lines(history: PriceHistory, width: int) -> Iterator[str]:
    """Yield the lines of the chart, at most `width` characters each, outcome by outcome."""
    columns = max(width - _AXIS - 1, LEAST_WIDTH)
    letters = dict(zip(history.bookmakers, _letters(), strict=False))
    yield f"{history.title} · times in UTC"
    for outcome, lines in history.steps.items():
        yield ""
        yield outcome
        yield from _panel(history, {letters[name]: steps for name, steps in lines.items()}, columns)
    yield ""
    yield from _legend(letters, width)


def _letters() -> Iterator[str]:
    yield from ascii_letters
    while True:
        yield "?"


def _panel(history: PriceHistory, lines: dict[str, Steps], columns: int) -> Iterator[str]:
    shown = [price for steps in lines.values() for _, price in steps if price is not None]
    if not shown:
        yield "  (no price)"
        return
    low, high = min(shown), max(shown)
    if high - low < 0.01 * HEIGHT:  # prices have two decimals, so a row spans at least 0.01
        middle = (high + low) / 2
        low, high = middle - 0.005 * HEIGHT, middle + 0.005 * HEIGHT
    grid = [[" "] * columns for _ in range(HEIGHT)]
    for letter, steps in lines.items():
        before: int | None = None
        for column in range(columns):
            price = _price_at(steps, _time_at(history, column, columns))
            row = None if price is None else round((high - price) / (high - low) * (HEIGHT - 1))
            if row is not None:
                _put(grid, row, column, letter)
                if before is not None:  # draw the vertical part of the step
                    for between in range(min(before, row) + 1, max(before, row)):
                        _put(grid, between, column, letter)
            before = row
    for row, cells in enumerate(grid):
        price = high - (high - low) * row / (HEIGHT - 1)
        yield f"{price:7.2f} ┤{''.join(cells)}".rstrip()
    yield from _time_axis(history, columns)


def _put(grid: list[list[str]], row: int, column: int, letter: str) -> None:
    grid[row][column] = letter if grid[row][column] in (" ", letter) else SEVERAL


def _time_at(history: PriceHistory, column: int, columns: int) -> datetime:
    span: timedelta = history.end - history.begin
    return history.begin + span * column / max(columns - 1, 1)


def _price_at(steps: Steps, at: datetime) -> float | None:
    """Return the price at a time, or None before the first price and in a gap."""
    price = None
    for since, each in steps:
        if since > at:
            break
        price = each
    return price


def _time_axis(history: PriceHistory, columns: int) -> Iterator[str]:
    days = history.begin.date() != history.end.date()
    form = "%d %b %H:%M" if days else "%H:%M:%S"
    ticks = [" "] * columns
    text = ""
    for column in range(0, columns, _TIMES_EVERY):
        label = _time_at(history, column, columns).strftime(form)
        if column + len(label) <= columns + 1:
            ticks[column] = "┬"
            text = text.ljust(column) + label
    yield " " * (_AXIS - 1) + "└" + "".join("─" if tick == " " else tick for tick in ticks)
    yield " " * _AXIS + text


def _legend(letters: dict[str, str], width: int) -> Iterator[str]:
    line = ""
    for name, letter in letters.items():
        entry = f"{letter} {name}"
        if line and len(line) + len(entry) + 3 > width:
            yield line
            line = ""
        line += f"{'   ' if line else ''}{entry}"
    yield line
    yield f"{SEVERAL} several   blank: suspended or not offered"
