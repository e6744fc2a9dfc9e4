"""The calls of odds.v1 that answer once, and the stored history."""

import asyncio
import base64
import binascii
from datetime import datetime, timedelta
from typing import Final

import msgspec
from grpc import StatusCode
from msgspec.structs import replace

from odds_service.cache import Cut
from odds_service.model.change import Change
from odds_service.model.cursor import Cursor
from odds_service.model.overround import BestMarket, Standing, best_markets
from odds_service.model.snapshot import EventOdds, as_last_seen
from odds_service.model.source import SourceStatus
from odds_service.rpc.encode import (
    change_wire,
    cursor_message,
    event_message,
    key_message,
    match_message,
    reply_end,
)
from odds_service.rpc.errors import (
    Context,
    Refused,
    bad_request,
    exhausted,
    refused,
    unavailable,
)
from odds_service.rpc.framing import bytes_tag, delimited, timestamp, varint
from odds_service.rpc.odds import OddsView
from odds_service.rpc.parts import Past, Refreshed
from odds_service.rpc.pb.odds.v1 import odds_pb2 as pb
from odds_service.rpc.replies import Asked
from odds_service.rpc.selection import checked_time
from odds_service.rpc.serving import Serving

MAX_REPLY_BYTES: Final = 4 * 2**20  # 4 MiB: what gRPC clients take unless told otherwise
_AROUND_BYTES: Final = 64 * 1024  # sources and cursor beside the events
MIN_CURSOR_WAIT_S: Final = 30.0  # for calls without a deadline
_STRETCH_S: Final = 0.005  # then calls of others get a turn
PAGE_EVENTS: Final = 100
MAX_PAGE_EVENTS: Final = 1_000
REFRESH_S: Final = 20.0
MAX_REFRESH_S: Final = 60.0

_EVENTS: Final = bytes_tag(pb.GetOddsResponse.EVENTS_FIELD_NUMBER)
_BEST: Final = bytes_tag(pb.EventOdds.BEST_FIELD_NUMBER)


async def get_odds(serving: Serving, asked: Asked, context: Context) -> bytes:
    """One consistent cut, joined from ready bytes."""
    stamp = serving.replies.stamp()
    known = serving.replies.known(asked, stamp)
    if known is not None:
        return known
    request, selection, parts = asked.message, asked.selection, serving.parts
    if request.HasField("min_cursor"):
        await _reach(serving, request.min_cursor, context)
    if request.WhichOneof("as_of") is not None:
        cut, now = await past_cut(serving, request, selection.event_ids)
    else:
        cut, now = parts.cache.cut(selection.event_ids), parts.now()
    view = OddsView(cut, selection, now, serving.wires)
    fields: list[bytes] = []
    size = 0
    yield_at = serving.loop.time() + _STRETCH_S
    for entry in view.events():
        best = _best_fields(view, entry) if request.include_best else b""
        payload = view.event_odds(entry, best)
        fields += (_EVENTS, varint(len(payload)), payload)
        size += len(payload) + 8
        if size > MAX_REPLY_BYTES - _AROUND_BYTES:
            raise _too_large()
        if serving.loop.time() > yield_at:
            await asyncio.sleep(0)
            yield_at = serving.loop.time() + _STRETCH_S
    # How the sources were in the past is not known.
    states = () if request.WhichOneof("as_of") else view.cut.sources.values()
    wires = serving.wires
    fields += [wires.source(state) for state in states if selection.takes_source(state.source)]
    fields.append(reply_end(view.cut.cursor, view.cut.durable_revision))
    reply = b"".join(fields)
    serving.replies.keep(asked, stamp, now, reply)
    return reply


def _too_large() -> Refused:
    text = (
        f"the reply would be over {MAX_REPLY_BYTES >> 20} MiB: narrow the filter, or use"
        " WatchChanges with image = IMAGE_MODE_ONLY, which sends the same in pieces"
    )
    return exhausted("reply size", text)


