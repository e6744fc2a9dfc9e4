"""GetSeries: the prices and the overround of one market over time, as columns."""

import asyncio
import math
from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal

from odds_service.errors import BelowFloor, UnknownEvent
from odds_service.filters.selection import Selection
from odds_service.model.change import Change, ChangeKind, EventChange, MarketChange
from odds_service.model.draws import includes_draw
from odds_service.model.event import Event, EventStatus
from odds_service.model.market import Market, MarketKey
from odds_service.model.overround import Quote, best_of_market
from odds_service.model.price import BadPrice, canonical_line
from odds_service.serving.context import Context
from odds_service.serving.errors import StatusCode, bad_request, refused
from odds_service.serving.lagging import wait_for_revision
from odds_service.serving.parts import History, Past
from odds_service.serving.selection import checked_time, checked_values
from odds_service.serving.server_context import ServerContext
from odds_service.serving.stored import StoredLog
from odds_service.serving.thinning import Point, thin
from odds_service.wire.encode import event_message, key_message
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

POINTS: Final = 500
POINTS_BOUNDS: Final = (10, 5_000)
_HELD: Final = 8  # times as many points are held while reading; beyond, the past is thinned
_AT_ONCE: Final = 1_000  # changes in memory read, or points encoded, without a pause

Place = tuple[str, str]  # bookmaker, source


async def get_series(server: ServerContext, request: pb.GetSeriesRequest, _: Context) -> bytes:
    """Answer with the series of one market. Raises Refused or UnknownEvent."""
    history = server.parts.store
    if history is None:
        raise refused(StatusCode.UNIMPLEMENTED, "nothing is stored here", "NO_STORE")
    past: object = history
    if not isinstance(past, Past):
        raise refused(StatusCode.UNIMPLEMENTED, "odds of the past are not kept", "NO_PAST")
    for field in ("event_id", "market"):
        if not getattr(request, field):
            raise bad_request(field, "is empty")
        checked_values(field, [getattr(request, field)])
    checked_values("bookmakers", request.bookmakers)  # by their own names, not the filter's
    checked_values("sources", request.sources)
    reader = _Reader(server, history, past, request)
    await reader.read()
    return (await reader.reply()).SerializeToString()


