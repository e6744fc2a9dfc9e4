"""Changes and other messages of a stream as lines, with aligned and coloured parts."""

from collections.abc import Callable, Iterator
from typing import Final

from odds_service.client import enum_word
from odds_service.commands.output import Cell
from odds_service.commands.prices import Prices, prices_in
from odds_service.commands.text import key_text, why_text
from odds_service.commands.times import Times
from odds_service.model.text import counted
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

STYLES: Final = {
    pb.CHANGE_KIND_ADDED: "green",
    pb.CHANGE_KIND_PRICES: "",
    pb.CHANGE_KIND_SUSPENDED: "yellow",
    pb.CHANGE_KIND_RESUMED: "green",
    pb.CHANGE_KIND_REMOVED: "red",
    pb.CHANGE_KIND_SOURCE_STALE: "yellow",
    pb.CHANGE_KIND_SOURCE_DOWN: "bold red",
    pb.CHANGE_KIND_SOURCE_UP: "green",
}
KIND_WIDTH: Final = len("source stale")
MOST: Final = 36  # characters to which a column grows
UP: Final = "green"
DOWN: Final = "red"


def its_id(event_id: str) -> str:
    """Return the id, in place of a name."""
    return event_id


class ChangeLines:
    """The form of changes as lines.

    Args:
        times: The form of times.
        prices: The form of prices; None for decimal odds.
        name_of: A function from an event's id to its name.
        days: Show the date of every change.
        aligned: Pad names to columns, for a terminal.
    """

    def __init__(
        self,
        times: Times,
        prices: Prices | None = None,
        name_of: Callable[[str], str] = its_id,
        *,
        days: bool = False,
        aligned: bool = False,
    ) -> None:
        self._times = times
        self.prices = prices or Prices()
        self.name_of = name_of
        self._when = times.full if days else times.second
        self._columns = [KIND_WIDTH, 0, 0, 0] if aligned else []

    def message(self, message: pb.WatchChangesResponse) -> Iterator[list[Cell]]:
        """Yield the lines that describe a message of a stream; heartbeats have none."""
        kind = message.WhichOneof("message")
        if kind == "changes":
            for change in message.changes.changes:
                yield self.change(change)
        elif (text := _remark(message, kind)) is not None:
            zone = f" · times in {self._times.zone}" if kind == "opened" else ""
            yield [(f"— {text}{zone}", "dim")]

    def change(self, change: pb.Change) -> list[Cell]:
        """Return one change as the parts of a line."""
        kind = enum_word(pb.ChangeKind.Name, change.kind, "CHANGE_KIND_").replace("_", " ")
        named = (self._padded(0, kind), STYLES.get(change.kind, ""))
        if not change.HasField("detected_at"):
            return [named, f"  revision {change.revision}: the database refused this change"]
        at = (self._when(change.detected_at.ToDatetime()), "dim")
        return [at, "  ", named, "  ", *self._told(change)]

    def _told(self, change: pb.Change) -> Iterator[Cell]:
        reason = f" ({change.reason})" if change.reason else ""
        if change.HasField("source_state"):
            why = why_text(change.source_state)
            yield f"{change.source}{f' ({why})' if why else ''}"
            return
        if not change.HasField("after"):
            yield f"{change.event.name or change.event_id}{reason}"
            return
        names = (self.name_of(change.event_id), change.bookmaker, key_text(change.after.key))
        yield "".join(f"{self._padded(n, name)}  " for n, name in enumerate(names, 1))
        yield from self.odds(change)
        yield reason

    def _padded(self, column: int, text: str) -> str:
        """Return a text as wide as the widest of its column so far, up to MOST."""
        if not self._columns:
            return text
        self._columns[column] = max(self._columns[column], min(len(text), MOST))
        return text.ljust(self._columns[column])

    def odds(self, change: pb.Change) -> Iterator[Cell]:
        """Yield the outcomes of a market before and after: `home 1.50 → 1.70  away 2.50`."""
        before = {each.key: each for each in change.before.outcomes}
        after = {each.key: each for each in change.after.outcomes}
        prices = self.prices.telling_apart(prices_in(change.before, change.after).values())
        # The prices of a market that is suspended or removed are those that held before.
        bettable = change.after.status == pb.MARKET_STATUS_OPEN
        was = change.before.status == pb.MARKET_STATUS_OPEN
        for place, key in enumerate(before | after):
            yield f"{'  ' if place else ''}{key} "
            old, new = before.get(key), after.get(key)
            shown = [] if old is None else [prices.outcome(old, bettable=was)]
            shown += [] if new is None else [prices.outcome(new, bettable=bettable)]
            if len(shown) == 2 and shown[0] == shown[1]:
                shown.pop()
            yield (" → ".join(shown), _direction(old, new))


def _direction(old: pb.Outcome | None, new: pb.Outcome | None) -> str:
    """Return the style of a move; of none, if a price is absent or stayed."""
    if old is None or new is None or not (old.HasField("price") and new.HasField("price")):
        return ""
    if new.price == old.price:
        return ""
    return UP if new.price > old.price else DOWN


def direction(change: pb.Change) -> str:
    """Return the style of a change of prices that go up only, or down only."""
    before = {each.key: each for each in change.before.outcomes}
    moves = {_direction(before.get(each.key), each) for each in change.after.outcomes} - {""}
    return moves.pop() if len(moves) == 1 else ""


def _remark(message: pb.WatchChangesResponse, kind: str | None) -> str | None:
    if kind == "opened":
        intent = enum_word(pb.Intent.Name, message.opened.intent, "INTENT_")
        reason = enum_word(pb.IntentReason.Name, message.opened.reason, "INTENT_REASON_")
        at = message.opened.cursor.revision
        return f"{intent} ({reason.replace('_', ' ')}) at revision {at}"
    if kind == "image_end":
        end = message.image_end
        return f"image: {counted(end.events, 'event')}, {counted(end.markets, 'market')}"
    if kind == "lagged":
        return f"changes {message.lagged.lost_from} to {message.lagged.lost_to} were missed"
    return message.closing.reason if kind == "closing" else None
