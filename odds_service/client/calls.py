"""The client's calls, independent of the loop."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, TypeVar

from odds_service.client import decode, market_values, requests
from odds_service.client.errors import client_closed
from odds_service.client.following import HistoryFollower, ReplayFollower, WatchFollower
from odds_service.client.frames import ArrowTable, Columns
from odds_service.client.iterating import (
    AsyncEvents,
    AsyncHistory,
    AsyncPages,
    AsyncReading,
    AsyncReplay,
    AsyncWatch,
)
from odds_service.client.market_values import Coverage, MarketTypes, UnmappedMarket
from odds_service.client.route import AsyncRoute
from odds_service.client.run_values import Run, run
from odds_service.client.series_values import PriceSeries, price_series
from odds_service.client.values import EVERYTHING, Filter, Odds, Refreshed
from odds_service.model.cursor import Cursor
from odds_service.model.market import MarketKey
from odds_service.model.reload import Reloaded
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

CALL_S: Final = 60.0  # the default deadline of a call
RUNS: Final = 1_000  # the most runs returned by default

L = TypeVar("L", AsyncWatch, AsyncReplay, AsyncHistory)


class AsyncCalls:
    """The calls of the service, with plain values as arguments and results."""

    def __init__(self, route: AsyncRoute) -> None:
        self._route = route
        self._watches: set[AsyncWatch] = set()
        self._replays: set[AsyncReplay] = set()
        self._histories: set[AsyncHistory] = set()
        self._closed = False

    async def get_odds(
        self,
        where: Filter = EVERYTHING,
        *,
        at_least: Cursor | None = None,
        include_best: bool = False,
        as_of: Cursor | datetime | None = None,
        timeout_s: float = CALL_S,
    ) -> Odds:
        """Return one consistent view of the odds.

        Args:
            where: The odds to select.
            at_least: Wait until the server's odds are at least as new as this cursor.
            include_best: Return best prices and overrounds too.
            as_of: A cursor or time in the past; returns the odds as they were then.
            timeout_s: The deadline of the call, in seconds.

        Raises:
            ServiceError: The call failed.
        """
        request = requests.odds_request(where, at_least, include_best, as_of)
        return decode.odds(await self._route.call(lambda stub: stub.GetOdds, request, timeout_s))

    async def refresh(
        self, event_id: str, *, deadline_s: float | None = None, timeout_s: float = CALL_S
    ) -> Refreshed:
        """Make the server fetch an event now, and return once the result is stored.

        Args:
            event_id: The event to fetch.
            deadline_s: The server's time limit, in seconds; None uses the server's default.
            timeout_s: The deadline of the call, in seconds.

        Raises:
            ServiceError: The call failed. The server may still complete the fetch.
        """
        request = requests.refresh_request(event_id, deadline_s)
        return decode.refreshed(
            await self._route.call(lambda stub: stub.RefreshEvent, request, timeout_s, once=True)
        )

    async def status(self, *, timeout_s: float = CALL_S) -> pb.GetStatusResponse:
        """Return the state of the service, as the complete message of the contract."""
        request = pb.GetStatusRequest()
        return await self._route.call(lambda stub: stub.GetStatus, request, timeout_s)

    async def market_types(
        self, markets: Iterable[str] = (), *, timeout_s: float = CALL_S
    ) -> MarketTypes:
        """Return market types with names, groups and what settles them.

        Args:
            markets: The types; empty for all.
            timeout_s: The deadline of the call, in seconds.

        Raises:
            ServiceError: The call failed.
        """
        request = pb.ListMarketsRequest(markets=markets)
        return market_values.market_types(
            await self._route.call(lambda stub: stub.ListMarkets, request, timeout_s)
        )

    async def series(
        self,
        event_id: str,
        key: MarketKey,
        *,
        bookmakers: Iterable[str] = (),
        start: datetime | None = None,
        end: datetime | None = None,
        max_points: int = 0,
        timeout_s: float = CALL_S,
    ) -> PriceSeries:
        """Return the prices and the overround of one market over time.

        Args:
            event_id: The event.
            key: The market.
            bookmakers: The bookmakers; empty for all.
            start: An aware time; None for the first change that is kept.
            end: An aware time; None for the odds of now.
            max_points: The most points of a bookmaker, from 10 to 5,000; 0 for 500.
            timeout_s: The deadline of the call, in seconds.

        Raises:
            ServiceError: The call failed.
        """
        request = requests.series_request(event_id, key, bookmakers, start, end, max_points)
        return price_series(await self._route.call(lambda stub: stub.GetSeries, request, timeout_s))

    async def coverage(self, where: Filter = EVERYTHING, *, timeout_s: float = CALL_S) -> Coverage:
        """Return the events and markets of each competition that each bookmaker has.

        Args:
            where: The odds to count.
            timeout_s: The deadline of the call, in seconds.

        Raises:
            ServiceError: The call failed.
        """
        request = pb.GetCoverageRequest(filter=requests.filter_message(where))
        return market_values.coverage(
            await self._route.call(lambda stub: stub.GetCoverage, request, timeout_s)
        )

    async def unmapped(
        self,
        sources: Iterable[str] = (),
        sports: Iterable[str] = (),
        *,
        timeout_s: float = CALL_S,
    ) -> tuple[UnmappedMarket, ...]:
        """Return the markets that no table maps, by their sources' names, the commonest first.

        Args:
            sources: The sources; empty for all.
            sports: The sports; empty for all.
            timeout_s: The deadline of the call, in seconds.

        Raises:
            ServiceError: The call failed.
        """
        request = pb.ListUnmappedRequest(sources=sources, sports=sports)
        return market_values.unmapped(
            await self._route.call(lambda stub: stub.ListUnmapped, request, timeout_s)
        )

    async def runs(
        self,
        sources: Iterable[str] = (),
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        most: int | None = RUNS,
        timeout_s: float = CALL_S,
    ) -> tuple[Run, ...]:
        """Return the stored fetches of the sources, the newest first, fetched page by page.

        Args:
            sources: The sources; empty for all.
            start: Only runs that began at or after this aware time; None for the oldest kept.
            end: Only runs that began before this aware time; None for the newest.
            most: The most runs to return; None for all, which can be millions.
            timeout_s: The deadline of each page, in seconds.

        Raises:
            ServiceError: A page failed.
        """
        request = requests.runs_request(sources, start, end)
        found: list[Run] = []
        while most is None or len(found) < most:
            request.page_size = RUNS if most is None else min(most - len(found), RUNS)
            page = await self._route.call(lambda stub: stub.ListRuns, request, timeout_s)
            found += [run(each) for each in page.runs]
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
        return tuple(found)

    async def reload(self, *, timeout_s: float = CALL_S) -> Reloaded:
        """Make the server read its settings again, and return what it did; for operators.

        Args:
            timeout_s: The deadline of the call, in seconds.

        Raises:
            ServiceError: The call failed. With reason SETTINGS_ERROR the settings are wrong, and
                nothing has changed; after a timeout the reload may still go on.
        """
        request = requests.reload_request()
        return decode.reloaded(
            await self._route.call(lambda stub: stub.Reload, request, timeout_s, once=True)
        )

    def watch(
        self,
        where: Filter = EVERYTHING,
        *,
        start: Odds | Cursor | None = None,
        conflate_s: float = 0.0,
        heartbeat_s: float | None = None,
        latest: bool = False,
        image_only: bool = False,
        wait_for_server: bool = False,
        freshness: bool = False,
    ) -> AsyncWatch:
        """Watch every change from now on, or from `start`; see AsyncWatch.

        Args:
            where: The odds to select.
            start: A reply of get_odds() with the same filter, or a saved cursor.
            conflate_s: The interval of conflation, in seconds; 0 sends every change.
            heartbeat_s: The longest silence, in seconds; None uses the server's default.
            latest: Get an image instead of old changes when this reader is too slow.
            image_only: End after the image.
            wait_for_server: Keep trying if the server cannot be reached at first.
            freshness: Keep the map's `confirmed_at` and `stale` up to date, to the second.

        Raises:
            ServiceError: The client is closed.
        """
        request = requests.watch_request(
            where, conflate_s, heartbeat_s, latest, image_only, freshness
        )
        follower = WatchFollower(request, start, wait_for_server=wait_for_server)
        reading = AsyncReading(self._route, lambda stub: stub.WatchChanges, follower)
        watch = AsyncWatch(follower, reading)
        self._add(watch, self._watches)
        return watch

    def replay(
        self,
        start: Cursor | datetime | None = None,
        end: Cursor | datetime | None = None,
        *,
        where: Filter = EVERYTHING,
        speed: float | None = None,
    ) -> AsyncReplay:
        """Replay stored changes as a watch would have shown them; see AsyncReplay.

        Args:
            start: Begin after this cursor or at this time; None begins with the oldest change.
            end: Stop after this cursor or before this time; None stops at the newest stored change.
            where: The odds to select.
            speed: The seconds of the log that pass in one second: 1 is the pace of the time
                itself. None goes as fast as it can.

        Raises:
            ServiceError: The client is closed.
            ValueError: A time is naive, or the speed is not above 0.
        """
        follower = ReplayFollower(requests.replay_request(where, start, end), speed=speed)
        reading = AsyncReading(self._route, lambda stub: stub.Replay, follower)
        replay = AsyncReplay(follower, reading)
        self._add(replay, self._replays)
        return replay

    def _history(
        self,
        where: Filter,
        start: Cursor | datetime | None,
        end: Cursor | datetime | None,
        *,
        as_columns: bool = False,
    ) -> AsyncHistory:
        request = requests.history_request(where, start, end)
        if as_columns:
            request.form = pb.HISTORY_FORM_ARROW
        follower = HistoryFollower(request)
        reading = AsyncReading(self._route, lambda stub: stub.GetHistory, follower)
        history = AsyncHistory(reading, lambda: self._history_columns(where, start, end))
        self._add(history, self._histories)
        return history

    async def _history_columns(
        self, where: Filter, start: Cursor | datetime | None, end: Cursor | datetime | None
    ) -> ArrowTable:
        """Read stored changes as columns."""
        columns, batches = Columns(), []
        async with self._history(where, start, end, as_columns=True) as history:
            async for page in history.pages():
                batches += columns.take(page)
        return columns.table(batches)

    def _add(self, stream: L, streams: set[L]) -> None:
        """Add a stream to those that the client closes; raise ServiceError if it is closed.

        The check comes after the addition: a close from another thread is then either noticed
        here, or finds the stream and ends it.
        """
        for other in tuple(streams):
            if other.closed:
                streams.discard(other)
        streams.add(stream)
        if self._closed:
            raise client_closed()

    def _events(self, where: Filter, timeout_s: float) -> AsyncEvents:
        request = pb.ListEventsRequest(filter=requests.filter_message(where))
        return AsyncEvents(self._route, request, timeout_s)

    def _closing_pages(
        self, where: Filter
    ) -> AsyncPages[pb.GetClosingOddsRequest, pb.ClosingOddsPage]:
        request = requests.closing_request(where)
        return AsyncPages(self._route, lambda stub: stub.GetClosingOdds, request)

    async def aclose(self) -> None:
        """End all watches and histories, and release the channels.

        Cancellation:
            The channels are released nevertheless.
        """
        self._closed = True
        streams: list[AsyncWatch | AsyncReplay | AsyncHistory] = [
            *self._watches,
            *self._replays,
            *self._histories,
        ]
        for watch in tuple(self._watches):
            watch.end()
        for replay in tuple(self._replays):
            replay.end()
        for history in tuple(self._histories):
            history.cut_off()
        try:
            for stream in streams:
                await stream.aclose()
        finally:
            await self._route.aclose()
