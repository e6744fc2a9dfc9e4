"""GetHistory: stored changes in the order of their revisions, page by page."""

from datetime import datetime
from typing import Final

from grpc import StatusCode

from odds_service.rpc.errors import Context, Refused, refused
from odds_service.rpc.filtering import Selected
from odds_service.rpc.framing import bytes_tag
from odds_service.rpc.parts import History
from odds_service.rpc.pb.odds.v1 import odds_pb2 as pb
from odds_service.rpc.reading import piece_of
from odds_service.rpc.replay import HistoryGap, Replay
from odds_service.rpc.selection import checked_time
from odds_service.rpc.serving import Serving

_CHANGES: Final = bytes_tag(pb.HistoryPage.CHANGES_FIELD_NUMBER)


async def get_history(serving: Serving, request: pb.GetHistoryRequest, context: Context) -> None:
    """Stream what the filter selects of a span. Raises Refused."""
    store = serving.parts.store
    if store is None:
        raise refused(StatusCode.UNIMPLEMENTED, "nothing is stored here", "NO_STORE")
    selection = serving.selection(request.filter)
    reached, upto = await _span(serving, store, request)
    replay = Replay(serving, store, selection, reached)
    while reached < upto:
        try:
            selected, reached = await replay.next_page(upto)
        except HistoryGap as gap:
            raise _not_kept(gap) from None
        await _send(serving, context, selected, reached)


async def _send(serving: Serving, context: Context, selected: list[Selected], reached: int) -> None:
    """Send a page in as many messages as it needs, at least one: it tells how far was read."""
    start = selected[0].change.revision - 1 if selected else reached
    while True:
        piece = piece_of(selected, start, reached)
        bodies = piece.bodies or [b""]
        for body in bodies:
            tail = pb.HistoryPage(
                cursor=serving.cursor(piece.revision if body is bodies[-1] else start),
                durable_revision=serving.parts.feed.durable_revision,
            )
            await context.write(body + tail.SerializeToString())
        start = piece.revision
        selected = [each for each in selected if each.change.revision > start]
        if not selected:
            return


async def _span(serving: Serving, store: History, request: pb.GetHistoryRequest) -> tuple[int, int]:
    """The revisions that are asked for: after the first, up to the second."""
    durable = serving.parts.feed.durable_revision
    oldest = await serving.ask(store.oldest_revision)
    kept_after = durable if oldest is None else oldest - 1
    after, upto = kept_after, durable
    if request.HasField("from_cursor"):
        _check(serving, "from_cursor", request.from_cursor)
        after = request.from_cursor.revision
    elif request.HasField("from_time"):
        at = checked_time("from_time", request.from_time)
        after = await _last_before(serving, store, at, kept_after, durable)
    if request.HasField("to_cursor"):
        _check(serving, "to_cursor", request.to_cursor)
        upto = min(durable, request.to_cursor.revision)
    elif request.HasField("to_time"):
        at = checked_time("to_time", request.to_time)
        upto = await _last_before(serving, store, at, kept_after, durable)
    return after, upto


async def _last_before(
    serving: Serving, store: History, at: datetime, after: int, upto: int
) -> int:
    """The last revision in (after, upto] that was detected before a time, or `after`.

    A binary search: the times of detection never decrease along the log.
    """
    while after < upto:
        middle = (after + upto + 1) // 2
        found = await serving.ask(store.history, middle - 1, upto, 1)
        if not found or found[0].detected_at >= at:
            upto = middle - 1
        else:
            after = found[0].revision
    return after


def _check(serving: Serving, field: str, cursor: pb.Cursor) -> None:
    reason = serving.verdict(cursor)
    if reason != pb.INTENT_REASON_RESUMED:
        name = pb.IntentReason.Name(reason)
        raise refused(StatusCode.OUT_OF_RANGE, f"{field} is not of this log: {name}", name)


def _not_kept(gap: HistoryGap) -> Refused:
    text = "changes after this cursor are not kept any more"
    if gap.reason == pb.INTENT_REASON_HISTORY_GAP:
        text = "a change after this cursor could not be stored"
    return refused(StatusCode.OUT_OF_RANGE, text, pb.IntentReason.Name(gap.reason))