async def _reach(serving: Serving, cursor: pb.Cursor, context: Context) -> None:
    """Wait until the cache is at a cursor. Raises Refused."""
    if serving.verdict(cursor) == pb.INTENT_REASON_EPOCH_CHANGED:
        text = "min_cursor is of another run or database: it will never be reached"
        raise refused(StatusCode.FAILED_PRECONDITION, text, "EPOCH_CHANGED")
    left_s: float | None = context.time_remaining()
    wait_s = MIN_CURSOR_WAIT_S if left_s is None else min(left_s, MIN_CURSOR_WAIT_S)
    if not await serving.hub.reached(cursor.revision, wait_s):
        if serving.hub.closed:
            raise unavailable("the service is stopping", "STOPPING")
        head = serving.head().revision
        text = f"revision {cursor.revision} was not reached in time; the newest is {head}"
        raise refused(StatusCode.DEADLINE_EXCEEDED, text, "NOT_REACHED", head=str(head))


async def past_cut(
    serving: Serving, request: pb.GetOddsRequest, event_ids: frozenset[str] | None
) -> tuple[Cut, datetime]:
    """The odds as of a cursor or a time, and that time; raises Refused, BelowFloor.

    Of a source it is not known how it was then: its odds are stale only by their own times.
    """
    parts = serving.parts
    store: object = parts.store
    if not isinstance(store, Past):
        raise refused(StatusCode.UNIMPLEMENTED, "odds of the past are not kept", "NO_PAST")
    at: datetime | None = None
    if request.HasField("as_of_cursor"):
        revision = request.as_of_cursor.revision
        reason = serving.verdict(request.as_of_cursor)
        if reason != pb.INTENT_REASON_RESUMED:
            name = pb.IntentReason.Name(reason)
            text = f"as_of_cursor is not of this log: {name}"
            raise refused(StatusCode.OUT_OF_RANGE, text, name)
        if revision > parts.feed.durable_revision:
            text = f"revision {revision} is not committed yet"
            raise unavailable(text, "NOT_DURABLE_YET", revision=str(revision))
    else:
        at = checked_time("as_of_time", request.as_of_time)
        revision = await serving.ask(store.revision_at, at)
    past = await serving.ask(store.odds_at, revision, sorted(event_ids or ()), at)
    sources = {
        name: replace(state, status=SourceStatus.UP)
        for name, state in parts.cache.cut(()).sources.items()
    }
    events = {entry.event.id: entry for entry in past.events}
    cursor = Cursor(parts.feed.epoch, past.revision)
    return Cut(cursor, parts.feed.durable_revision, events, sources), past.at or parts.now()


def _best_fields(view: OddsView, entry: EventOdds) -> bytes:
    best = best_markets(view.bookmakers(entry), view.standing, view.markets_of)
    return b"".join(
        _BEST + delimited(_best_message(market, view.now).SerializeToString()) for market in best
    )


def _best_message(best: BestMarket, now: datetime) -> pb.BestMarket:
    message = pb.BestMarket(
        key=key_message(best.key),
        combined_overround=best.combined_overround,
        overrounds=[
            pb.BookmakerOverround(source=source, bookmaker=bookmaker, overround=overround)
            for (source, bookmaker), overround in best.overrounds.items()
        ],
        exclusions=[
            pb.Exclusion(
                source=source, bookmaker=bookmaker, reason=pb.ExclusionReason.ValueType(reason)
            )
            for (source, bookmaker), reason in best.exclusions.items()
        ],
    )
    for price in best.prices:
        leg = message.prices.add(
            outcome=price.outcome,
            name=price.name,
            price=price.price,
            source=price.source,
            bookmaker=price.bookmaker,
        )
        leg.age.FromTimedelta(max(now - price.confirmed_at, timedelta()))
    return message


class _PageToken(msgspec.Struct, array_like=True, frozen=True):
    """The last event of a page: what comes after it is told by its place, not by a count."""

    start_time: datetime
    event_id: str


