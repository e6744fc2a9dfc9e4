"""The cache of the log's owner: it tells the outbox of each swap, and of what no commit carries."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Protocol

from odds_service.cache import OddsCache
from odds_service.feed import ChangeFeed
from odds_service.model.change import Commit
from odds_service.model.snapshot import EventOdds, EventSource, Snapshot
from odds_service.model.source import SourceState

Moved = Snapshot | tuple[str, EventSource] | SourceState | str  # see messages.Freshness


class Outgoing(Protocol):
    """The part of the outbox that is told of swaps."""

    def put(self, commit: Commit) -> None:
        """Announce the next commit, which is in the ring."""
        ...

    def refresh(self, moved: Moved) -> None:
        """Record what moved without a change."""
        ...


class AnnouncedCache(OddsCache):
    """Like OddsCache; whatever a swap moves reaches the other nodes by way of the outbox.

    A swap is compared with the entries that it replaces, so nothing that a reader can see depends
    on what detect reports beside it. Left out is what only this run knows: the boot clock, the
    sequence numbers and tiers of pulls, and doubts about odds.
    """

    def __init__(
        self,
        feed: ChangeFeed,
        outbox: Outgoing,
        *,
        events: Iterable[EventOdds] = (),
        sources: Iterable[SourceState] = (),
    ) -> None:
        super().__init__(feed, events=events, sources=sources)
        self._outbox = outbox

    def swap(
        self,
        entries: Mapping[str, EventOdds | None],
        sources: Mapping[str, SourceState],
        batch: Commit | None,
        detected_at: datetime,
    ) -> None:
        """See OddsCache."""
        held, outbox = self.events, self._outbox
        moved: list[Moved] = []
        for event_id, entry in entries.items():
            before = held.get(event_id)
            if entry is not None and before is not None:  # commits carry all of a new event
                moved += _moved(event_id, before, entry)
        super().swap(entries, sources, batch, detected_at)
        if batch is not None:
            outbox.put(batch)
        for each in moved:
            outbox.refresh(each)
        for state in sources.values():
            outbox.refresh(state)

    def drop_source(self, name: str) -> None:
        """See OddsCache."""
        super().drop_source(name)
        self._outbox.refresh(name)


def _moved(event_id: str, before: EventOdds, after: EventOdds) -> Iterator[Moved]:
    """Yield what differs between two values of an event beyond what a commit carries."""
    for key, odds in after.bookmakers.items():
        known = before.bookmakers.get(key)
        if (
            known is not None
            and known is not odds
            and known.snapshot_id == odds.snapshot_id
            and (
                known.confirmed_at != odds.confirmed_at
                or known.observed_at != odds.observed_at
                or known.lagging != odds.lagging
            )
        ):
            yield odds.snapshot()
    for source, carried in after.sources.items():
        seen = before.sources.get(source)
        if seen is None or (seen is not carried and _shown(seen) != _shown(carried)):
            yield event_id, carried


def _shown(carried: EventSource) -> tuple[object, ...]:
    """Return the part of a source event that other nodes serve."""
    return (
        carried.source_event_id,
        carried.listing,
        carried.absences,
        carried.shown,
        carried.match,
        carried.told,
        carried.departed_at,
    )
