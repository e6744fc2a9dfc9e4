"""Events and markets as of a recent revision: cached values with later changes undone.

A filter on start times or statuses needs each event as of the change, not as of now.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, TypeVar

from odds_service.cache import OddsCache
from odds_service.feed import ChangeFeed
from odds_service.filters.filtering import Captured, Place
from odds_service.model.change import Change, Commit, EventChange, MarketChange, SourceChange
from odds_service.model.event import Event
from odds_service.model.fold import EventFold
from odds_service.model.snapshot import EventOdds

T = TypeVar("T")

_BATCHES: Final = 256  # the most commits read at once under the feed's lock


class Timeline:
    """An index by event of the changes in the feed's ring; for use on the server's loop only.

    The index is extended only on request, so it costs nothing until a filter needs it.
    """

    def __init__(self, cache: OddsCache, feed: ChangeFeed) -> None:
        self._cache = cache
        self._feed = feed
        self._before: dict[str, list[tuple[int, Event | None]]] = {}
        self._changes: dict[str, list[EventChange | MarketChange]] = {}
        self._replaced: dict[int, int] = {}
        self._read_to = feed.oldest_revision - 1
        self._forgotten_to = self._read_to

    def events_at(self, revision: int, event_ids: Collection[str]) -> dict[str, Event]:
        """Return events as of a revision; the ring must still reach back to it."""
        cached = self._cache.view(event_ids)
        self._extend(cached.cursor.revision)
        found = {}
        for event_id in event_ids:
            event = self._event_at(revision, event_id, cached.events)
            if event is not None:
                found[event_id] = event
        return found

    def markets_at(self, revision: int, event_id: str) -> dict[Place, Captured] | None:
        """Return an event's markets as of a revision, or None if the ring begins after it."""
        cached = self._cache.view([event_id])
        self._extend(cached.cursor.revision)
        if revision < self._feed.oldest_revision - 1:
            return None
        changes = self._changes.get(event_id, [])
        begin = bisect_right(changes, revision, key=lambda change: change.revision)
        # Changes read beyond the view are not in its entry, so they need no undoing.
        end = bisect_right(changes, cached.cursor.revision, key=lambda change: change.revision)
        entry = cached.events.get(event_id)
        return markets_at(entry, changes[begin:end], event_id, self._replaced)

    def _event_at(
        self, revision: int, event_id: str, current: Mapping[str, EventOdds]
    ) -> Event | None:
        later = self._before.get(event_id, ())
        place = bisect_right(later, revision, key=lambda change: change[0])
        if place < len(later):
            return later[place][1]
        entry = current.get(event_id)
        return None if entry is None else entry.event

    def _extend(self, revision: int) -> None:
        """Extend the index up to a revision, and forget changes that have left the ring."""
        while self._read_to < revision:
            batches = self._feed.read_after(self._read_to, _BATCHES)
            if batches is None:  # trimmed in the meantime; nobody can ask for those changes now
                self._read_to = self._feed.oldest_revision - 1
                continue
            for batch in batches:
                self._add(batch)
        oldest = self._feed.oldest_revision
        if oldest - self._forgotten_to > self._feed.capacity // 8:
            self._forgotten_to = oldest
            self._replaced = {at: old for at, old in self._replaced.items() if at >= oldest}
            self._before = _since(oldest, self._before, lambda change: change[0])
            self._changes = _since(oldest, self._changes, lambda change: change.revision)

    def _add(self, batch: Commit) -> None:
        self._replaced.update(batch.replaced)
        for change in batch.changes:
            if isinstance(change, SourceChange) or change.revision <= self._read_to:
                continue
            self._changes.setdefault(change.event_id, []).append(change)
            if isinstance(change, EventChange):
                self._before.setdefault(change.event_id, []).append(
                    (change.revision, change.before)
                )
        self._read_to = batch.last_revision


def _since(
    oldest: int, listed: dict[str, list[T]], revision_of: Callable[[T], int]
) -> dict[str, list[T]]:
    return {
        event_id: changes[bisect_left(changes, oldest, key=revision_of) :]
        for event_id, changes in listed.items()
        if revision_of(changes[-1]) >= oldest
    }


def markets_at(
    entry: EventOdds | None,
    later: Sequence[Change],
    event_id: str,
    replaced: Mapping[int, int],
) -> dict[Place, Captured]:
    """Return an event's markets as they were before some later changes, by undoing these.

    Args:
        entry: The current entry of the event, or None if it has none.
        later: All changes after the wanted revision that the entry includes, in order; changes of
            other events are ignored.
        event_id: The event.
        replaced: The snapshot ids that these changes replaced, as in `Commit.replaced`.
    """
    fold = EventFold(entry)
    for change in reversed(later):
        if not isinstance(change, SourceChange) and change.event_id == event_id:
            fold.undo(change, replaced)
    return {
        (*whose, key): Captured(market, shown.snapshot_id)
        for whose, shown in fold.bookmakers.items()
        for key, market in shown.markets.items()
    }
