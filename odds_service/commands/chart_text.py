"""Price charts as text: one letter per bookmaker, and blanks where an outcome is suspended."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import cycle, groupby
from string import ascii_letters
from typing import Final

from odds_service.commands.output import Cell
from odds_service.commands.price_series import PriceHistory, Steps
from odds_service.commands.times import Times
from odds_service.commands.visible import visible

HEIGHT: Final = 12  # rows per outcome
LEAST_WIDTH: Final = 20
SEVERAL: Final = "*"  # a cell that more than one bookmaker occupies
COLOURS: Final = ("cyan", "magenta", "yellow", "green", "blue", "red")
_AXIS: Final = 9  # columns for the prices and the axis
_TIMES_EVERY: Final = 20  # columns between two time labels


def chart_lines(history: PriceHistory, width: int, times: Times) -> Iterator[list[Cell]]:
    """Yield the lines of the chart, at most `width` characters each, outcome by outcome.

    A line is a list of parts, each with its style: a bookmaker has one colour everywhere.
    """
    columns = max(width - _AXIS - 1, LEAST_WIDTH)
    letters = dict(zip(history.bookmakers, _letters(), strict=False))
    yield [(f"{history.title} · times in {times.zone}", "bold")]
    for outcome, lines in history.steps.items():
        yield [""]
        yield [(outcome, "bold")]
        drawn = {letters[name]: steps for name, steps in lines.items()}
        for line in _panel(history, drawn, columns):
            yield _coloured(line, letters.values())
        for line in _time_axis(history, columns, times):
            yield [(line, "dim")]
    yield [""]
    yield from _legend(letters, width)


def _coloured(line: str, letters: Iterable[str]) -> list[Cell]:
    """Return a line of the grid with each bookmaker's letters in its colour."""
    styles = dict(zip(letters, cycle(COLOURS), strict=False))
    axis, grid = line[: _AXIS - 1], line[_AXIS - 1 :]
    parts: list[Cell] = [(axis, "dim")]
    for letter, run in groupby(grid):
        parts.append(("".join(run), styles.get(letter, "")))
    return parts


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


def _time_axis(history: PriceHistory, columns: int, times: Times) -> Iterator[str]:
    days = times.of(history.begin).date() != times.of(history.end).date()
    form = "%d %b %H:%M" if days else "%H:%M:%S"
    ticks = [" "] * columns
    text = ""
    for column in range(0, columns, _TIMES_EVERY):
        label = times.of(_time_at(history, column, columns)).strftime(form)
        if column + len(label) <= columns + 1:
            ticks[column] = "┬"
            text = text.ljust(column) + label
    yield " " * (_AXIS - 1) + "└" + "".join("─" if tick == " " else tick for tick in ticks)
    yield " " * _AXIS + text


def _legend(letters: dict[str, str], width: int) -> Iterator[list[Cell]]:
    line: list[Cell] = []
    taken = 0
    for (name, letter), colour in zip(letters.items(), cycle(COLOURS), strict=False):
        entry = f"{letter} {visible(name)}"
        if line and taken + len(entry) + 3 > width:
            yield line
            line, taken = [], 0
        if line:
            line.append("   ")
            taken += 3
        line.append((entry, colour))
        taken += len(entry)
    yield line
    yield [(f"{SEVERAL} several   blank: suspended or not offered", "dim")]