class _Reader:
    """The points of one market, read from the database and then from memory."""

    def __init__(
        self, server: ServerContext, history: History, past: Past, request: pb.GetSeriesRequest
    ) -> None:
        self._server = server
        self._history = history
        self._past = past
        self._event_id = request.event_id
        self._key = _key_of(request)
        asked = pb.Filter(
            event_ids=[request.event_id],
            bookmakers=request.bookmakers,
            markets=[request.market],  # the database leaves out the event's other markets
            sources=request.sources,
        )
        self._selection: Selection = server.selection(asked)
        low, high = POINTS_BOUNDS
        self._most = min(max(request.max_points or POINTS, low), high)
        self._from = _time("from_time", request)
        self._to = _time("to_time", request)
        if self._from is not None and self._to is not None and self._from > self._to:
            raise bad_request("to_time", "is before from_time")
        self._points: dict[Place, list[Point]] = {}
        self._thinned: set[Place] = set()
        self._event: Event | None = None
        self._gaps = False
        self._reached = 0

    async def read(self) -> None:
        """Read the span."""
        server, feed = self._server, self._server.parts.feed
        after = await self._begin()
        over = False
        while not over:
            upto = feed.durable_revision
            log = StoredLog(server, self._history, self._selection, after)
            while after < upto and not over:
                page = await log.next_page(upto)
                self._gaps |= bool(page.unstored)
                over = self._take(each.change for each in page.selected)
                after = page.reached
            batches = None if over else feed.read_after(after, _AT_ONCE)
            if batches is None:
                continue  # the rest became durable meanwhile, and has left memory
            for batch in batches:
                over = over or self._take(
                    change for change in batch.changes if change.revision > after
                )
            if not batches:
                break
            after = max(after, *(batch.changes[-1].revision for batch in batches))
            await asyncio.sleep(0)
        self._reached = after

    async def _begin(self) -> int:
        """Take the odds that held at the start of the span; return the revision before it."""
        server, store = self._server, self._past
        floor = await server.ask(self._history.oldest_revision) - 1
        after, at = floor, self._from
        if at is not None:
            await wait_for_revision(server, server.parts.feed.durable_revision)
            try:
                after = await server.ask(store.revision_at, at)
            except BelowFloor as error:
                after, at, self._gaps = error.floor_revision, None, True
        past = await server.ask(store.odds_at, after, [self._event_id], at)
        for entry in past.events:
            if not self._selection.takes_event(entry.event):
                continue
            self._event = entry.event
            self._gaps |= self._from is None and floor > 0
            for odds in entry.bookmakers.values():
                market, begins = odds.markets.get(self._key), at or past.at
                if market is not None and begins is not None:
                    point = Point(begins, market, market.changed_at)
                    self._add(odds.bookmaker, odds.source, point)
        return after

    def _take(self, changes: Iterable[Change]) -> bool:
        """Add changes in order; return whether the span is over."""
        for change in changes:
            if isinstance(change, MarketChange):
                if change.event_id != self._event_id or change.after.key != self._key:
                    continue
                if self._to is not None and change.detected_at > self._to:
                    return True
                gone = change.kind is ChangeKind.REMOVED
                after = None if gone else change.after
                point = Point(change.detected_at, after, change.observed_at)
                self._add(change.bookmaker, change.source, point)
            elif isinstance(change, EventChange) and change.event_id == self._event_id:
                if self._to is not None and change.detected_at > self._to:
                    return True
                if self._selection.takes_event(change.after):  # in memory, nothing is selected
                    self._event = change.after
                if change.kind is ChangeKind.EVENT_ENDED:
                    end = Point(change.detected_at, None, change.observed_at)
                    for (bookmaker, source), points in list(self._points.items()):
                        if points[-1].market is not None:
                            self._add(bookmaker, source, end)
        return False

    def _add(self, bookmaker: str, source: str, point: Point) -> None:
        if not self._selection.takes_bookmaker(source, bookmaker):
            return
        place = bookmaker, source
        if self._from is not None and point.at <= self._from:
            # It was not stored yet when the span began, so it replaces what held then.
            self._points.pop(place, None)
            if point.market is None:
                return
            point = Point(self._from, point.market, point.seen_at)
        points = self._points.setdefault(place, [])
        points.append(point)
        if len(points) > 2 * _HELD * self._most:
            points[:] = thin(points, _HELD * self._most, self._around_start(points))
            self._thinned.add(place)

    def _around_start(self, points: list[Point]) -> set[int]:
        """Return the indices of the points that may turn out to be the closing one."""
        cached = self._server.parts.cache.view([self._event_id]).events.get(self._event_id)
        known = (self._event, None if cached is None else cached.event)
        places = {_last_before(points, event.start_time) for event in known if event is not None}
        return {place for place in places if place >= 0}

    async def reply(self) -> pb.GetSeriesResponse:
        """Return the reply. Raises UnknownEvent."""
        event = self._event
        if event is None:
            known = self._server.parts.cache.view([self._event_id]).events.get(self._event_id)
            if known is None or not self._selection.takes_event(known.event):
                raise UnknownEvent(f"event {self._event_id!r} is not known")
            event = known.event
        reply = pb.GetSeriesResponse(
            event=event_message(self._selection.shown(event)),
            key=key_message(self._key),
            gaps=self._gaps,
            cursor=self._server.cursor(self._reached),
        )
        for place in sorted(self._points):
            reply.series.append(self._series(place, event))
            await asyncio.sleep(0)
        return reply

    def _series(self, place: Place, event: Event) -> pb.Series:
        points = self._points[place]
        closing = self._closing(points, event)
        chosen = thin(points, self._most, () if closing is None else (closing,))
        series = pb.Series(
            bookmaker=place[0],
            source=place[1],
            at_s=[point.at.timestamp() for point in chosen],
            offered=[point.offered for point in chosen],
            overround=[self._overround(point.market, event) for point in chosen],
            closing=self._closing(chosen, event),
            thinned=place in self._thinned or len(chosen) < len(points),
        )
        names: dict[str, str] = {}
        for point in chosen:
            if point.market is not None:
                names |= {outcome.key: outcome.name for outcome in point.market.outcomes}
        for key, name in names.items():
            series.prices.add(
                outcome=key, name=name, prices=[_price(point.market, key) for point in chosen]
            )
        return series

    def _closing(self, points: list[Point], event: Event) -> int | None:
        """Return the index of the point that held at the start, or None if that is not known."""
        if event.start_time > self._server.parts.now() and event.status is EventStatus.SCHEDULED:
            return None
        if self._to is not None and self._to < event.start_time:
            return None  # later changes may have come before the start
        place = _last_before(points, event.start_time)
        return place if place >= 0 else None

    def _overround(self, market: Market | None, event: Event) -> float:
        if market is None:
            return math.nan
        draw = includes_draw(event.sport, event.competition, self._key.market)
        quote = Quote("", "", market.status, market.outcomes, event.start_time, draw=draw)
        for best in best_of_market(self._key, [quote]):
            for overround in best.overrounds.values():
                return overround
        return math.nan


def _last_before(points: list[Point], start_time: datetime) -> int:
    """Return the index of the last point seen before a start, or -1 without one.

    Closing odds are judged in the same way, by when they were seen and not by when they were
    detected; see storage.closing.
    """
    for place in range(len(points) - 1, -1, -1):
        if points[place].seen_at < start_time:
            return place
    return -1


def _price(market: Market | None, key: str) -> float:
    for outcome in () if market is None else market.outcomes:
        if outcome.key == key and outcome.price is not None:
            return outcome.price
    return math.nan


def _key_of(request: pb.GetSeriesRequest) -> MarketKey:
    if not request.HasField("line"):
        return MarketKey(request.market, participant=request.participant)
    try:
        line = canonical_line(request.line)
    except BadPrice as error:
        raise bad_request("line", str(error)) from None
    return MarketKey(request.market, line, request.participant)


def _time(field: Literal["from_time", "to_time"], request: pb.GetSeriesRequest) -> datetime | None:
    return checked_time(field, getattr(request, field)) if request.HasField(field) else None
