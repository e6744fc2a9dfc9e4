"""The on-demand path: scrape one event now, and commit it before the reply.

It uses the same detector and writer as scheduled pulls.
"""

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
from odds_service.pipeline.scrape import Scraper, ScraperRetired


class Commits(Protocol):
    """The part of the writer that a refresh needs."""

    async def committed(self, revision: int) -> None:
        """Return once everything up to a revision is committed."""
        ...


class _Flight:
    """A scrape of an event that any number of callers wait for."""

    def __init__(self, asked: Iterable[str]) -> None:
        self.asked = sorted(asked)
        self.done = trio.Event()
        self.changes: list[Change] = []
        self.sources: list[FetchOutcome] = []
        self.revision = 0


class Refresher:
    """On-demand scrapes, which run in the service's nursery; callers for one event share a scrape.

    Cancelling a caller cancels neither the scrape nor the other callers.
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
        """Scrape an event from all its sources, and return once the result is committed.

        The result names the sources that failed.

        Args:
            event_id: our id of the event.
            deadline_s: the time limit for scrape and commit, in seconds.

        Raises:
            UnknownEvent: There is no such event.
            NotDurableYet: The deadline passed before the commit; the changes are already served and
                remain queued.
            NotFetchedYet: The deadline passed before the scrape ended; the scrape continues.

        Cancellation:
            Loses only the result; the scrape continues.
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
        cached = self._cache.view([event_id])
        if scope.cancelled_caught and not flight.done.is_set():
            answered = {each.source for each in flight.sources}
            late = [source for source in flight.asked if source not in answered]
            # Changes applied so far lie before the head, later ones after it.
            raise NotFetchedYet(cached.cursor.epoch, cached.cursor.revision, late)
        if scope.cancelled_caught:
            raise NotDurableYet(cached.cursor.epoch, flight.revision)
        snapshot_ids = {
            (change.source, change.bookmaker): change.snapshot_id
            for change in flight.changes
            if isinstance(change, MarketChange)
        }
        for entry in cached.events.values():
            for key, odds in entry.bookmakers.items():
                if odds.snapshot_id <= cached.durable_revision:  # else it belongs to a later scrape
                    snapshot_ids[key] = odds.snapshot_id
        return RefreshOutcome(flight.revision, flight.changes, snapshot_ids, flight.sources)

    async def _fly(
        self, event_id: str, sources: Mapping[str, EventSource], flight: _Flight
    ) -> None:
        try:
            async with trio.open_nursery() as nursery:
                for carried in sources.values():
                    nursery.start_soon(
                        self._refresh_from, carried, flight, name=f"refresh of {carried.source}"
                    )
        finally:
            flight.changes.sort(key=lambda change: change.revision)
            flight.revision = max(flight.revision, self._last_known(event_id))
            del self._flights[event_id]
            flight.done.set()

    async def _refresh_from(self, carried: EventSource, flight: _Flight) -> None:
        began = trio.current_time()
        while True:
            scraper = self._scrapers.get(carried.source)
            if scraper is None:
                kind, reason = "not_configured", "this source is not configured any more"
                flight.sources.append(FetchOutcome(carried.source, kind, reason))
                return
            try:
                observation = await scraper.fetch_event(carried.source_event_id, carried.listing)
            except ScraperRetired:
                continue  # a reload has put another scraper, or none, in its place
            except SourceError as error:  # nothing was requested, so the source has not failed
                took_s = trio.current_time() - began
                kind = reason_word(error.kind)
                flight.sources.append(FetchOutcome(carried.source, kind, str(error), took_s))
                return
            break
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
        """Return the newest revision of the event's odds that a caller may read."""
        entry = self._cache.events.get(event_id)
        if entry is None:
            return 0
        return max((odds.snapshot_id for odds in entry.bookmakers.values()), default=0)
