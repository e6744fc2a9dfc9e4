"""The stored log as bytes of changes, straight from stored rows where a filter allows it.

GetHistory and Replay send these bytes.
"""

from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

from odds_service.filters.filtering import Selected, select
from odds_service.filters.selection import Selection
from odds_service.filters.stored import filter_of
from odds_service.model.change import ChangeKind, Reason
from odds_service.serving import stored
from odds_service.serving.lagging import check_moved, patiently
from odds_service.serving.parts import History, StoredRows
from odds_service.serving.reading import MESSAGE_BYTES
from odds_service.serving.server_context import ServerContext
from odds_service.serving.stored import StoredLog
from odds_service.storage.rows.history import UNSTORED, HistoryRow, changes_from
from odds_service.storage.schema import from_microseconds
from odds_service.store import LOG_COLUMNS, LogRows
from odds_service.wire.encode import change_wire
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.stored import row_wires
from odds_service.wire.wire_fields import bytes_tag, delimited

_BODY_BYTES: Final = MESSAGE_BYTES - 256  # room for the other fields of a message
_CHANGES: Final = bytes_tag(pb.HistoryPage.CHANGES_FIELD_NUMBER)
_KIND, _REASON = LOG_COLUMNS.index("kind"), LOG_COLUMNS.index("reason")
_ADDED, _REMOVED = int(ChangeKind.ADDED), int(ChangeKind.REMOVED)


class Frame(NamedTuple):
    """A change as bytes; frames of one group share a message if they fit."""

    revision: int
    group: int
    wire: bytes


class FramePage(NamedTuple):
    """The frames up to revision `reached`; those of the revisions in `unstored` are gaps."""

    frames: list[Frame]
    unstored: Sequence[int]
    reached: int

    @property
    def selected(self) -> int:
        """The number of frames that are changes."""
        return len(self.frames) - len(self.unstored)


class Body(NamedTuple):
    """The changes of one message.

    Attributes:
        wire: The frames, joined.
        revision: The last revision that is complete with this message.
        changes: The number of frames.
        amid: Whether it ends within a group that is too large for one message.
    """

    wire: bytes
    revision: int
    changes: int
    amid: bool


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

        async def read() -> LogRows:
            found: LogRows = await self._server.ask(
                self._store.log_rows, after, most, stored.PAGE_CHANGES, self._only
            )
            check_moved(after, found.upto)
            return found

        found = await patiently(self._server, read)
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
        unstored: list[int] = []
        group = 0
        for row in rows:
            kind, revision = row[_KIND], row[0]
            if 0 < kind <= _REMOVED:
                wire = next(wires)
                if wire is not None:
                    joined = kind == _ADDED and row[_REASON] == Reason.LINE_MOVED
                    group = group if joined and group else revision
                    frames.append(Frame(revision, group, wire))
                    continue
            if kind == UNSTORED:
                frames.append(gap(revision))
                unstored.append(revision)
                continue
            changes, unreadable = changes_from([_stored(row)])
            frames += map(gap, unreadable)
            unstored += unreadable
            for change, joined in select(self._selection, changes, {}, _no_markets):
                group = group if joined and group else revision
                frames.append(Frame(revision, group, change_wire(change)))
        return FramePage(frames, unstored, reached)


class StoredFrames:
    """Frames of a log whose changes are decoded, which any filter can select from."""

    def __init__(self, log: StoredLog) -> None:
        self._log = log

    async def next_page(self, upto: int) -> FramePage:
        """Read the next page; see StoredLog.next_page()."""
        page = await self._log.next_page(upto)
        frames = list(merge(_frames(page.selected), map(gap, page.unstored), key=itemgetter(0)))
        return FramePage(frames, page.unstored, page.reached)


LogFrames: TypeAlias = RowFrames | StoredFrames


def frames_after(
    server: ServerContext,
    store: History,
    selection: Selection,
    revision: int,
    log: StoredLog | None = None,
) -> LogFrames:
    """Return the fastest reader that a selection allows.

    Args:
        server: The state of the server.
        store: The database.
        selection: The changes to choose.
        revision: The revision before the first one to read.
        log: A log that begins there and knows its events already, if there is one.
    """
    if isinstance(store, StoredRows) and not selection.by_event:
        return RowFrames(server, store, selection, revision)
    return StoredFrames(log or StoredLog(server, store, selection, revision))


def bodies(frames: Sequence[Frame], reached: int) -> Iterator[Body]:
    """Yield frames as one or more message bodies, each with its last complete revision.

    A group too large for one body is spread over several; only the last one completes it. Without
    frames, there is one empty body.

    Args:
        frames: Frames in the order of their revisions.
        reached: The revision that is complete with the last of them.
    """
    count = len(frames)
    held: list[bytes] = []
    size = begin = 0
    while begin < count:
        first, group, wire = frames[begin]
        end, whole = begin + 1, len(wire)
        while end < count and frames[end][1] == group:
            whole += len(frames[end][2])
            end += 1
        if held and size + whole > _BODY_BYTES:
            yield Body(b"".join(held), first - 1, len(held), False)
            held, size = [], 0
        for _, _, wire in frames[begin:end] if end - begin > 1 else (frames[begin],):
            if held and size + len(wire) > _BODY_BYTES:
                yield Body(b"".join(held), first - 1, len(held), True)
                held, size = [], 0
            held.append(wire)
            size += len(wire)
        begin = end
    yield Body(b"".join(held), reached, len(held), False)


def _frames(selected: Iterable[Selected]) -> Iterator[Frame]:
    group = 0
    for change, joined in selected:
        group = group if joined and group else change.revision
        yield Frame(change.revision, group, change_wire(change))


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