async def list_events(  # noqa: ASYNC124  # as every handler
    serving: Serving, request: pb.ListEventsRequest, _: Context
) -> bytes:
    """A page of events by start time."""
    selection = serving.selection(request.filter)
    if request.page_size < 0:
        raise bad_request("page_size", "is negative")
    size = min(request.page_size or PAGE_EVENTS, MAX_PAGE_EVENTS)
    after = _page_token(request.page_token)
    parts = serving.parts
    view = OddsView(parts.cache.cut(selection.event_ids), selection, parts.now(), serving.wires)
    reply = pb.ListEventsResponse(cursor=cursor_message(view.cut.cursor))
    listed: EventOdds | None = None
    for entry in view.events():
        place = _PageToken(entry.event.start_time, entry.event.id)
        if after is not None and (place.start_time, place.event_id) <= (
            after.start_time,
            after.event_id,
        ):
            continue
        if len(reply.events) == size and listed is not None:
            token = _PageToken(listed.event.start_time, listed.event.id)
            reply.next_page_token = _written(token)
            break
        row = _listed(view, entry)
        if row.bookmakers or not selection.of_markets:
            reply.events.append(row)
            listed = entry
    return reply.SerializeToString()


def _listed(view: OddsView, entry: EventOdds) -> pb.ListedEvent:
    row = pb.ListedEvent(
        event=event_message(entry.event),
        matches=[match_message(carried) for _, carried in sorted(entry.sources.items())],
    )
    for odds in view.bookmakers(entry):
        types = [market.key.market for market in view.markets_of(odds)]
        if types:
            seen = as_last_seen(odds, types) if odds.lagging else odds
            row.bookmakers.add(
                bookmaker=odds.bookmaker,
                source=odds.source,
                markets=len(types),
                confirmed_at=timestamp(seen.confirmed_at),
                stale=view.standing(seen) is not Standing.LIVE,
            )
    return row


def _page_token(text: str) -> _PageToken | None:
    if not text:
        return None
    try:
        return msgspec.msgpack.decode(base64.urlsafe_b64decode(text), type=_PageToken)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise bad_request("page_token", "is none that this service gave out") from None


def _written(token: _PageToken) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(token)).decode()


async def refresh_event(
    serving: Serving, request: pb.RefreshEventRequest, context: Context
) -> bytes:
    """Fetch one event now; answers when the result is stored."""
    refresh = serving.parts.refresh
    if refresh is None:
        raise refused(StatusCode.UNIMPLEMENTED, "there is nothing to fetch from", "NO_SOURCES")
    if not request.event_id:
        raise bad_request("event_id", "is empty")
    asked_s = request.deadline.seconds + request.deadline.nanos / 1e9
    if asked_s < 0:
        raise bad_request("deadline", "is negative")
    left_s: float | None = context.time_remaining()
    wait_s = min(asked_s or REFRESH_S, MAX_REFRESH_S)
    if left_s is not None:
        wait_s = min(wait_s, left_s)
    with serving.limits.refresh():
        outcome = await serving.ask(refresh, request.event_id, wait_s)
    return _refreshed(serving, request.event_id, outcome).SerializeToString()


def _refreshed(serving: Serving, event_id: str, outcome: Refreshed) -> pb.RefreshEventResponse:
    cut = serving.parts.cache.cut([event_id])
    reply = pb.RefreshEventResponse(
        cursor=cursor_message(cut.cursor), durable_revision=cut.durable_revision
    )
    for change in outcome.changes:
        reply.changes.append(_change_message(change))
    made = {change.revision for change in outcome.changes}
    entry = cut.events.get(event_id)
    for (source, bookmaker), snapshot_id in sorted(outcome.snapshot_ids.items()):
        snapshot = reply.snapshots.add(
            source=source,
            bookmaker=bookmaker,
            snapshot_id=snapshot_id,
            changed=snapshot_id in made,
        )
        odds = None if entry is None else entry.bookmakers.get((source, bookmaker))
        if odds is not None:
            snapshot.observed_at.CopyFrom(timestamp(odds.observed_at))
            snapshot.confirmed_at.CopyFrom(timestamp(odds.confirmed_at))
    for each in outcome.sources:
        reply.sources.add(
            source=each.source,
            ok=not each.error_kind,
            error_code=each.error_kind,
            error_message=each.error,
        )
    return reply


def _change_message(change: Change) -> pb.Change:
    return pb.Changes.FromString(change_wire(change)).changes[0]
