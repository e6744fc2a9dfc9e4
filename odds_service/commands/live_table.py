"""A live table of the latest changes, newest first, for a terminal of any size."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table

from odds_service.client import enum_word
from odds_service.commands.change_lines import STYLES, ChangeLines, direction
from odds_service.commands.output import Cell, styled
from odds_service.commands.prices import Prices, prices_in
from odds_service.commands.text import key_text
from odds_service.commands.times import Times
from odds_service.commands.visible import visible
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

ROWS: Final = 100  # changes kept, enough for any terminal
AROUND: Final = 7  # lines of the table besides its rows and hints
WHOLE_FROM: Final = 100  # the width from which the time and the odds before are shown
REFRESH_PER_S: Final = 4
NAMED_FROM: Final = 150  # the width from which outcomes are named
# The shares of the remaining width for columns that may be truncated.
SHARES: Final = {"event": 5, "bookmaker": 4, "market": 5}
ODDS: Final = ("before", "after")
NAMED_ODDS: Final = 34  # characters for three prices with their names
BARE_ODDS: Final = 17


class LiveTable:
    """The latest changes of a stream.

    Args:
        times: The form of times.
        lines: The form of changes.
        title: The line above the table.
        summary: Returns the line below it.
        hints: Returns further lines below that, such as commands to type.
    """

    def __init__(
        self,
        times: Times,
        lines: ChangeLines,
        title: str,
        summary: Callable[[], str],
        hints: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._times = times
        self._lines = lines
        self._title = title
        self._summary = summary
        self._hints = hints
        self._rows: deque[tuple[pb.Change, str]] = deque(maxlen=ROWS)
        self.changes = 0

    def take(self, message: pb.WatchChangesResponse) -> None:
        """Add the changes of a message."""
        for change in message.changes.changes:
            self.changes += 1
            name = self._lines.name_of(change.event_id) if change.event_id else change.source
            self._rows.appendleft((change, name))

    def render(self, width: int, height: int) -> Table:
        """Return the table of the changes that fit."""
        rows, hints = tuple(self._rows), self._hints()
        left = height - len(hints)
        table = changes_table(rows, self._times, self._lines.prices, width, left)
        table.title = visible(self._title)
        table.caption = "\n".join(visible(line) for line in (self._summary(), *hints))
        return table

    @contextmanager
    def shown(self, console: Console) -> Iterator[Callable[[], None]]:
        """Show the table until the end of the block, which gets a function that redraws it."""
        first = self.render(*console.size)
        with Live(first, console=console, refresh_per_second=REFRESH_PER_S) as live:
            yield lambda: live.update(self.render(*console.size))


def changes_table(
    changes: Sequence[tuple[pb.Change, str]], times: Times, prices: Prices, width: int, height: int
) -> Table:
    """Return a table of the changes that fit, one per line, with kind and prices in full.

    Args:
        changes: Changes with the names of their events, the newest first.
        times: The form of times.
        prices: The form of prices.
        width: Of the terminal, in characters.
        height: Of the terminal, in lines.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False, expand=True)
    most = NAMED_ODDS if width >= NAMED_FROM else BARE_ODDS
    for name in _cells(pb.Change(), "", times, prices, width):
        table.add_column(
            name,
            no_wrap=True,
            overflow="ellipsis",
            ratio=SHARES.get(name),
            max_width=most if name in ODDS else None,
        )
    for change, event in changes[: max(height - AROUND, 1)]:
        cells = _cells(change, event, times, prices, width).values()
        table.add_row(*(styled(cell) for cell in cells))
    return table


def _cells(
    change: pb.Change, event: str, times: Times, prices: Prices, width: int
) -> dict[str, Cell]:
    """Return the cells of a change by column, for a terminal of `width` characters."""
    market = change.HasField("after")
    form = prices.telling_apart(prices_in(change.before, change.after).values())
    odds = form.market if width >= NAMED_FROM else form.bare
    kind = enum_word(pb.ChangeKind.Name, change.kind, "CHANGE_KIND_").replace("_", " ")
    cells: dict[str, Cell] = {
        f"time ({times.zone})": f"{times.of(change.detected_at.ToDatetime()):%H:%M:%S}",
        "change": (kind, STYLES.get(change.kind, "")),
        "event": event,
        "bookmaker": change.bookmaker,
        "market": key_text(change.after.key) if market else "",
        "before": odds(change.before) if change.HasField("before") else "",
        "after": (odds(change.after), direction(change)) if market else change.reason,
    }
    if width < WHOLE_FROM:
        del cells[f"time ({times.zone})"], cells["before"]
    return cells
