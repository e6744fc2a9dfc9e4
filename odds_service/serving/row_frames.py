"""The stored log as bytes of changes, straight from stored rows where a filter allows it."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from odds_service.filters.filtering import select
from odds_service.filters.selection import Selection
from odds_service.filters.stored import filter_of
from odds_service.model.change import ChangeKind, Reason
from odds_service.serving import stored
from odds_service.serving.parts import StoredRows
from odds_service.serving.server_context import ServerContext
from odds_service.storage.rows.history import UNSTORED, HistoryRow, changes_from
from odds_service.storage.schema import from_microseconds
from odds_service.store import LOG_COLUMNS, LogRows
from odds_service.wire.encode import change_wire
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.stored import row_wires
from odds_service.wire.wire_fields import bytes_tag, delimited

_CHANGES: Final = bytes_tag(pb.HistoryPage.CHANGES_FIELD_NUMBER)
_KIND, _REASON = LOG_COLUMNS.index("kind"), LOG_COLUMNS.index("reason")
_ADDED, _REMOVED = int(ChangeKind.ADDED), int(ChangeKind.REMOVED)


class Frame(NamedTuple):
    """A change as bytes; frames of one group share a message if they fit."""

    revision: int
    group: int
    wire: bytes


class FramePage(NamedTuple):
    """The frames up to revision `reached`; `selected` of them are changes, the others gaps."""

    frames: list[Frame]
    selected: int
    reached: int


def gap(revision: int) -> Frame:
    """Return the frame of a change that the database refused."""
    change = pb.Change(revision=revision, kind=pb.CHANGE_KIND_UNSTORED)
    return Frame(revision, revision, _CHANGES + delimited(change.SerializeToString()))


class RowFrames:
    """A reader of the stored changes after a revision, each once and in order.

    Only for selections that decide on an event by its id alone: then the database selects changes
    of markets, and their rows become bytes at once. Other changes are few, and are decoded.
    """

    def __init__(
        self, server: ServerContext, store: StoredRows, selection: Selection, after: int
    ) -> None:
        self._server = server
        self._store = store
        self._selection = selection
        self._only = filter_of(selection)
        self._after = after

    async def next_page(self, upto: int) -> FramePage:
        """Read the next page, which may hold no frames; see StoredLog.next_page()."""
        after = self._after
        most = min(upto, after + stored.STRETCH_REVISIONS)
        async with self._server.replays:
            found: LogRows = await self._server.ask(
                self._store.log_rows, after, most, stored.PAGE_CHANGES, self._only
            )
        rows, reached = found.rows, found.upto
        if (
            rows
            and after + 1 < reached < upto
            and rows[-1][0] == reached
            and _begins_a_move(rows[-1])
        ):
            rows, reached = rows[:-1], reached - 1  # no page splits the two halves
        self._after = reached
        return self._page(rows, reached)

    def _page(self, rows: Sequence[Sequence[Any]], reached: int) -> FramePage:
        wires = iter(row_wires([row for row in rows if 0 < row[_KIND] <= _REMOVED]))
        frames: list[Frame] = []
        group = selected = 0
        for row in rows:
            kind, revision = row[_KIND], row[0]
            if 0 < kind <= _REMOVED:
                wire = next(wires)
                if wire is not None:
                    joined = kind == _ADDED and row[_REASON] == Reason.LINE_MOVED
                    group = group if joined and group else revision
                    frames.append(Frame(revision, group, wire))
                    selected += 1
                    continue
            if kind == UNSTORED:
                frames.append(gap(revision))
                continue
            changes, unreadable = changes_from([_stored(row)])
            frames += [gap(revision) for revision in unreadable]
            for change, joined in select(self._selection, changes, {}, _no_markets):
                group = group if joined and group else revision
                frames.append(Frame(revision, group, change_wire(change)))
                selected += 1
        return FramePage(frames, selected, reached)


def _begins_a_move(row: Sequence[Any]) -> bool:
    """Return whether a row is the first half of a moved line."""
    return bool(row[_KIND] == _REMOVED and row[_REASON] == Reason.LINE_MOVED)


def _stored(row: Sequence[Any]) -> HistoryRow:
    cells = dict(zip(LOG_COLUMNS, row, strict=True))
    for name in ("detected_at", "observed_at"):
        if isinstance(cells[name], int):
            cells[name] = from_microseconds(cells[name])
    return HistoryRow(status=None, **cells | {"ended": None})


def _no_markets(event_id: str, revision: int) -> dict[Any, Any]:
    """Return no markets: no event enters or leaves a selection by ids."""
    return {}
