"""GetHistory: stored changes in the order of their revisions, page by page."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from heapq import merge
from operator import itemgetter
from typing import Final

from odds_service.errors import BelowFloor
from odds_service.filters.filtering import Selected
from odds_service.serving.columns import send_columns
from odds_service.serving.context import StreamingContext
from odds_service.serving.errors import StatusCode, refused, unavailable
from odds_service.serving.parts import History, Past, StoredRows
from odds_service.serving.reading import MESSAGE_BYTES
from odds_service.serving.row_frames import Frame, FramePage, RowFrames, gap
from odds_service.serving.selection import checked_time
from odds_service.serving.server_context import ServerContext
from odds_service.serving.stored import StoredLog
from odds_service.wire.encode import change_wire
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

_BODY_BYTES: Final = MESSAGE_BYTES - 256  # room for the cursor
_INSTANT: Final = timedelta(microseconds=1)  # the resolution of stored times
_FIRST: Final = datetime.min.replace(tzinfo=UTC)


async def get_history(
    server: ServerContext, request: pb.GetHistoryRequest, context: StreamingContext
) -> None:
    """Stream the selected changes of a span, holding one page at a time. Raises Refused."""
    store = server.parts.store
    if store is None:
        raise refused(StatusCode.UNIMPLEMENTED, "nothing is stored here", "NO_STORE")
    try:
        await _send(server, store, request, context)
    except BelowFloor as error:
        # Changes up to the floor are gone; the contract asks for the first one kept.
        floor = error.floor_revision + 1
        text = f"history is kept from revision {floor} on"
        raise refused(StatusCode.OUT_OF_RANGE, text, "NOT_KEPT", floor=str(floor)) from None


async def _send(
    server: ServerContext, store: History, request: pb.GetHistoryRequest, context: StreamingContext
) -> None:
    selection = server.selection(request.filter)
    reached, upto = await _span(server, store, request)
    if request.form != pb.HISTORY_FORM_UNSPECIFIED:
        await send_columns(server, store, request.form, selection, (reached, upto), context)
        return
    log: StoredFrames | RowFrames
    if isinstance(store, StoredRows) and not selection.by_event:
        log = RowFrames(server, store, selection, reached)
    else:
        log = StoredFrames(StoredLog(server, store, selection, reached))
    while reached < upto:
        page = await log.next_page(upto)
        server.usage.changes += page.selected
        for body, revision in bodies(page):
            tail = pb.HistoryPage(
                cursor=server.cursor(revision),
                durable_revision=server.parts.feed.durable_revision,
            )
            await context.write(body + tail.SerializeToString())
        reached = page.reached


class StoredFrames:
    """Frames of a log whose changes are decoded, which any filter can select from."""

    def __init__(self, log: StoredLog) -> None:
        self._log = log

    async def next_page(self, upto: int) -> FramePage:
        """Read the next page; see StoredLog.next_page()."""
        page = await self._log.next_page(upto)
        frames = list(merge(_frames(page.selected), map(gap, page.unstored), key=itemgetter(0)))
        return FramePage(frames, len(page.selected), page.reached)


def _frames(selected: Iterable[Selected]) -> Iterator[Frame]:
    group = 0
    for change, joined in selected:
        group = group if joined and group else change.revision
        yield Frame(change.revision, group, change_wire(change))


def bodies(page: FramePage) -> Iterator[tuple[bytes, int]]:
    """Yield a page as one or more message bodies, each with its last complete revision.

    A group too large for one body is spread over several; only the last one completes it.
    """
    frames, count = page.frames, len(page.frames)
    held: list[bytes] = []
    size = begin = 0
    while begin < count:
        first, group, wire = frames[begin]
        end, whole = begin + 1, len(wire)
        while end < count and frames[end][1] == group:
            whole += len(frames[end][2])
            end += 1
        if held and size + whole > _BODY_BYTES:
            yield b"".join(held), first - 1
            held, size = [], 0
        for _, _, wire in frames[begin:end] if end - begin > 1 else (frames[begin],):
            if held and size + len(wire) > _BODY_BYTES:
                yield b"".join(held), first - 1
                held, size = [], 0
            held.append(wire)
            size += len(wire)
        begin = end
    yield b"".join(held), page.reached


async def _span(
    server: ServerContext, store: History, request: pb.GetHistoryRequest
) -> tuple[int, int]:
    """Return the requested span as (after, upto): after < revision <= upto."""
    durable = server.parts.feed.durable_revision
    after, upto = await server.ask(store.oldest_revision) - 1, durable
    if request.HasField("from_cursor"):
        _check(server, "from_cursor", request.from_cursor)
        if request.from_cursor.revision < after:
            raise BelowFloor(after)
        after = request.from_cursor.revision
    elif request.HasField("from_time"):
        after = await _last_before(server, store, "from_time", request)
    if request.HasField("to_cursor"):
        _check(server, "to_cursor", request.to_cursor)
        upto = min(durable, request.to_cursor.revision)
    elif request.HasField("to_time"):
        upto = min(durable, await _last_before(server, store, "to_time", request))
    return after, upto


async def _last_before(
    server: ServerContext, store: object, field: str, request: pb.GetHistoryRequest
) -> int:
    """Return the last revision detected before the time in a field. Raises BelowFloor."""
    at = checked_time(field, getattr(request, field))
    if not isinstance(store, Past):
        raise refused(StatusCode.UNIMPLEMENTED, "history by time is not kept here", "NO_PAST")
    before = at if at == _FIRST else at - _INSTANT
    return await server.ask(store.revision_at, before)


def _check(server: ServerContext, field: str, cursor: pb.Cursor) -> None:
    reason = server.verdict(cursor)
    if reason == pb.INTENT_REASON_EPOCH_CHANGED:
        text = f"{field} is not of this log: its revision was never stored here"
        raise refused(StatusCode.FAILED_PRECONDITION, text, "EPOCH_CHANGED")
    if reason == pb.INTENT_REASON_AHEAD_OF_SERVER:
        head = str(server.head().revision)
        text = f"{field} is ahead of this server, which is at revision {head}"
        raise unavailable(text, "AHEAD_OF_SERVER", head=head)
