"""Source events that departed, for as long as they may be taken for another of their source."""

import heapq
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct

from odds_service.model.match import SourceRef
from odds_service.model.snapshot import EventSource
from odds_service.reconcile.pairs import Fixture, same_sides

MOST: Final = 50_000  # remembered at a time; those that departed first go first
# A game that other sources still show may be joined with its sides' next one as long as it lasts.
WHILE_SHOWN: Final = timedelta(days=1)


class Ghost(Struct, frozen=True):
    """A source event that departed, and the event that it was in."""

    event_id: str
    carried: EventSource

    @property
    def ref(self) -> SourceRef:
        return self.carried.source, self.carried.source_event_id


class Ghosts:
    """The ghosts by source event, by event and by the time that they end."""

    def __init__(self) -> None:
        self._by_ref: dict[SourceRef, Ghost] = {}
        self._of_event: dict[str, set[SourceRef]] = {}
        self._ends: list[tuple[datetime, SourceRef]] = []

    def __len__(self) -> int:
        return len(self._by_ref)

    def __contains__(self, ref: SourceRef) -> bool:
        return ref in self._by_ref

    def __iter__(self) -> Iterator[Ghost]:
        return iter(tuple(self._by_ref.values()))

    def get(self, ref: SourceRef) -> Ghost | None:
        return self._by_ref.get(ref)

    def of_event(self, event_id: str) -> tuple[SourceRef, ...]:
        """Return those that departed from an event, in order."""
        found = self._of_event.get(event_id)
        return tuple(sorted(found)) if found else ()

    def add(self, ghost: Ghost, fixture: Fixture) -> None:
        """Keep one until the same sides may meet again."""
        self._by_ref[ghost.ref] = ghost
        self._of_event.setdefault(ghost.event_id, set()).add(ghost.ref)
        heapq.heappush(self._ends, (_start(ghost, fixture) + same_sides(fixture), ghost.ref))

    def move(self, ref: SourceRef, event_id: str) -> Ghost:
        """Let one follow the others of its event to another."""
        before = self._by_ref[ref]
        self._leave(before)
        moved = self._by_ref[ref] = Ghost(event_id, before.carried)
        self._of_event.setdefault(event_id, set()).add(ref)
        return moved

    def discard(self, ref: SourceRef) -> Ghost | None:
        """Forget one, and give it."""
        ghost = self._by_ref.pop(ref, None)
        if ghost is not None:
            self._leave(ghost)
        return ghost

    def judge(self, event_id: str) -> None:
        """Let `over` look at those of an event, since the last source let go of it."""
        for ref in self._of_event.get(event_id, ()):
            heapq.heappush(self._ends, (_AT_ONCE, ref))

    def over(
        self, now: datetime, fixtures: Callable[[SourceRef], Fixture], shown: Callable[[str], bool]
    ) -> list[SourceRef]:
        """Return those whose time is over, or that are too many.

        Args:
            now: the time to judge by.
            fixtures: gives what a ghost is compared by.
            shown: tells whether a source still shows an event.
        """
        found: list[SourceRef] = []
        again: list[tuple[datetime, SourceRef]] = []
        while self._ends and self._ends[0][0] < now:
            _, ref = heapq.heappop(self._ends)
            ghost = self._by_ref.get(ref)
            if ghost is None:
                continue
            fixture = fixtures(ref)
            start = _start(ghost, fixture)
            if now <= start + same_sides(fixture):
                continue  # it came back and departed anew, and has another entry
            if now <= start + WHILE_SHOWN and shown(ghost.event_id):
                again.append((start + WHILE_SHOWN, ref))
            else:
                found.append(ref)
        for entry in again:
            heapq.heappush(self._ends, entry)
        excess = len(self._by_ref) - len(found) - MOST
        if excess > 0:
            over = set(found)
            left = (ghost for ghost in self._by_ref.values() if ghost.ref not in over)
            found += [ghost.ref for ghost in heapq.nsmallest(excess, left, key=departed_at)]
        if len(self._ends) > 2 * len(self._by_ref) + _SPARE:
            self._ends = [entry for entry in self._ends if entry[1] in self._by_ref]
            heapq.heapify(self._ends)
        return found

    def _leave(self, ghost: Ghost) -> None:
        others = self._of_event[ghost.event_id]
        others.discard(ghost.ref)
        if not others:
            del self._of_event[ghost.event_id]


_SPARE: Final = 1000
_AT_ONCE: Final = datetime.min.replace(tzinfo=UTC)


def _start(ghost: Ghost, fixture: Fixture) -> datetime:
    shown = ghost.carried.shown
    return fixture.starts[-1] if shown is None else shown.start_time


def departed_at(ghost: Ghost) -> tuple[datetime, SourceRef]:
    """Return the order of departures, for sorting."""
    at = ghost.carried.departed_at
    if at is None:
        raise AssertionError(f"{ghost.ref} has not departed")
    return at, ghost.ref
