"""The reconciler, which assigns source events to events."""

from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from odds_service.model.match import Match, Move, Placed, ShownEvent, SourceRef
from odds_service.model.observation import Completeness, Observation, ObservedEvent
from odds_service.model.snapshot import EventOdds, EventSource
from odds_service.reconcile.ghosts import Ghost, Ghosts, departed_at
from odds_service.reconcile.grouping import Group, group
from odds_service.reconcile.links import Links
from odds_service.reconcile.naming import name_groups
from odds_service.reconcile.pairs import fixture
from odds_service.reconcile.places import Places

Row = tuple[str, EventSource]  # (event id, source event)


class Placement(Struct, frozen=True):
    """The places of an observation's events, and the resulting moves.

    Args:
        places: the source's id of an event -> its place, for every event of the observation.
        moves: the source events that the cache has in another event, or with another match. Events
            of the observation itself are included only if they change to another event.
        rows: changed rows of departed source events, for the next commit of odds or events.
    """

    places: Mapping[str, Placed] = {}
    moves: tuple[Move, ...] = ()
    rows: tuple[Row, ...] = ()


class Reconciler:
    """The current source events of all sources, each assigned to one of our events.

    The reconciler runs beside the cache and starts with the same events. `place` processes each
    observation before the comparison, and `forget` processes the departures after it.

    Args:
        events: the events of the cache.
        ghosts: the stored rows of departed source events, each with the id of its former event; the
            latest row of a source event counts.
    """

    def __init__(self, events: Iterable[EventOdds] = (), ghosts: Iterable[Row] = ()) -> None:
        self._places = Places()
        self._former: dict[SourceRef, str] = {}  # newcomer -> the event of its ghost
        self._links = Links()
        self._dirty: set[SourceRef] = set()  # to be regrouped by the next `place`
        self._ghosts = Ghosts()
        self._unstored: list[Row] = []
        for entry in events:
            for carried in entry.sources.values():
                ref = carried.source, carried.source_event_id
                self._places.put(ref, Placed(entry.event.id, carried.shown, carried.match))
                if carried.shown is not None:
                    self._links.add(fixture(ref, carried.shown, carried.told))
        latest: dict[SourceRef, Ghost] = {}
        for event_id, carried in ghosts:
            ghost = Ghost(event_id, carried)
            known = latest.get(ghost.ref)
            if known is None or departed_at(known) < departed_at(ghost):
                latest[ghost.ref] = ghost
        for ref, ghost in latest.items():
            if ref not in self._places.placed:
                self._remember(ghost)
        self._thin(self._dirty)  # the store also contains rows of replaced ghosts

    @property
    def remembered(self) -> int:
        """The number of ghosts."""
        return len(self._ghosts)

    def placed(self, ref: SourceRef) -> Placed:
        """Return the place of a source event of the last observation."""
        return self._places.placed[ref]

    def knows(self, ref: SourceRef) -> bool:
        """Return whether a source event is one of the current ones."""
        return ref in self._places.placed

    def place(self, observation: Observation, events: Mapping[str, EventOdds]) -> Placement:
        """Process an observation, and return its places and the resulting moves.

        Args:
            observation: a fetch, or a slice of one.
            events: the entries of the cache, by event id.
        """
        for ref in self._ghosts.over(observation.observed_at):
            self._lay(ref)
        if observation.completeness is Completeness.FAILED:
            observation = replace(observation, events=())
        seen = self._take_in(observation, events)
        moves = self._settle(seen) if self._dirty else ()
        source, placed = observation.source, self._places.placed
        places = {
            observed.source_event_id: placed[source, observed.source_event_id]
            for observed in observation.events
        }
        return Placement(places, moves, self._rows())

    def stored(self) -> None:
        """Drop the rows of the last Placement, which a commit now includes."""
        self._unstored = []

    def forget(self, departed: Iterable[EventSource]) -> None:
        """Remove departed source events.

        The next `place` regroups the source events that they were linked with. A source event with
        `departed_at` stays as a ghost of its event until the same sides may meet again.
        """
        left: set[SourceRef] = set()
        for carried in departed:
            ref = carried.source, carried.source_event_id
            placed = self._places.pop(ref)
            if placed is None:
                continue
            self._dirty |= self._links.discard(ref)
            self._dirty.discard(ref)
            if carried.departed_at is not None and carried.shown is not None:
                ghost = Ghost(placed.event_id, carried)
                self._remember(ghost)
                left.add(ghost.ref)
        self._thin(left)

    def _rows(self) -> tuple[Row, ...]:
        """Return the changed rows of ghosts that no commit includes yet.

        A row without `shown` means that the ghost has moved to another event or is gone; any commit
        may include it. The other rows belong to events that the last moves change.
        """
        return tuple(
            (event_id, carried)
            for event_id, carried in self._unstored
            if carried.shown is not None or carried.source not in self._sources_of(event_id)
        )

    def _sources_of(self, event_id: str) -> set[str]:
        """Return the sources with a row for an event, which show it or did before."""
        refs = (*self._places.of_event(event_id), *self._ghosts.of_event(event_id))
        return {source for source, _ in refs}

    def _remember(self, ghost: Ghost) -> None:
        carried = ghost.carried
        if carried.shown is None or carried.departed_at is None:
            return
        known = fixture(ghost.ref, carried.shown, carried.told, carried.departed_at)
        self._ghosts.add(ghost, known)
        self._links.add(known)
        self._dirty.add(ghost.ref)

    def _lay(self, ref: SourceRef) -> Ghost | None:
        """Forget a ghost; the next `place` regroups the source events linked with it."""
        ghost = self._ghosts.discard(ref)
        if ghost is not None:
            self._dirty |= self._links.discard(ref)
            self._dirty |= self._places.of_event(ghost.event_id) & self._links.fixtures.keys()
            self._dirty.discard(ref)
        return ghost

    def _take_in(self, observation: Observation, events: Mapping[str, EventOdds]) -> set[SourceRef]:
        """Update the fixtures of an observation's events; return the events that are not late."""
        seen: set[SourceRef] = set()
        placed = self._places.placed
        for observed in observation.events:
            ref = observation.source, observed.source_event_id
            before = placed.get(ref)
            if ref in seen or _is_late(before, observation, events):
                continue
            seen.add(ref)
            known = None if before is None else before.shown
            if known is not None and _shows_the_same(known, observed):
                if self._links.tell(ref, observed.status):
                    self._dirty.add(ref)
                continue
            ghost = None if before is not None else self._lay(ref)
            if ghost is not None:
                known = ghost.carried.shown
                self._former[ref] = ghost.event_id
            shown = _shown(known, observed)
            self._places.put(ref, replace(before or Placed(""), shown=shown))
            self._dirty |= self._links.discard(ref)
            self._links.add(fixture(ref, shown, observed.status))
            self._dirty.add(ref)
        return seen

    def _settle(self, seen: set[SourceRef]) -> tuple[Move, ...]:
        """Regroup everything dirty and return the moves; `seen` are the observation's events."""
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
            self._links.fixtures,
            lambda event_id: not self._places.of_event(event_id) <= matches.keys(),
        )
        moves = []
        for members, event_id in zip(groups, ids, strict=True):
            for ref in sorted(members):
                if ref in self._ghosts:
                    continue
                before = self._places.placed[ref]
                after = replace(before, event_id=event_id, match=matches[ref])
                self._places.put(ref, after)
                self._former.pop(ref, None)
                elsewhere = after.event_id != before.event_id
                if elsewhere and self._ghosts.of_event(event_id):
                    self._dirty.add(ref)  # now joined by a ghost, which may resolve another doubt
                if before.event_id and (elsewhere or (ref not in seen and after != before)):
                    moves.append(Move(ref, before.event_id, after))
        self._follow(moves)
        for event_id in set(ids):
            self._make_room(event_id)
        return tuple(moves)

    def _event_of(self, ref: SourceRef) -> str:
        """Return the event of a source event; after a departure, its former event."""
        ghost = self._ghosts.get(ref)
        return self._places.placed[ref].event_id if ghost is None else ghost.event_id

    def _group(self, linked: set[SourceRef]) -> list[tuple[Group, dict[SourceRef, Match]]]:
        at_present = {ref: self._event_of(ref) for ref in linked}
        links = self._links
        return group(linked, links.fixtures, links.alike, links.crossed, at_present)

    def _thin(self, ghosts: Iterable[SourceRef]) -> None:
        """Remove the ghosts that another event of their source has replaced."""
        left = set(ghosts)
        while left:
            linked = self._linked(next(iter(left)))
            left -= linked
            self._replaced(members for members, _ in self._group(linked))

    def _replaced(self, groups: Iterable[Group]) -> set[SourceRef]:
        """Remove and return the ghosts that a later event of their source has replaced.

        The newcomer inherits the event's id, unless it already has an event.
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
                placed = self._places.placed.get(heir)
                if placed is not None and not placed.event_id:
                    self._former.setdefault(heir, ghost.event_id)
                self._ghosts.discard(ghost.ref)
                self._unstored.append((ghost.event_id, replace(ghost.carried, shown=None)))
                self._dirty |= self._links.discard(ghost.ref)
                self._dirty.discard(ghost.ref)
                ended.add(ghost.ref)
        return ended

    def _follow(self, moves: Iterable[Move]) -> None:
        """Move the ghosts of an event that has moved as a whole to one other event."""
        left: dict[str, set[str]] = {}
        for move in moves:
            left.setdefault(move.from_event, set()).add(move.placed.event_id)
        for event_id, targets in left.items():
            if self._places.of_event(event_id) or len(targets) > 1:
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
        """Remove the ghosts of an event whose sources show another source event in it."""
        ghosts = self._ghosts.of_event(event_id)
        if ghosts:
            shown = {ref[0] for ref in self._places.of_event(event_id)}
            for ref in ghosts:
                if ref[0] in shown:
                    self._lay(ref)

    def _ids_of(self, members: Group) -> dict[SourceRef, str]:
        """Return the event ids of a group's members; if none has one, the ids of former events."""
        shown = [ref for ref in members if ref not in self._ghosts]
        current = {ref: self._places.placed[ref].event_id for ref in shown}
        if not any(current.values()):
            current = {ref: self._former.get(ref, "") for ref in shown}
        if not any(current.values()):
            current = {ref: self._event_of(ref) for ref in members}
        return {ref: event_id for ref, event_id in current.items() if event_id}

    def _linked(self, ref: SourceRef) -> set[SourceRef]:
        """Return everything reachable through links and through the ghosts of shared events."""
        found = {ref}
        ahead = [ref]
        while ahead:
            at = ahead.pop()
            others = self._links.of(at)
            event_id = self._event_of(at)
            ghosts = self._ghosts.of_event(event_id) if event_id else ()
            if ghosts:
                mates = {mate for mate in self._places.of_event(event_id) if mate in self._links}
                others = others | mates | set(ghosts)
            for other in others - found:
                found.add(other)
                ahead.append(other)
        return found


def _is_late(
    placed: Placed | None, observation: Observation, events: Mapping[str, EventOdds]
) -> bool:
    """Return whether detection will discard an event because it has a newer answer."""
    entry = None if placed is None else events.get(placed.event_id)
    carried = None if entry is None else entry.sources.get(observation.source)
    applied = None if carried is None else carried.applied
    return applied is not None and observation.sequence < applied


def _shows_the_same(known: ShownEvent, observed: ObservedEvent) -> bool:
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
