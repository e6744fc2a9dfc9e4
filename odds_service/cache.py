"""The latest odds of everything, in memory: written by detect alone, read from any thread."""

import threading
from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct

from odds_service.feed import ChangeFeed
from odds_service.model.change import Commit
from odds_service.model.cursor import Cursor
from odds_service.model.snapshot import EventOdds
from odds_service.model.source import SourceState


class CacheView(Struct, frozen=True):
    """One consistent cut: these odds are what the log up to `cursor` gives.

    `events` is the reader's own dict of shared immutable values.
    """

    cursor: Cursor
    durable_revision: int
    events: dict[str, EventOdds]
    sources: dict[str, SourceState]


class OddsCache:
    """Events by id and sources by name.

    Only detect calls `swap`. The values are immutable, so a cut is a shallow copy, made under the
    lock that the feed shares: values, head revision and the feed's entry change together.
    """

    def __init__(
        self,
        feed: ChangeFeed,
        *,
        events: Iterable[EventOdds] = (),
        sources: Iterable[SourceState] = (),
    ) -> None:
        self._feed = feed
        self._lock: threading.Lock = feed.lock
        self._events = {odds.event.id: odds for odds in events}
        self._sources = {state.source: state for state in sources}
        self.version = 0  # of all that a cut shows but what is durable; from any thread

    @property
    def events(self) -> Mapping[str, EventOdds]:
        """The live mapping, for detect (its only writer); other threads take a cut."""
        return self._events

    @property
    def sources(self) -> Mapping[str, SourceState]:
        """The live mapping, for detect; other threads take a cut."""
        return self._sources

    def swap(
        self,
        entries: Mapping[str, EventOdds | None],
        sources: Mapping[str, SourceState],
        batch: Commit | None,
        detected_at: datetime,
    ) -> None:
        """Replace entries (None takes one out), and publish the batch that they come from."""
        gone = [event_id for event_id, odds in entries.items() if odds is None]
        fresh = {event_id: odds for event_id, odds in entries.items() if odds is not None}
        with self._lock:
            self._events.update(fresh)
            for event_id in gone:
                self._events.pop(event_id, None)
            self._sources.update(sources)
            self.version += 1
            if batch is not None:
                self._feed.append_locked(batch, detected_at)
        if batch is not None:
            self._feed.wake()

    def view(self, event_ids: Iterable[str] | None = None) -> CacheView:
        """Return a consistent view of all events, or of those named; unknown ids are left out."""
        with self._lock:
            if event_ids is None:
                events = self._events.copy()
            else:
                events = {
                    event_id: odds
                    for event_id in event_ids
                    if (odds := self._events.get(event_id)) is not None
                }
            return CacheView(
                self._feed.cursor, self._feed.durable_revision, events, self._sources.copy()
            )
