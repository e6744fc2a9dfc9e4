"""The one way of text to the terminal, to pipes and to files.

Names of teams, bookmakers and markets come from outside, and a terminal obeys what it is told. All
text passes `visible`; nothing is read as markup; a table becomes tab-separated lines in a pipe.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from msgspec import Struct
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from odds_service.client import json_line
from odds_service.commands.visible import escaped, visible

LEAST_ID: Final = 6  # characters of an id that are shown at least
LONG_WORD: Final = 20  # characters; longer words are broken where a table is too wide
LEAST_WORD: Final = 6  # characters; numbers are broken only where this leaves no room
# Lengths of words that are tried in turn: in the columns that fold, and in all others, which stay
# whole at first.
_LIMITS: Final[Sequence[tuple[int, int | None]]] = (
    *((most, None) for most in range(LONG_WORD, 11, -1)),
    *((most, LONG_WORD) for most in range(LONG_WORD, 9, -1)),
    *((most, most) for most in range(9, 0, -1)),
)

Cell: TypeAlias = str | tuple[str, str]  # text, or text and a style


class Column(Struct, frozen=True, kw_only=True):
    """A column of a table.

    Attributes:
        name: The heading.
        right: Align right, as numbers are.
        folds: Break long cells between words where the table is too wide, before other columns.
        is_id: Shorten the cells to a prefix that stays unique where the table is too wide; ids go
            before anything else.
    """

    name: str
    right: bool = False
    folds: bool = False
    is_id: bool = False


class Grid:
    """A table of cells: aligned on a terminal, tab-separated lines in a pipe."""

    def __init__(self, *columns: Column) -> None:
        self.columns = columns
        self.rows: list[list[Cell]] = []

    def add(self, *cells: Cell) -> None:
        """Add a row, with a cell for each column."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(list(cells))

    def lines(self, *, header: bool) -> list[str]:
        """Return the table for a pipe: whole cells, tabs between them, no padding."""
        heading = ["\t".join(column.name for column in self.columns)] if header else []
        return heading + ["\t".join(visible(_text(cell)) for cell in row) for row in self.rows]

    def table(self, width: int, *, header: bool) -> Table:
        """Return the table for a terminal that is `width` characters wide."""
        shown = [
            [Text(visible(_text(cell)), style=_style(cell)) for cell in row] for row in self.rows
        ]
        self._shorten(shown, width)
        widths = self._widths(shown, width, header=header)
        table = Table(box=SIMPLE_HEAD if header else None, pad_edge=False, show_header=header)
        for column, fitting in zip(self.columns, widths, strict=True):
            table.add_column(
                column.name,
                justify="right" if column.right else "left",
                overflow="fold",
                width=fitting,
            )
        for row in shown:
            table.add_row(*row)
        return table

    def _widths(self, shown: list[list[Text]], width: int, *, header: bool) -> list[int]:
        """Return the width of each column.

        Where the table is too wide, the columns that fold do so between words; then all columns
        do, with their headings; and long words are broken last.
        """
        cells = [
            [row[place] for row in shown] + [Text(column.name if header else "")]
            for place, column in enumerate(self.columns)
        ]
        whole = [max(cell.cell_len for cell in column) for column in cells]
        words = [
            max((cell_len(word) for cell in column for word in cell.plain.split()), default=0)
            for column in cells
        ]
        folds = [column.folds for column in self.columns]
        numbers = [column.right for column in self.columns]
        room = width - (3 * len(cells) - 1 if header else 2 * len(cells) - 2)
        least = whole
        for folding, other in _LIMITS:
            least = [
                one if other is None and not fold
                else word if number and folding > LEAST_WORD
                else min(word, folding if fold or other is None else other)
                for one, word, fold, number in zip(whole, words, folds, numbers, strict=True)
            ]  # fmt: skip
            if sum(least) <= room:
                break
        for _ in range(min(room, sum(whole)) - sum(least)):
            lacking = [full - now for full, now in zip(whole, least, strict=True)]
            least[lacking.index(max(lacking))] += 1
        return least

    def _shorten(self, shown: list[list[Text]], width: int) -> None:
        """Shorten ids to unique prefixes, as far as the width asks for it."""
        widths = [
            max([len(column.name)] + [row[place].cell_len for row in shown])
            for place, column in enumerate(self.columns)
        ]
        excess = sum(widths) + 3 * (len(widths) - 1) - width
        for place, column in enumerate(self.columns):
            if excess > 0 and column.is_id:
                least = max(unique_length([row[place].plain for row in shown]), len(column.name))
                kept = max(widths[place] - excess, least)
                excess -= widths[place] - kept
                for row in shown:
                    row[place] = row[place][:kept]


