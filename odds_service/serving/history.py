"""GetHistory: stored changes in the order of their revisions, page by page."""

from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

from odds_service.errors import BelowFloor
from odds_service.filters.filtering import Selected
from odds_service.serving.context import StreamingContext
from odds_service.serving.errors import StatusCode, refused
from odds_service.serving.parts import History
from odds_service.serving.reading import MESSAGE_BYTES
from odds_service.serving.server_context import ServerContext
from odds_service.serving.span import not_kept, span
from odds_service.serving.stored import StoredLog, StoredPage
from odds_service.wire.encode import change_wire
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import bytes_tag, delimited

_CHANGES: Final = bytes_tag(pb.HistoryPage.CHANGES_FIELD_NUMBER)
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
    log = StoredLog(server, store, selection, reached)
    while reached < upto:
        page = await log.next_page(upto)
        server.usage.changes += len(page.selected)
        for body, revision in bodies(page, reached):
            tail = pb.HistoryPage(
                cursor=server.cursor(revision),
                durable_revision=server.parts.feed.durable_revision,
            )
            await context.write(body + tail.SerializeToString())
        reached = page.reached


class _Frame(NamedTuple):
    """A change as bytes; frames of one group share a message if they fit."""

    revision: int
    group: int
    wire: bytes


def bodies(page: StoredPage, start: int) -> Iterator[tuple[bytes, int]]:
    """Yield a page as one or more message bodies, each with its last complete revision.

    A group too large for one body is spread over several; only the last one completes it.

    Args:
        page: The stored changes and gaps.
        start: The revision before the page.
    """
    frames = merge(_frames(page.selected), _gaps(page.unstored), key=itemgetter(0))
    held: list[bytes] = []
    size = 0
    for first, group in groupby(frames, key=itemgetter(1)):
        wires = [wire for _, _, wire in group]
        if held and size + sum(map(len, wires)) > _BODY_BYTES:
            yield b"".join(held), first - 1
            held, size = [], 0
        for wire in wires:
            if held and size + len(wire) > _BODY_BYTES:
                yield b"".join(held), first - 1
                held, size = [], 0
            held.append(wire)
            size += len(wire)
    yield b"".join(held), page.reached


def _frames(selected: Iterable[Selected]) -> Iterator[_Frame]:
    group = 0
    for change, joined in selected:
        group = group if joined and group else change.revision
        yield _Frame(change.revision, group, change_wire(change))


def _gaps(unstored: Iterable[int]) -> Iterator[_Frame]:
    for revision in unstored:
        change = pb.Change(revision=revision, kind=pb.CHANGE_KIND_UNSTORED)
        yield _Frame(revision, revision, _CHANGES + delimited(change.SerializeToString()))
