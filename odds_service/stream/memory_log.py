"""The in-memory log, filtered by a selection."""

from collections.abc import Iterator, Sequence
from typing import Final

from odds_service.cache import OddsCache
from odds_service.feed import ChangeFeed
from odds_service.filters.filtering import Captured, Place, Selected, select
from odds_service.filters.selection import Selection
from odds_service.filters.timeline import Timeline
from odds_service.model.change import Change, Commit, SourceChange

_BATCHES: Final = 64  # the most commits per read


class LeftMemory(LookupError):
    """The changes after a revision are no longer in memory."""


class MemoryLog:
    """A reader of the selected changes in the feed's ring; for use on one thread."""

    def __init__(self, cache: OddsCache, feed: ChangeFeed) -> None:
        self._feed = feed
        self._timeline = Timeline(cache, feed)

    def after(
        self, selection: Selection, revision: int, upto: int | None = None
    ) -> tuple[Iterator[Selected], int, Sequence[Commit]]:
        """Read a bounded stretch of the log.

        Args:
            selection: The changes to choose.
            revision: The revision before the stretch.
            upto: The last revision wanted; None for the newest.

        Returns:
            The selected changes, to be consumed at once, the last revision of the stretch
            (`revision` itself at the end of the log), and the commits that the stretch touches.

        Raises:
            LeftMemory: The ring no longer reaches back so far.
        """
        batches = self._feed.read_after(revision, _BATCHES)
        if batches is None:
            raise LeftMemory(revision)
        changes = [
            change for batch in batches for change in batch.changes if change.revision > revision
        ]
        if upto is not None and changes and changes[-1].revision > upto:
            changes = [change for change in changes if change.revision <= upto]
        reached = changes[-1].revision if changes else revision
        return self._select(selection, changes, revision), reached, batches

    def _select(
        self, selection: Selection, changes: Sequence[Change], revision: int
    ) -> Iterator[Selected]:
        if not selection.by_event:
            return select(selection, changes, {}, self._markets_at)
        event_ids = {change.event_id for change in changes if not isinstance(change, SourceChange)}
        events = self._timeline.events_at(revision, event_ids)
        return select(selection, changes, events, self._markets_at)

    def _markets_at(self, event_id: str, revision: int) -> dict[Place, Captured]:
        markets = self._timeline.markets_at(revision, event_id)
        if markets is None:
            raise LeftMemory(revision)
        return markets
