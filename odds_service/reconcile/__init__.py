"""Which source events are one event.

A source event is placed by what it shows: by an id that several sources use, else by sport, start
and names (`pairs`). What is one event is decided anew, whenever something of it changes, from what
all sources show at the time (`grouping`), so it does not depend on who came first; only the
event's id does, which stays what it was (`naming`).
"""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from odds_service.model.match import Match, Move, Placed, ShownEvent, SourceRef
from odds_service.model.observation import Completeness, Observation, ObservedEvent
from odds_service.model.snapshot import EventOdds
from odds_service.reconcile.grouping import Group, group
from odds_service.reconcile.index import FixtureIndex
from odds_service.reconcile.naming import name_groups
from odds_service.reconcile.pairs import LIKE, MARGIN, Fixture, Likeness, compare, fixture, swapped

_REMEMBERED: Final = 50_000  # source events that went, with the id of the event that they were


class Reconciler:
    """Knows what the sources show of their events, and places each in one of ours.

    It stands beside the cache: made from what the cache was warmed with, told of every observation
    before that is compared (`place`), and of what detection found gone (`forget`).
    """

    def __init__(self, events: Iterable[EventOdds] = ()) -> None:
        self._placed: dict[SourceRef, Placed] = {}
        self._members: dict[str, set[SourceRef]] = {}
        self._former: dict[SourceRef, str] = {}
        self._fixtures: dict[SourceRef, Fixture] = {}
        self._index = FixtureIndex()
        self._links: dict[SourceRef, set[SourceRef]] = {}  # all that may bear on each other
        self._alike: dict[SourceRef, dict[SourceRef, Likeness]] = {}
        self._crossed: dict[SourceRef, set[SourceRef]] = {}
        self._dirty: set[SourceRef] = set()
        for entry in events:
            for carried in entry.sources.values():
                ref = carried.source, carried.source_event_id
                self._put(ref, Placed(entry.event.id, carried.shown, carried.match))
                if carried.shown is not None:
                    self._add(fixture(ref, carried.shown))

    def placed(self, source: str, observed: ObservedEvent) -> Placed:
        """Where a source event stands that was in the last observation placed."""
        return self._placed[source, observed.source_event_id]

    def place(self, observation: Observation, events: Mapping[str, EventOdds]) -> list[Move]:
        """Take in what a source shows; gives what else is placed otherwise because of that.

        events: those of the cache. The moves are of source events that the cache has; those of
        this very observation only where they change the event.
        """
        shown = self._take_in(observation, events)
        if not self._dirty:
            return []
        return self._settle(shown)

    def forget(self, refs: Iterable[SourceRef]) -> None:
        """These are gone; what they kept apart, or joined, is settled by the next `place`."""
        for ref in refs:
            placed = self._placed.get(ref)
            if placed is None:
                continue
            self._leave(ref, placed.event_id)
            del self._placed[ref]
            if len(self._former) >= _REMEMBERED:
                del self._former[next(iter(self._former))]
            self._former[ref] = placed.event_id
            known = self._fixtures.get(ref)
            if known is not None:
                self._dirty |= self._remove(known)
            self._dirty.discard(ref)

    def _put(self, ref: SourceRef, placed: Placed) -> None:
        before = self._placed.get(ref)
        if before is not None and before.event_id != placed.event_id:
            self._leave(ref, before.event_id)
        self._placed[ref] = placed
        if placed.event_id:
            self._members.setdefault(placed.event_id, set()).add(ref)

    def _leave(self, ref: SourceRef, event_id: str) -> None:
        members = self._members.get(event_id)
        if members is not None:
            members.discard(ref)
            if not members:
                del self._members[event_id]

    def _take_in(self, observation: Observation, events: Mapping[str, EventOdds]) -> set[SourceRef]:
        seen: set[SourceRef] = set()
        if observation.completeness is Completeness.FAILED:
            return seen
        for observed in observation.events:
            ref = observation.source, observed.source_event_id
            if ref in seen or self._is_late(ref, observation, events):
                continue
            seen.add(ref)
            before = self._placed.get(ref)
            known = None if before is None else before.shown
            if known is not None and _same(known, observed):
                continue
            shown = _shown(known, observed)
            self._put(ref, replace(before or Placed(""), shown=shown))
            if ref in self._fixtures:
                self._dirty |= self._remove(self._fixtures[ref])
            self._dirty |= self._add(fixture(ref, shown))
        return seen

    def _is_late(
        self, ref: SourceRef, observation: Observation, events: Mapping[str, EventOdds]
    ) -> bool:
        """Whether detection will discard it, being older than what is known."""
        placed = self._placed.get(ref)
        entry = None if placed is None else events.get(placed.event_id)
        carried = None if entry is None else entry.sources.get(ref[0])
        applied = None if carried is None else carried.applied
        return applied is not None and observation.sequence < applied

    def _add(self, fresh: Fixture) -> set[SourceRef]:
        """Link a fixture to all that bear on it; gives itself."""
        ref = fresh.ref
        self._fixtures[ref] = fresh
        links = self._links[ref] = set()
        for other in self._index.candidates(fresh):
            theirs = self._fixtures[other]
            if other[0] == ref[0]:
                continue  # of one source: they bear on each other by way of a third
            alike = compare(fresh, theirs)
            if alike is not None and alike.score >= LIKE - MARGIN:
                self._alike.setdefault(ref, {})[other] = alike
                self._alike.setdefault(other, {})[ref] = alike
            elif swapped(fresh, theirs):
                self._crossed.setdefault(ref, set()).add(other)
                self._crossed.setdefault(other, set()).add(ref)
            elif not fresh.ids.items() & theirs.ids.items():
                continue
            links.add(other)
            self._links[other].add(ref)
        self._index.add(fresh)
        return {ref}

    def _remove(self, known: Fixture) -> set[SourceRef]:
        """Undo `_add`; gives what was linked."""
        ref = known.ref
        del self._fixtures[ref]
        self._index.discard(known)
        self._alike.pop(ref, None)
        self._crossed.pop(ref, None)
        links = self._links.pop(ref)
        for other in links:
            self._links[other].discard(ref)
            self._alike.get(other, {}).pop(ref, None)
            self._crossed.get(other, set()).discard(ref)
        return links

    def _settle(self, shown: set[SourceRef]) -> list[Move]:
        groups: list[Group] = []
        matches: dict[SourceRef, Match] = {}
        left = self._dirty
        self._dirty = set()
        while left:
            linked = self._linked(next(iter(left)))
            left -= linked
            for members, of_members in group(linked, self._fixtures, self._alike, self._crossed):
                groups.append(members)
                matches |= of_members
        groups.sort(key=sorted)
        ids = name_groups(
            groups,
            {ref: id_ for members in groups for ref, id_ in self._ids_of(members).items()},
            self._fixtures,
            lambda event_id: not self._members.get(event_id, set()) <= matches.keys(),
        )
        moves = []
        for members, event_id in zip(groups, ids, strict=True):
            for ref in sorted(members):
                before = self._placed[ref]
                after = replace(before, event_id=event_id, match=matches[ref])
                self._put(ref, after)
                self._former.pop(ref, None)
                elsewhere = after.event_id != before.event_id
                if before.event_id and (elsewhere or (ref not in shown and after != before)):
                    moves.append(Move(ref, before.event_id, after))
        return moves

    def _ids_of(self, members: Group) -> dict[SourceRef, str]:
        """The ids that they have; where none has one, those that they had when they were there."""
        current = {ref: self._placed[ref].event_id for ref in members}
        if not any(current.values()):
            current = {ref: self._former.get(ref, "") for ref in members}
        return {ref: event_id for ref, event_id in current.items() if event_id}

    def _linked(self, ref: SourceRef) -> set[SourceRef]:
        """All that can be reached from it by links."""
        found = {ref}
        ahead = [ref]
        while ahead:
            for other in self._links[ahead.pop()] - found:
                found.add(other)
                ahead.append(other)
        return found


def _same(known: ShownEvent, observed: ObservedEvent) -> bool:
    return (
        known.start_time == observed.start_time
        and known.home == observed.home
        and known.away == observed.away
        and known.sport == observed.sport
        and known.competition == observed.competition
        and known.shared_ids == observed.shared_ids
    )


def _shown(known: ShownEvent | None, observed: ObservedEvent) -> ShownEvent:
    return ShownEvent(
        observed.sport,
        observed.competition,
        observed.home,
        observed.away,
        observed.start_time,
        observed.start_time if known is None else known.first_start,
        dict(observed.shared_ids),
    )
