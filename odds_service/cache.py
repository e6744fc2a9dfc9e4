"""The latest odds in memory; written by detect or by a follower, read from any thread."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from odds_service.feed import ChangeFeed, Epochs
from odds_service.model.change import Commit
from odds_service.model.cursor import Cursor
from odds_service.model.snapshot import EventOdds
from odds_service.model.source import SourceState


class CacheView(Struct, frozen=True):
    """A consistent copy of the cache: the state of the log at `cursor`.

    Attributes:
        events: Event id -> odds; the dict belongs to the reader, its immutable values are shared.
    """

    cursor: Cursor
    durable_revision: int
    events: dict[str, EventOdds]
    sources: dict[str, SourceState]

    def count_markets(self) -> int:
        """Return the number of markets of all bookmakers."""
        return sum(
            len(odds.markets)
            for entry in self.events.values()
            for odds in entry.bookmakers.values()
        )


class OddsCache:
    """Events by id and sources by name.

    One writer changes it: detect, or the follower of a read node. The values are immutable, so a
    view is a shallow copy. It is made under the feed's lock: values, head revision and the feed's
    entry change together.
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
        self.version = 0  # counts swaps; may be read from any thread

    @property
    def events(self) -> Mapping[str, EventOdds]:
        """The live mapping, for its only writer; other threads take a view."""
        return self._events

    @property
    def sources(self) -> Mapping[str, SourceState]:
        """The live mapping, for its only writer; other threads take a view."""
        return self._sources

    def swap(
        self,
        entries: Mapping[str, EventOdds | None],
        sources: Mapping[str, SourceState],
        batch: Commit | None,
        detected_at: datetime,
    ) -> None:
        """Replace entries and sources, and publish the commit that they come from.

        Args:
            entries: Event id -> its new odds, or None to remove it.
            sources: Name -> its new state.
            batch: The commit; None if there are no numbered changes.
            detected_at: The time stamp of the commit.
        """
        commits = () if batch is None else (batch,)
        self.swap_all(entries, sources, commits, detected_at)

    def swap_all(
        self,
        entries: Mapping[str, EventOdds | None],
        sources: Mapping[str, SourceState],
        commits: Sequence[Commit],
        detected_at: datetime,
    ) -> None:
        """Like swap(), with any number of commits, of which `detected_at` stamps the last."""
        gone = [event_id for event_id, odds in entries.items() if odds is None]
        fresh = {event_id: odds for event_id, odds in entries.items() if odds is not None}
        with self._lock:
            self._events.update(fresh)
            for event_id in gone:
                self._events.pop(event_id, None)
            self._sources.update(sources)
            self.version += 1
            for commit in commits:
                self._feed.append_locked(commit, detected_at)
        if commits:
            self._feed.wake()

    def open_epoch(self, epochs: Epochs) -> None:
        """Open the last of these epochs, which begins behind the head; the odds stay."""
        with self._lock:
            self._feed.open_epoch_locked(epochs)
            self.version += 1
        self._feed.wake()

    def adopt(self, other: "OddsCache") -> None:
        """Take over all odds and the log of another cache in one step; nobody else uses it."""
        with self._lock:
            self._events, self._sources = other._events, other._sources
            self._feed.adopt_locked(other._feed)
            self.version += 1
        self._feed.wake()

    def drop_source(self, name: str) -> None:
        """Forget the state of a source that has left the settings."""
        with self._lock:
            self._sources.pop(name, None)
            self.version += 1

    def view(self, event_ids: Iterable[str] | None = None) -> CacheView:
        """Return a consistent view of all or the given events; unknown ids are left out."""
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
