"""GetHistory: stored changes in the order of their revisions, page by page."""

from datetime import datetime
from typing import Final, NamedTuple

from grpc import StatusCode

from odds_service.model.change import Change
from odds_service.rpc.errors import Context, Refused, refused
from odds_service.rpc.filtering import Selected
from odds_service.rpc.framing import bytes_tag
from odds_service.rpc.pb.odds.v1 import odds_pb2 as pb
from odds_service.rpc.reading import piece_of
from odds_service.rpc.replay import HistoryGap, Replay
from odds_service.rpc.selection import checked_time
from odds_service.rpc.serving import Serving

_CHANGES: Final = bytes_tag(pb.HistoryPage.CHANGES_FIELD_NUMBER)


class Span(NamedTuple):
    """What is asked for: after < revision <= upto, and detected in [from_time, to_time)."""

    after: int
    upto: int
    from_time: datetime | None
    to_time: datetime | None

    def holds(self, change: Change) -> bool:
        return (self.from_time is None or change.detected_at >= self.from_time) and (
            self.to_time is None or change.detected_at < self.to_time
        )


async def get_history(serving: Serving, request: pb.GetHistoryRequest, context: Context) -> None:
    """Stream what the filter selects of a span. Raises Refused."""
    store = serving.parts.store
    if store is None:
        raise refused(StatusCode.UNIMPLEMENTED, "nothing is stored here", "NO_STORE")
    selection = serving.selection(request.filter)
    span = await _span(serving, request)
    replay = Replay(serving, store, selection, span.after)
    reached = span.after
    while reached < span.upto:
        try:
            selected, reached = await replay.next_page(span.upto)
        except HistoryGap as gap:
            raise _not_kept(gap) from None
        ended = span.to_time is not None and any(
            each.change.detected_at >= span.to_time for each in selected
        )
        await _send(
            serving, context, [each for each in selected if span.holds(each.change)], reached
        )
        if ended:
            return


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


async def _span(serving: Serving, request: pb.GetHistoryRequest) -> Span:
    durable = serving.parts.feed.durable_revision
    after, upto = -1, durable
    from_time = to_time = None
    if request.HasField("from_cursor"):
        _check(serving, "from_cursor", request.from_cursor)
        after = request.from_cursor.revision
    elif request.HasField("from_time"):
        from_time = checked_time("from_time", request.from_time)
    if request.HasField("to_cursor"):
        _check(serving, "to_cursor", request.to_cursor)
        upto = min(durable, request.to_cursor.revision)
    elif request.HasField("to_time"):
        to_time = checked_time("to_time", request.to_time)
    if after < 0:
        store = serving.parts.store
        oldest = None if store is None else await serving.ask(store.oldest_revision)
        after = durable if oldest is None else oldest - 1
    return Span(after, upto, from_time, to_time)


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
