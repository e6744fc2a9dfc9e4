"""GetClosingOdds: the last open odds before each event's start, from the database."""

from collections.abc import Iterator, Sequence
from typing import Final

from odds_service.filters.selection import Selection
from odds_service.model.event import Event
from odds_service.model.market import Market
from odds_service.serving.context import StreamingContext
from odds_service.serving.errors import StatusCode, refused
from odds_service.serving.parts import ClosingOddsReader
from odds_service.serving.server_context import ServerContext
from odds_service.store import ClosingOdds, StartedEvents
from odds_service.wire.encode import event_message, join_markets
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import timestamp

EVENTS_AT_ONCE: Final = 100  # events listed by one query; the odds of each are read separately
_PAGE_BYTES: Final = 512 * 1024  # half of the promised limit, so that one more row fits


async def get_closing_odds(
    server: ServerContext, request: pb.GetClosingOddsRequest, context: StreamingContext
) -> None:
    """Stream the selected closing odds, holding one event at a time. Raises Refused."""
    store: object = server.parts.store
    if not isinstance(store, ClosingOddsReader):
        raise refused(StatusCode.UNIMPLEMENTED, "nothing is stored here", "NO_STORE")
    selection = server.selection(request.filter)
    only = _started(selection, server)
    after = None
    while True:
        async with server.replays:
            events = await server.ask(store.started_events, only, after, EVENTS_AT_ONCE)
        for event in events:
            if not selection.matches(event):  # its sources may have left it since
                continue
            async with server.replays:
                closing = await server.ask(store.closing_odds, [event.id])
            shown = selection.shown(event)
            for page in _pages(shown, [odds for odds in closing if _takes(selection, odds)]):
                await context.write(page.SerializeToString())
        if len(events) < EVENTS_AT_ONCE:
            return
        after = events[-1].start_time, events[-1].id


def _started(selection: Selection, server: ServerContext) -> StartedEvents:
    now = server.parts.now()
    return StartedEvents(
        before=now if selection.start_to is None else min(now, selection.start_to),
        event_ids=selection.event_ids or frozenset(),
        sports=selection.sports or frozenset(),
        competitions=selection.competitions or frozenset(),
        start_from=selection.start_from,
    )


def _takes(selection: Selection, odds: ClosingOdds) -> bool:
    of_market = selection.markets is None or odds.market.key.market in selection.markets
    return of_market and selection.takes_bookmaker(odds.source, odds.bookmaker)


def _market(market: Market) -> pb.Market:
    return pb.BookmakerOdds.FromString(join_markets([market])).markets[0]


def _pages(event: Event, closing: Sequence[ClosingOdds]) -> Iterator[pb.ClosingOddsPage]:
    """Yield the pages of one event, none if it has no closing odds."""
    shown = event_message(event)
    entry = pb.ClosedEvent(event=shown)
    size = 0
    for each in closing:
        odds = entry.odds.add(
            bookmaker=each.bookmaker,
            source=each.source,
            market=_market(each.market),
            confirmed_at=timestamp(each.confirmed_at),
            offered=each.offered,
            at_start=each.at_start,
            looked_at=timestamp(each.looked_at),
            opening=None if each.opening is None else _market(each.opening),
        )
        odds.age.FromTimedelta(each.start_time - each.confirmed_at)
        size += odds.ByteSize()
        if size > _PAGE_BYTES:
            yield pb.ClosingOddsPage(events=[entry])
            entry = pb.ClosedEvent(event=shown)
            size = 0
    if entry.odds:
        yield pb.ClosingOddsPage(events=[entry])
