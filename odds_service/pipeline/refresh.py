"""The on-demand path: one event scraped now, by the same detector, committed before the reply."""

from collections.abc import Iterable, Mapping
from typing import Protocol

import trio

from odds_service.cache import OddsCache
from odds_service.errors import NotDurableYet, NotFetchedYet, SourceError, UnknownEvent
from odds_service.model.change import Change, MarketChange
from odds_service.model.refresh import FetchOutcome, RefreshOutcome
from odds_service.model.snapshot import EventSource
from odds_service.model.source import reason_word
from odds_service.pipeline.channels import Fetched, WriteQueue
from odds_service.pipeline.detect import Detector, scrape_run
from odds_service.pipeline.scrape import Scraper


class Commits(Protocol):
    """What is asked of the writer."""

    async def committed(self, revision: int) -> None: ...


class _Flight:
    """One scrape of one event that any number of callers wait for."""

    def __init__(self, asked: Iterable[str]) -> None:
        self.asked = sorted(asked)
        self.done = trio.Event()
        self.changes: list[Change] = []
        self.sources: list[FetchOutcome] = []
        self.revision = 0


class Refresher:
    """Refreshes events in a nursery of the service: concurrent calls for one share one scrape.

    A caller that is cancelled cancels neither the scrape nor the others that wait for it.
    """

    def __init__(
        self,
        cache: OddsCache,
        detector: Detector,
        writer: Commits,
        queue: WriteQueue,
        scrapers: Mapping[str, Scraper],
        nursery: trio.Nursery,
    ) -> None:
        self._cache = cache
        self._detector = detector
        self._writer = writer
        self._queue = queue
        self._scrapers = scrapers
        self._nursery = nursery
        self._flights: dict[str, _Flight] = {}

    async def refresh(self, event_id: str, deadline_s: float) -> RefreshOutcome:
        """Scrape the event from all its sources, and return once that is committed.

        Raises UnknownEvent; NotDurableYet when `deadline_s` ran out before the commit (what was
        scraped is served, and stays queued); NotFetchedYet when it ran out before the scrape ended
        (it goes on). A source that fails is named in the reply.
        """
        flight = self._flights.get(event_id)
        if flight is None:
            entry = self._cache.events.get(event_id)
            if entry is None:
                raise UnknownEvent(f"event {event_id!r} is not known")
            flight = self._flights[event_id] = _Flight(entry.sources)
            self._nursery.start_soon(self._fly, event_id, dict(entry.sources), flight)
        with trio.move_on_after(deadline_s) as scope:
            await flight.done.wait()
            await self._writer.committed(flight.revision)
        cut = self._cache.view([event_id])
        if scope.cancelled_caught and not flight.done.is_set():
            answered = {each.source for each in flight.sources}
            late = [source for source in flight.asked if source not in answered]
            # What was applied already lies before the head, what is still to come after it.
            raise NotFetchedYet(cut.cursor.epoch, cut.cursor.revision, late)
        if scope.cancelled_caught:
            raise NotDurableYet(cut.cursor.epoch, flight.revision)
        snapshot_ids = {
            (change.source, change.bookmaker): change.snapshot_id
            for change in flight.changes
            if isinstance(change, MarketChange)
        }
        for entry in cut.events.values():
            for key, odds in entry.bookmakers.items():
                if odds.snapshot_id <= cut.durable_revision:  # else a later scrape's
                    snapshot_ids[key] = odds.snapshot_id
        return RefreshOutcome(flight.revision, flight.changes, snapshot_ids, flight.sources)

    async def _fly(
        self, event_id: str, sources: Mapping[str, EventSource], flight: _Flight
    ) -> None:
        try:
            async with trio.open_nursery() as nursery:
                for carried in sources.values():
                    nursery.start_soon(self._refresh_from, carried, flight)
        finally:
            flight.changes.sort(key=lambda change: change.revision)
            flight.revision = max(flight.revision, self._last_known(event_id))
            del self._flights[event_id]
            flight.done.set()

    async def _refresh_from(self, carried: EventSource, flight: _Flight) -> None:
        began = trio.current_time()
        scraper = self._scrapers.get(carried.source)
        if scraper is None:
            kind, reason = "not_configured", "this source is not configured any more"
            flight.sources.append(FetchOutcome(carried.source, kind, reason))
            return
        try:
            observation = await scraper.fetch_event(carried.source_event_id, carried.listing)
        except SourceError as error:  # it was not asked: no failure of the source
            took_s = trio.current_time() - began
            kind = reason_word(error.kind)
            flight.sources.append(FetchOutcome(carried.source, kind, str(error), took_s))
            return
        took_s = trio.current_time() - began
        applied = await self._detector.observe(observation)
        self._queue.record(scrape_run(Fetched("refresh", observation), applied))
        failure = applied.observation.failure
        reason = applied.observation.reason if failure else ""
        flight.sources.append(FetchOutcome(carried.source, failure, reason, took_s))
        flight.changes += applied.changes
        if applied.changes:
            flight.revision = max(flight.revision, applied.changes[-1].revision)

    def _last_known(self, event_id: str) -> int:
        """The newest revision among the event's odds: what a caller may read must be durable."""
        entry = self._cache.events.get(event_id)
        if entry is None:
            return 0
        return max((odds.snapshot_id for odds in entry.bookmakers.values()), default=0)
