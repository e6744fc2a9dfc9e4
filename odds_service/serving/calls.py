"""GetOdds and RefreshEvent."""

from datetime import timedelta
from time import monotonic
from typing import Final

from odds_service.errors import NotFetchedYet, UnknownEvent
from odds_service.filters.filtering import shown_changes
from odds_service.filters.selection import Selection
from odds_service.model.change import Change
from odds_service.model.overround import BestMarket, best_markets
from odds_service.model.refresh import RefreshOutcome
from odds_service.model.snapshot import EventOdds, Reading
from odds_service.serving.as_of import view_as_of
from odds_service.serving.context import Context
from odds_service.serving.deliveries import AnswerAges
from odds_service.serving.errors import (
    Refused,
    StatusCode,
    bad_request,
    before_deadline_s,
    exhausted,
    refused,
    unavailable,
)
from odds_service.serving.odds import OddsView
from odds_service.serving.replies import Asked
from odds_service.serving.reply_events import ReplyEvents
from odds_service.serving.server_context import ServerContext
from odds_service.serving.stretches import Stretches
from odds_service.wire.encode import change_wire, key_message, reply_end
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import bytes_tag, delimited, timestamp

MAX_REPLY_BYTES: Final = 4 * 2**20  # 4 MiB: the default limit of gRPC clients
_AROUND_BYTES: Final = 64 * 1024  # room for sources and cursor beside the events
MIN_CURSOR_WAIT_S: Final = 30.0  # for calls without a deadline
REFRESH_S: Final = 20.0
MAX_REFRESH_S: Final = 60.0

_BEST: Final = bytes_tag(pb.EventOdds.BEST_FIELD_NUMBER)


async def get_odds(server: ServerContext, asked: Asked, context: Context) -> bytes:
    """Answer with one consistent view of the odds, joined from encoded bytes. Raises Refused."""
    stamp = server.replies.stamp()
    known = server.replies.known(asked, stamp)
    if known is not None:
        if asked.ages is not None:
            server.deliveries.delivered(asked.ages, monotonic())
        return known
    request, selection, parts = asked.message, asked.selection, server.parts
    if request.HasField("min_cursor"):
        await _reach(server, request.min_cursor, context)
    if request.WhichOneof("as_of") is not None:
        cached, then, states = await view_as_of(server, request, selection.event_ids)
        now, ages = Reading(then), None
    else:
        cached, now = parts.cache.view(selection.event_ids), parts.reading()
        states = list(cached.sources.values())
        ages = AnswerAges(parts.delays, now)
    view = OddsView(cached, selection, now, server.wires, ages)
    # Of a request that comes once, there is nothing to remember.
    again = asked.plain and bool(asked.reply)
    events = ReplyEvents(view, asked.events, keep=again)
    stretches = Stretches()
    for entry in view.events():
        limit = parts.settings.suspect_below
        events.add(entry, _best_fields(view, entry, limit) if request.include_best else b"")
        if events.size > MAX_REPLY_BYTES - _AROUND_BYTES:
            raise _too_large()
        if stretches.over():
            await stretches.pause()
    wires = server.wires
    fields = events.fields()
    fields += [wires.source(state) for state in states if selection.takes_source(state.source)]
    cursor = server.own(*view.cached.cursor)
    fields.append(reply_end(cursor, view.cached.durable_revision))
    reply = b"".join(fields)
    answered_s = monotonic()
    parcel = None if ages is None else ages.parcel(answered_s)
    if parcel is not None:
        server.deliveries.delivered(parcel, answered_s)
    last = events.last_events(reply) if again else None
    server.replies.keep(asked, stamp, now.wall, reply, parcel, last)
    return reply


def _too_large() -> Refused:
    text = (
        f"the reply would be over {MAX_REPLY_BYTES >> 20} MiB: narrow the filter, or use"
        " WatchChanges with image = IMAGE_MODE_ONLY, which sends the same in pieces"
    )
    return exhausted("reply size", text)


