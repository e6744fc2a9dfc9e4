"""Ghosts: departed source events, kept while another event could be mistaken for them."""

import heapq
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from odds_service.model.match import SourceRef
from odds_service.model.snapshot import EventSource
from odds_service.reconcile.pairs import Fixture, same_sides

MOST: Final = 50_000  # ghosts; beyond it, the earliest departures are forgotten
# Until a game is over, another source may still show it, so the next game of the same sides could
# be mistaken for it.
LONGEST: Final = timedelta(hours=12)  # duration of a game, delays included


class Ghost(Struct, frozen=True):
    """A departed source event, with the event that it belonged to."""

    event_id: str
    carried: EventSource

    @property
    def ref(self) -> SourceRef:
        return self.carried.source, self.carried.source_event_id


class Ghosts:
    """All ghosts, by source event, by event and by expiry time."""

    def __init__(self) -> None:
        self._by_ref: dict[SourceRef, Ghost] = {}
        self._of_event: dict[str, set[SourceRef]] = {}
        self._end_of: dict[SourceRef, datetime] = {}
        self._ends: list[tuple[datetime, SourceRef]] = []

    def __len__(self) -> int:
        return len(self._by_ref)

    def __contains__(self, ref: SourceRef) -> bool:
        return ref in self._by_ref

    def get(self, ref: SourceRef) -> Ghost | None:
        return self._by_ref.get(ref)

    def of_event(self, event_id: str) -> tuple[SourceRef, ...]:
        """Return the source events that departed from an event, sorted."""
        found = self._of_event.get(event_id)
        return tuple(sorted(found)) if found else ()

    def add(self, ghost: Ghost, fixture: Fixture) -> None:
        """Keep a ghost until the same sides may meet again, plus the duration of a game."""
        self._by_ref[ghost.ref] = ghost
        self._of_event.setdefault(ghost.event_id, set()).add(ghost.ref)
        shown = ghost.carried.shown
        start = fixture.starts[-1] if shown is None else shown.start_time
        end = self._end_of[ghost.ref] = start + same_sides(fixture) + LONGEST
        heapq.heappush(self._ends, (end, ghost.ref))

    def move(self, ref: SourceRef, event_id: str) -> Ghost:
        """Move a ghost to another event, after the rest of its event."""
        before = self._by_ref[ref]
        self._leave(before)
        moved = self._by_ref[ref] = Ghost(event_id, before.carried)
        self._of_event.setdefault(event_id, set()).add(ref)
        return moved

    def discard(self, ref: SourceRef) -> Ghost | None:
        """Forget a ghost and return it, or None if there is none."""
        ghost = self._by_ref.pop(ref, None)
        if ghost is not None:
            self._leave(ghost)
            del self._end_of[ref]
        return ghost

    def over(self, now: datetime) -> list[SourceRef]:
        """Return the ghosts that have expired by `now`, and the earliest ones in excess of MOST."""
        found: set[SourceRef] = set()
        while self._ends and self._ends[0][0] < now:
            end, ref = heapq.heappop(self._ends)
            if self._end_of.get(ref) == end:  # otherwise the event returned and departed again
                found.add(ref)
        excess = len(self._by_ref) - len(found) - MOST
        if excess > 0:
            left = (ghost for ghost in self._by_ref.values() if ghost.ref not in found)
            found |= {ghost.ref for ghost in heapq.nsmallest(excess, left, key=departed_at)}
        if len(self._ends) > 2 * len(self._by_ref) + _SPARE:
            self._ends = [(end, ref) for ref, end in self._end_of.items()]
            heapq.heapify(self._ends)
        return sorted(found)

    def _leave(self, ghost: Ghost) -> None:
        others = self._of_event[ghost.event_id]
        others.discard(ghost.ref)
        if not others:
            del self._of_event[ghost.event_id]


_SPARE: Final = 1000


def departed_at(ghost: Ghost) -> tuple[datetime, SourceRef]:
    """Return a key that sorts ghosts by departure."""
    at = ghost.carried.departed_at
    if at is None:
        raise AssertionError(f"{ghost.ref} has not departed")
    return at, ghost.ref
