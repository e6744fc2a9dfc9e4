"""GetHistory: stored changes in the order of their revisions, page by page."""

from odds_service.errors import BelowFloor
from odds_service.serving.columns import send_columns
from odds_service.serving.context import StreamingContext
from odds_service.serving.errors import StatusCode, refused
from odds_service.serving.parts import History
from odds_service.serving.row_frames import bodies, frames_after
from odds_service.serving.server_context import ServerContext
from odds_service.serving.span import not_kept, span
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb


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
    log = frames_after(server, store, selection, reached)
    while reached < upto:
        page = await log.next_page(upto)
        server.usage.changes += page.selected
        for body in bodies(page.frames, page.reached):
            tail = pb.HistoryPage(
                cursor=server.cursor(body.revision),
                durable_revision=server.parts.feed.durable_revision,
            )
            await context.write(body.wire + tail.SerializeToString())
        reached = page.reached