async def _reach(server: ServerContext, cursor: pb.Cursor, context: Context) -> None:
    """Wait until the cache reaches a cursor. Raises Refused."""
    await server.arrived(cursor)
    if server.verdict(cursor) == pb.INTENT_REASON_EPOCH_CHANGED:
        text = "min_cursor is not of this log: it will never be reached"
        raise refused(StatusCode.FAILED_PRECONDITION, text, "EPOCH_CHANGED")
    left_s: float | None = context.time_remaining()
    wait_s = MIN_CURSOR_WAIT_S if left_s is None else before_deadline_s(left_s)
    if not await server.hub.reached(cursor.revision, wait_s):
        if server.hub.closed:
            raise unavailable("the service is stopping", "STOPPING")
        head = server.head().revision
        text = f"revision {cursor.revision} was not reached in time; the newest is {head}"
        raise refused(StatusCode.DEADLINE_EXCEEDED, text, "NOT_REACHED", head=str(head))


def _best_fields(view: OddsView, entry: EventOdds, suspect_below: float) -> bytes:
    best = best_markets(
        entry.event,
        view.bookmakers(entry),
        view.standing,
        view.markets_of,
        suspect_below=suspect_below,
    )
    return b"".join(
        _BEST + delimited(_best_message(market, entry, view.now).SerializeToString())
        for market in best
    )


def _best_message(best: BestMarket, entry: EventOdds, now: Reading) -> pb.BestMarket:
    message = pb.BestMarket(
        key=key_message(best.key),
        combined_overround=best.combined_overround,
        suspect_overround=best.suspect_overround,
        suspect_reasons=best.suspect_reasons,
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
        odds = entry.bookmakers[price.source, price.bookmaker]
        leg.age.FromTimedelta(timedelta(seconds=max(0.0, now.seconds_since(odds))))
    return message


async def refresh_event(
    server: ServerContext, request: pb.RefreshEventRequest, context: Context
) -> bytes:
    """Fetch one event now, and answer once the result is stored. Raises Refused."""
    refresh = server.parts.refresh
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
        wait_s = min(wait_s, before_deadline_s(left_s))
    selection = server.selection(pb.Filter())
    if selection.hides:
        entry = server.parts.cache.view([request.event_id]).events.get(request.event_id)
        if entry is None or not selection.takes_event(entry.event):
            raise UnknownEvent(f"event {request.event_id!r} is not known")
    with server.limits.refresh():
        server.usage.refreshes += 1
        try:
            outcome = await server.ask(refresh, request.event_id, wait_s)
        except NotFetchedYet as error:
            late = [source for source in error.sources if selection.takes_source(source)]
            raise NotFetchedYet(*server.own(error.epoch, error.revision), late) from None
    return _refreshed(server, request.event_id, outcome, selection).SerializeToString()


def _refreshed(
    server: ServerContext, event_id: str, outcome: RefreshOutcome, selection: Selection
) -> pb.RefreshEventResponse:
    view = server.parts.cache.view([event_id])
    reply = pb.RefreshEventResponse(
        cursor=server.cursor(view.cursor.revision), durable_revision=view.durable_revision
    )
    for change in shown_changes(selection, outcome.changes):
        reply.changes.append(_change_message(change))
    made = {change.revision for change in outcome.changes}
    entry = view.events.get(event_id)
    for (source, bookmaker), snapshot_id in sorted(outcome.snapshot_ids.items()):
        if not selection.takes_bookmaker(source, bookmaker):
            continue
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
        if not selection.takes_source(each.source):
            continue
        reply.sources.add(
            source=each.source,
            ok=not each.error_kind,
            error_code=each.error_kind,
            error_message=each.error,
        ).latency.FromTimedelta(timedelta(seconds=each.latency_s))
    return reply


def _change_message(change: Change) -> pb.Change:
    return pb.Changes.FromString(change_wire(change)).changes[0]
