"""Spans of the stored log, between cursors or times."""

from datetime import UTC, datetime, timedelta
from typing import Final

from odds_service.errors import BelowFloor
from odds_service.serving.errors import Refused, StatusCode, refused, unavailable
from odds_service.serving.lagging import wait_for_revision
from odds_service.serving.parts import History, Past
from odds_service.serving.selection import checked_time
from odds_service.serving.server_context import ServerContext
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

_INSTANT: Final = timedelta(microseconds=1)  # the resolution of stored times
_FIRST: Final = datetime.min.replace(tzinfo=UTC)


async def span(
    server: ServerContext, store: History, request: pb.GetHistoryRequest | pb.ReplayRequest
) -> tuple[int, int]:
    """Return the requested span as (after, upto): after < revision <= upto.

    Raises:
        Refused: A bound is malformed, not of this log or ahead of it.
        BelowFloor: The start lies before what is kept.
    """
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


def not_kept(error: BelowFloor) -> Refused:
    """Return the refusal of a span that begins before what is kept.

    Changes up to the floor are gone; the contract asks for the first one kept.
    """
    floor = error.floor_revision + 1
    text = f"history is kept from revision {floor} on"
    return refused(StatusCode.OUT_OF_RANGE, text, "NOT_KEPT", floor=str(floor))


async def _last_before(
    server: ServerContext,
    store: object,
    field: str,
    request: pb.GetHistoryRequest | pb.ReplayRequest,
) -> int:
    """Return the last revision detected before the time in a field. Raises BelowFloor."""
    at = checked_time(field, getattr(request, field))
    if not isinstance(store, Past):
        raise refused(StatusCode.UNIMPLEMENTED, "history by time is not kept here", "NO_PAST")
    await wait_for_revision(server, server.parts.feed.durable_revision)
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
