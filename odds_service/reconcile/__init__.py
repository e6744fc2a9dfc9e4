"""Which source events are one event.

A source event is placed by what it shows: by an id that several sources use, else by sport, start
and names (`pairs`). What is one event is decided anew, whenever something of it changes, from what
is stored of all sources (`grouping`): what they show, what they showed shortly before (`ghosts`),
and which are in one event now. So it depends neither on who came first nor on a restart; the
event's id stays what it was (`naming`).
"""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from odds_service.model.event import EventStatus
from odds_service.model.match import Match, Move, Placed, ShownEvent, SourceRef
from odds_service.model.observation import Completeness, Observation, ObservedEvent
from odds_service.model.snapshot import EventOdds, EventSource
from odds_service.reconcile.ghosts import Ghost, Ghosts, departed_at
from odds_service.reconcile.grouping import Group, group
from odds_service.reconcile.index import FixtureIndex
from odds_service.reconcile.naming import name_groups
from odds_service.reconcile.pairs import (
    LIKE,
    MARGIN,
    Fixture,
    Likeness,
    compare,
    fixture,
    succeeds,
    swapped,
)


class Reconciler:
    """Knows what the sources show of their events, and places each in one of ours.

    It stands beside the cache: made from what the cache was warmed with, told of every observation
    before that is compared (`place`), and of what detection found gone (`forget`).

    events: those of the cache. ghosts: (event id, source event that departed from it), as stored;
    of one source event the latest stands.
    """

    def __init__(
        self, events: Iterable[EventOdds] = (), ghosts: Iterable[tuple[str, EventSource]] = ()
    ) -> None:
        self._placed: dict[SourceRef, Placed] = {}
        self._members: dict[str, set[SourceRef]] = {}
        self._former: dict[SourceRef, str] = {}  # of those to be settled that come after a ghost
        self._fixtures: dict[SourceRef, Fixture] = {}
        self._index = FixtureIndex()
        self._links: dict[SourceRef, set[SourceRef]] = {}  # all that may bear on each other
        self._alike: dict[SourceRef, dict[SourceRef, Likeness]] = {}
        self._crossed: dict[SourceRef, set[SourceRef]] = {}
        self._dirty: set[SourceRef] = set()
        self._ghosts = Ghosts()
        self._unstored: list[tuple[str, EventSource]] = []
        for entry in events:
            for carried in entry.sources.values():
                ref = carried.source, carried.source_event_id
                self._put(ref, Placed(entry.event.id, carried.shown, carried.match))
                if carried.shown is not None:
                    self._add(fixture(ref, carried.shown, carried.told))
        latest: dict[SourceRef, Ghost] = {}
        for event_id, carried in ghosts:
            ghost = Ghost(event_id, carried)
            known = latest.get(ghost.ref)
            if known is None or departed_at(known) < departed_at(ghost):
                latest[ghost.ref] = ghost
        for ref, ghost in latest.items():
            if ref not in self._placed:
                self._remember(ghost)
        self._thin(self._dirty)  # a store keeps the rows of those too that are replaced

    @property
    def remembered(self) -> int:
        """The number of source events that departed and are not forgotten yet."""
        return len(self._ghosts)

    def placed(self, source: str, observed: ObservedEvent) -> Placed:
        """Where a source event stands that was in the last observation placed."""
        return self._placed[source, observed.source_event_id]

    def place(self, observation: Observation, events: Mapping[str, EventOdds]) -> list[Move]:
        """Take in what a source shows; gives what else is placed otherwise because of that.

        events: those of the cache. The moves are of source events that the cache has; those of
        this very observation only where they change the event.
        """
        for ref in self._ghosts.over(observation.observed_at):
            self._lay(ref)
        shown = self._take_in(observation, events)
        if not self._dirty:
            return []
        return self._settle(shown)

    def forget(self, departed: Iterable[EventSource]) -> None:
        """Their sources show these no more; what they kept apart is settled by the next `place`.

        One that has departed_at is remembered in its event, until the same sides may meet again.
        """
        left: set[SourceRef] = set()
        for carried in departed:
            ref = carried.source, carried.source_event_id
            placed = self._placed.get(ref)
            if placed is None:
                continue
            self._leave(ref, placed.event_id)
            del self._placed[ref]
            known = self._fixtures.get(ref)
            if known is not None:
                self._dirty |= self._remove(known)
            self._dirty.discard(ref)
            if carried.departed_at is not None and carried.shown is not None:
                ghost = Ghost(placed.event_id, carried)
                self._remember(ghost)
                left.add(ghost.ref)
        self._thin(left)

    def unstored(self) -> list[tuple[str, EventSource]]:
        """Give and forget what the last `place` changed of ghosts: (event id, row of it).

        A row without `shown` is that of a ghost that stands elsewhere now, or nowhere; any batch
        takes it along. The others belong to events that the moves of that `place` change.
        """
        found, self._unstored = self._unstored, []
        return [
            (event_id, carried)
            for event_id, carried in found
            if carried.shown is not None or carried.source not in self._sources_of(event_id)
        ]

    def _sources_of(self, event_id: str) -> set[str]:
        """The sources that have a row of an event: it is shown there, or was."""
        refs = (*self._members.get(event_id, ()), *self._ghosts.of_event(event_id))
        return {source for source, _ in refs}

    def _remember(self, ghost: Ghost) -> None:
        carried = ghost.carried
        if carried.shown is None or carried.departed_at is None:
            return
        known = fixture(ghost.ref, carried.shown, carried.told, carried.departed_at)
        self._ghosts.add(ghost, known)
        self._dirty |= self._add(known)

    def _lay(self, ref: SourceRef) -> Ghost | None:
        """Forget a ghost; what it kept apart is settled anew."""
        ghost = self._ghosts.discard(ref)
        if ghost is not None:
            self._dirty |= self._remove(self._fixtures[ref])
            self._dirty |= self._members.get(ghost.event_id, set()) & self._fixtures.keys()
            self._dirty.discard(ref)
        return ghost

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
                self._hear(ref, observed.status)
                continue
            ghost = None if before is not None else self._lay(ref)
            if ghost is not None:
                known = ghost.carried.shown
                self._former[ref] = ghost.event_id
            shown = _shown(known, observed)
            self._put(ref, replace(before or Placed(""), shown=shown))
            if ref in self._fixtures:
                self._dirty |= self._remove(self._fixtures[ref])
            self._dirty |= self._add(fixture(ref, shown, observed.status))
        return seen

    def _hear(self, ref: SourceRef, told: EventStatus | None) -> None:
        """Take in the status that a source tells of an event that it shows as before."""
        known = self._fixtures[ref]
        if known.told is not told:
            self._fixtures[ref] = replace(known, told=told)
            if self._links[ref]:
                self._dirty.add(ref)

    def _is_late(
        self, ref: SourceRef, observation: Observation, events: Mapping[str, EventOdds]
    ) -> bool:
        """Return whether detection will discard it, being older than what is known."""
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
                # Of one source: they bear on each other by way of a third, else by succession.
                if other != ref and succeeds(fresh, theirs):
                    links.add(other)
                    self._links[other].add(ref)
                continue
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
            found = self._group(linked)
            ended = self._replaced(members for members, _ in found)
            if ended:
                found = self._group(linked - ended)
            for members, of_members in found:
                if not all(ref in self._ghosts for ref in members):
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
                if ref in self._ghosts:
                    continue
                before = self._placed[ref]
                after = replace(before, event_id=event_id, match=matches[ref])
                self._put(ref, after)
                self._former.pop(ref, None)
                elsewhere = after.event_id != before.event_id
                if elsewhere and self._ghosts.of_event(event_id):
                    self._dirty.add(ref)  # beside a ghost now, which may settle another's doubt
                if before.event_id and (elsewhere or (ref not in shown and after != before)):
                    moves.append(Move(ref, before.event_id, after))
        self._follow(moves)
        for event_id in set(ids):
            self._make_room(event_id)
        return moves

    def _event_of(self, ref: SourceRef) -> str:
        """The event that a source event is in, or was in when it departed."""
        ghost = self._ghosts.get(ref)
        return self._placed[ref].event_id if ghost is None else ghost.event_id

    def _group(self, linked: set[SourceRef]) -> list[tuple[Group, dict[SourceRef, Match]]]:
        at_present = {ref: self._event_of(ref) for ref in linked}
        return group(linked, self._fixtures, self._alike, self._crossed, at_present)

    def _thin(self, ghosts: Iterable[SourceRef]) -> None:
        """End those in whose place their source shows something else already."""
        left = set(ghosts)
        while left:
            linked = self._linked(next(iter(left)))
            left -= linked
            self._replaced(members for members, _ in self._group(linked))

    def _replaced(self, groups: Iterable[Group]) -> set[SourceRef]:
        """End the ghosts whose place something later of their source has taken; gives them.

        What has the place has the event's id too, where it has none of its own.
        """
        ended: set[SourceRef] = set()
        for members in groups:
            ghosts = [ghost for ref in members if (ghost := self._ghosts.get(ref)) is not None]
            ghosts.sort(key=departed_at, reverse=True)
            last = {ref[0]: ref for ref in members if ref not in self._ghosts}
            for ghost in ghosts:
                heir = last.setdefault(ghost.carried.source, ghost.ref)
                if heir == ghost.ref:
                    continue
                if heir in self._placed and not self._placed[heir].event_id:
                    self._former.setdefault(heir, ghost.event_id)
                self._ghosts.discard(ghost.ref)
                self._unstored.append((ghost.event_id, replace(ghost.carried, shown=None)))
                self._dirty |= self._remove(self._fixtures[ghost.ref])
                self._dirty.discard(ghost.ref)
                ended.add(ghost.ref)
        return ended

    def _follow(self, moves: Iterable[Move]) -> None:
        """Let the ghosts of an event that went over into another go over too."""
        left: dict[str, set[str]] = {}
        for move in moves:
            left.setdefault(move.from_event, set()).add(move.placed.event_id)
        for event_id, targets in left.items():
            if event_id in self._members or len(targets) > 1:
                continue
            (target,) = targets
            there = self._sources_of(target)
            for ref in self._ghosts.of_event(event_id):
                ghost = self._ghosts.get(ref)
                if ghost is None:
                    continue
                if ref[0] in there:
                    self._lay(ref)
                else:
                    self._ghosts.move(ref, target)
                    self._dirty.add(ref)
                    self._unstored.append((target, ghost.carried))
                self._unstored.append((event_id, replace(ghost.carried, shown=None)))

    def _make_room(self, event_id: str) -> None:
        """End the ghosts in whose place their sources show something else in the same event."""
        ghosts = self._ghosts.of_event(event_id)
        if ghosts:
            shown = {ref[0] for ref in self._members.get(event_id, ())}
            for ref in ghosts:
                if ref[0] in shown:
                    self._lay(ref)

    def _ids_of(self, members: Group) -> dict[SourceRef, str]:
        """The ids that they have; where none has one, those that they had when they were there."""
        shown = [ref for ref in members if ref not in self._ghosts]
        current = {ref: self._placed[ref].event_id for ref in shown}
        if not any(current.values()):
            current = {ref: self._former.get(ref, "") for ref in shown}
        if not any(current.values()):
            current = {ref: self._event_of(ref) for ref in members}
        return {ref: event_id for ref, event_id in current.items() if event_id}

    def _linked(self, ref: SourceRef) -> set[SourceRef]:
        """All that can be reached from it by links, and by ghosts in an event with others."""
        found = {ref}
        ahead = [ref]
        while ahead:
            at = ahead.pop()
            others = self._links[at]
            event_id = self._event_of(at)
            ghosts = self._ghosts.of_event(event_id) if event_id else ()
            if ghosts:
                mates = {mate for mate in self._members.get(event_id, ()) if mate in self._links}
                others = others | mates | set(ghosts)
            for other in others - found:
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
