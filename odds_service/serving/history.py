"""GetHistory: stored changes in the order of their revisions, page by page."""

from collections.abc import Iterable, Iterator
from heapq import merge
from operator import itemgetter
from typing import Final

from odds_service.errors import BelowFloor
from odds_service.filters.filtering import Selected
from odds_service.serving.columns import send_columns
from odds_service.serving.context import StreamingContext
from odds_service.serving.errors import StatusCode, refused
from odds_service.serving.parts import History, StoredRows
from odds_service.serving.reading import MESSAGE_BYTES
from odds_service.serving.row_frames import Frame, FramePage, RowFrames, gap
from odds_service.serving.server_context import ServerContext
from odds_service.serving.span import not_kept, span
from odds_service.serving.stored import StoredLog
from odds_service.wire.encode import change_wire
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

_BODY_BYTES: Final = MESSAGE_BYTES - 256  # room for the cursor


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
        raise not_kept(error) from None


async def _send(
    server: ServerContext, store: History, request: pb.GetHistoryRequest, context: StreamingContext
) -> None:
    selection = server.selection(request.filter)
    reached, upto = await span(server, store, request)
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