def unique_length(ids: Sequence[str]) -> int:
    """Return the length of prefix that tells the ids apart, and LEAST_ID at least."""
    distinct = set(ids)
    longest = max(map(len, distinct), default=0)
    for length in range(LEAST_ID, longest):
        if len({each[:length] for each in distinct}) == len(distinct):
            return length
    return max(LEAST_ID, longest)


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell[0]


def _style(cell: Cell) -> str:
    return "" if isinstance(cell, str) else cell[1]


class Output:
    """Lines, tables and JSON on standard output, and remarks on standard error.

    Args:
        header: Show the headings of tables.
    """

    def __init__(self, *, header: bool = True) -> None:
        self._console = Console(soft_wrap=True, markup=False, highlight=False, emoji=False)
        self._remarks = Console(
            stderr=True, soft_wrap=True, markup=False, highlight=False, emoji=False
        )
        self._header = header

    @property
    def on_terminal(self) -> bool:
        """Return whether a person reads the output at a terminal."""
        return self._console.is_terminal

    @property
    def width(self) -> int:
        """Return the width of the terminal in characters."""
        return self._console.width

    @property
    def console(self) -> Console:
        """Return the console, for live displays; their cells must be `visible`."""
        return self._console

    @property
    def remarks_console(self) -> Console:
        """Return the console of remarks, for progress."""
        return self._remarks

    @property
    def remarks_on_terminal(self) -> bool:
        """Return whether a person reads the remarks at a terminal."""
        return self._remarks.is_terminal

    def line(self, text: str, style: str = "") -> None:
        """Print one line; a line break inside it is shown as a sign."""
        self.parts((text, style))

    def parts(self, *parts: Cell) -> None:
        """Print one line of parts, each with a style of its own."""
        if self.on_terminal:
            self._console.print(styled(*parts))
        else:
            self._write(styled(*parts).plain)

    def sentence(self, text: str, style: str = "") -> None:
        """Print a longer line, which a terminal breaks between words only."""
        if self.on_terminal:
            self._console.print(Text(visible(text), style=style), soft_wrap=False)
        else:
            self._write(visible(text))

    def remark(self, text: str, style: str = "") -> None:
        """Print one line to standard error; a terminal breaks it between words only."""
        self._remarks.print(
            Text(visible(text), style=style), soft_wrap=not self.remarks_on_terminal
        )

    def heading(self, text: str) -> None:
        """Print the line above a table, unless headings are left out."""
        if self._header:
            self.sentence(text, style="bold")

    def grid(self, grid: Grid, *, continued: bool = False) -> None:
        """Print a table; without a heading, if it continues the last one."""
        header = self._header and not continued
        if self.on_terminal:
            self._console.print(grid.table(self.width, header=header), soft_wrap=False)
        else:
            for line in grid.lines(header=header):
                self._write(line)

    def _write(self, line: str) -> None:
        """Write a line to a pipe as it is: rich would replace its tabs."""
        with _until_the_reader_leaves():
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    def json(self, message: Any) -> None:
        """Print a message of the contract as one line of JSON, in UTF-8 always."""
        self.raw_json(json_line(message))

    def raw_json(self, text: str) -> None:
        """Print JSON that has no line breaks, in UTF-8 always."""
        write_utf8(escaped(text) + "\n")


def styled(*parts: Cell) -> Text:
    """Return one line of parts, each with a style of its own."""
    return Text.assemble(*((visible(_text(part)), _style(part)) for part in parts))


def write_utf8(text: str) -> None:
    """Write text to standard output as UTF-8."""
    with _until_the_reader_leaves():
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
        sys.stdout.flush()


@contextmanager
def _until_the_reader_leaves() -> Iterator[None]:
    """Raise SystemExit with code 1 when the pipe's reader has gone, as rich does.

    It leaves nurseries in a group, which cli.main() takes apart.
    """
    try:
        yield
    except BrokenPipeError:
        # The interpreter flushes what is left at its end, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
