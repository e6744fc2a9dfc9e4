"""ListEvents: events page by page, each exactly once even if its start time moves in between."""

from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from typing import Final

import msgspec

from odds_service.errors import BelowFloor
from odds_service.model.change import EventChange
from odds_service.model.cursor import Cursor
from odds_service.model.overround import Standing
from odds_service.model.snapshot import EventOdds, as_last_seen
from odds_service.serving.context import Context
from odds_service.serving.errors import Refused, bad_request
from odds_service.serving.lagging import check_moved, patiently
from odds_service.serving.odds import OddsView
from odds_service.serving.page_tokens import foreign, read, written
from odds_service.serving.parts import History
from odds_service.serving.server_context import ServerContext
from odds_service.store import HistoryFilter, HistoryPage
from odds_service.wire.encode import event_message
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import timestamp

PAGE_EVENTS: Final = 100
MAX_PAGE_EVENTS: Final = 1_000

_BATCHES: Final = 256  # the most commits read from the ring at once
_STORED_CHANGES: Final = 1_000  # the most changes read by one query
_OF_EVENTS: Final = HistoryFilter(of_markets=False, ended=False)


class _PageToken(msgspec.Struct, array_like=True, frozen=True):
    """The last event of a page, and the cursor of the first page.

    Events are ordered by their start time as of the first page, or by their first start time if
    they were added later. So each keeps one place across all pages.

    Attributes:
        epoch: The epoch of the cursor; empty in tokens of 0.1.0, which order events by their
            present start time.
    """

    start_time: datetime
    event_id: str
    epoch: str = ""
    revision: int = 0


async def list_events(server: ServerContext, request: pb.ListEventsRequest, _: Context) -> bytes:
    """Answer with a page of events by start time.

    Raises:
        Refused: A field is malformed, or the token's listing is too old.
    """
    selection = server.selection(request.filter)
    if request.page_size < 0:
        raise bad_request("page_size", "is negative")
    size = min(request.page_size or PAGE_EVENTS, MAX_PAGE_EVENTS)
    after = _page_token(request.page_token)
    parts = server.parts
    view = OddsView(parts.cache.view(selection.event_ids), selection, parts.reading(), server.wires)
    first = view.cached.cursor
    placed: dict[str, datetime] = {}
    if after is not None and after.epoch:
        first = Cursor(after.epoch, after.revision)
        placed = await _starts_then(server, first)

    def place(entry: EventOdds) -> tuple[datetime, str]:
        event = entry.event
        return placed.get(event.id, event.start_time), event.id

    entries = sorted(view.events(), key=place)
    if after is not None:
        reached = after.start_time, after.event_id
        entries = [entry for entry in entries if place(entry) > reached]
    reply = pb.ListEventsResponse(
        cursor=server.cursor(view.cached.cursor.revision),
        events=[_listed(view, entry) for entry in entries[:size]],
    )
    if len(entries) > size:
        listed_at = first if after is None or after.epoch else Cursor("", 0)
        reply.next_page_token = written(
            _PageToken(*place(entries[size - 1]), listed_at.epoch, listed_at.revision)
        )
    return reply.SerializeToString()


async def _starts_then(server: ServerContext, cursor: Cursor) -> dict[str, datetime]:
    """Return the start times, as of a cursor, of all events that have changed since.

    An event added since then has its first start time. Raises Refused.
    """
    told = pb.Cursor(epoch=cursor.epoch, revision=cursor.revision)
    if server.verdict(told) != pb.INTENT_REASON_RESUMED:
        raise _outlived()
    starts: dict[str, datetime] = {}
    try:
        async for change in _event_changes(server, cursor.revision):
            event = change.after if change.before is None else change.before
            starts.setdefault(change.event_id, event.start_time)
    except BelowFloor:
        raise _outlived() from None
    return starts


def _outlived() -> Refused:
    return bad_request("page_token", "belongs to a listing that is too old: begin a new one")


async def _event_changes(server: ServerContext, after: int) -> AsyncIterator[EventChange]:
    """Yield the event changes after a revision, from memory or else from the database.

    Raises BelowFloor if neither has all of them.
    """
    feed, store = server.parts.feed, server.parts.store
    begin = after
    while True:
        batches = feed.read_after(after, _BATCHES)
        if batches is not None:
            if not batches:
                return
            found = [change for batch in batches for change in batch.changes]
            after = batches[-1].last_revision
        elif store is None:
            raise BelowFloor(feed.oldest_revision - 1)
        else:
            page = await patiently(server, partial(_stored_page, server, store, after))
            found, after = page.changes, page.upto
        for change in found:
            if isinstance(change, EventChange) and change.revision > begin:
                yield change


async def _stored_page(server: ServerContext, store: History, after: int) -> HistoryPage:
    """Return a page of stored event changes, which ends before memory begins.

    Raises BelowFloor and Behind.
    """
    upto = server.parts.feed.oldest_revision - 1
    page = await server.ask(store.history_page, after, upto, _STORED_CHANGES, _OF_EVENTS)
    oldest = await server.ask(store.oldest_revision)
    if oldest > after + 1:
        raise BelowFloor(oldest - 1)
    check_moved(after, page.upto)
    return page


def _listed(view: OddsView, entry: EventOdds) -> pb.ListedEvent:
    row = pb.ListedEvent(event=event_message(view.shown(entry)), matches=view.matches(entry))
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
    token = read(text, _PageToken)
    if token is not None and (token.start_time.tzinfo is None or token.revision < 0):
        raise foreign()
    return token
