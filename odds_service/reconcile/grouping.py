"""Grouping of source events into events: a pure function of the stored values.

Shared ids join first, then names, the most similar first. Source events that cannot be one event
are never joined, not even through a third. Ambiguous names join nothing: if a source event has two
nearly equally good candidates that exclude each other, neither is chosen. The order of arrival does
not matter.

A departed source event stays with its former companions as long as they may be one event, so that
the next event of its source does not take its place. Conflicting statuses prevent a join by names
only between source events that are not in one event yet.
"""

from collections.abc import Collection, Mapping
from itertools import combinations
from typing import Final, TypeAlias

from odds_service.model.match import Match, SourceRef
from odds_service.reconcile.pairs import (
    LIKE,
    MARGIN,
    Fixture,
    Likeness,
    conflict,
    disagree,
    shared_id,
    succeeds,
)

Fixtures: TypeAlias = Mapping[SourceRef, Fixture]
Alike: TypeAlias = Mapping[SourceRef, Mapping[SourceRef, Likeness]]
Group: TypeAlias = frozenset[SourceRef]

MANY: Final = 64  # likeness among more fixtures is meaningless; the limit also bounds the cost
_CERTAIN: Final = 100  # the score of a shared id
_NAMED: Final = 3  # the most source events that a reason lists


class _Grouping:
    """The state of grouping, in which source events are joined step by step."""

    def __init__(
        self,
        refs: Collection[SourceRef],
        fixtures: Fixtures,
        alike: Alike,
        events: Mapping[SourceRef, str],
    ) -> None:
        self._refs = sorted(refs)
        self._fixtures = fixtures
        self._alike = alike
        self._events = events
        self._ghosts = [ref for ref in self._refs if fixtures[ref].departed_at is not None]
        self._group_of: dict[SourceRef, Group] = {ref: frozenset({ref}) for ref in refs}
        self._doubts: dict[SourceRef, set[SourceRef]] = {}

    def join_by_ids(self) -> None:
        having: dict[tuple[str, str], list[SourceRef]] = {}
        for ref in self._refs:
            for pair in self._fixtures[ref].ids.items():
                having.setdefault(pair, []).append(ref)
        for _, refs in sorted(having.items()):
            if len(refs) <= MANY:
                for one, other in combinations(refs, 2):
                    self._join(one, other)

    def join_departed(self) -> None:
        """Join departed source events with their former companions and with their successors."""
        together: dict[str, list[SourceRef]] = {}
        of_source: dict[str, list[SourceRef]] = {}
        if self._ghosts:
            for ref in self._refs:
                together.setdefault(self._events.get(ref, ""), []).append(ref)
                of_source.setdefault(ref[0], []).append(ref)
        for ghost in self._ghosts:
            mates = together[self._events[ghost]]
            if len(mates) <= MANY:
                for mate in mates:
                    self._join(ghost, mate)
        for ghost in self._ghosts:
            mine = self._fixtures[ghost]
            siblings = of_source[ghost[0]]
            if len(siblings) > MANY:
                continue
            after = [
                ref for ref in siblings if ref != ghost and succeeds(mine, self._fixtures[ref])
            ]
            shown = [ref for ref in after if self._fixtures[ref].departed_at is None]
            for ref in after:
                if ref not in shown or len(shown) == 1:  # of several, the successor is unknown
                    self._join(ghost, ref)

    def join_by_names(self) -> None:
        if len(self._refs) > MANY:
            return
        pairs = []
        by_ids = dict(self._group_of)
        for one in self._refs:
            for other, likeness in self._alike.get(one, {}).items():
                if one < other and likeness.same:
                    if self._apart(by_ids[one], by_ids[other]):
                        continue  # even if an id has joined them already
                    # A join that persists despite conflicting statuses has priority over new joins,
                    # which the statuses might forbid, so it has no rivals.
                    stands = disagree(self._fixtures[one], self._fixtures[other])
                    rivals = set() if stands else self._rivals(one, other, likeness, by_ids)
                    if rivals:
                        self._doubts.setdefault(one, set()).update(rivals | {other})
                        self._doubts.setdefault(other, set()).update(rivals | {one})
                    else:
                        pairs.append((not stands, -likeness.score, one, other))
        for _, _, one, other in sorted(pairs):
            self._join(one, other, by_names=True)

    def _rivals(
        self,
        one: SourceRef,
        other: SourceRef,
        likeness: Likeness,
        by_ids: Mapping[SourceRef, Group],
    ) -> set[SourceRef]:
        """Return rivals: others nearly as similar to one of the two that cannot join both.

        A source event that an id binds to another event is not a rival.
        """
        found = set()
        for mine, theirs in ((one, other), (other, one)):
            for third, its in self._alike.get(mine, {}).items():
                if third == theirs or its.score < likeness.score - MARGIN:
                    continue
                its_group = by_ids[third]
                may_be = not self._apart(by_ids[mine], its_group)
                if may_be and self._apart(by_ids[theirs], its_group):
                    found.add(third)
        return found

    def _join(self, one: SourceRef, other: SourceRef, *, by_names: bool = False) -> None:
        first, second = self._group_of[one], self._group_of[other]
        if first is not second and not self._apart(first, second, by_names=by_names):
            joined = first | second
            for ref in joined:
                self._group_of[ref] = joined

    def _apart(
        self,
        first: Collection[SourceRef],
        second: Collection[SourceRef],
        *,
        by_names: bool = True,
    ) -> bool:
        return any(
            conflict(self._fixtures[one], self._fixtures[other])
            or (by_names and self._disagree(one, other))
            for one in first
            for other in second
            if one != other
        )

    def _disagree(self, one: SourceRef, other: SourceRef) -> bool:
        """Return whether statuses conflict and the two are not in one event already."""
        if not disagree(self._fixtures[one], self._fixtures[other]):
            return False
        event_id = self._events.get(one, "")
        return not event_id or event_id != self._events.get(other)

    def groups(self) -> dict[SourceRef, Group]:
        return self._group_of

    def match(self, ref: SourceRef, crossed: Collection[SourceRef]) -> Match:
        """Return the reason for joining a source event to its group, or for keeping it alone."""
        mine = self._fixtures[ref]
        group = sorted(self._group_of[ref] - {ref})
        others = [other for other in group if self._fixtures[other].departed_at is None]
        for other in others:
            common = shared_id(mine, self._fixtures[other])
            if common is not None:
                return Match(_CERTAIN, f"shared id {common}")
        likest = [
            (likeness.score, other)
            for other, likeness in sorted(self._alike.get(ref, {}).items())
            if other in others and likeness.same
        ]
        if likest:
            score, other = max(likest, key=lambda pair: pair[0])
            return Match(score, f"{self._alike[ref][other].reason} ({' '.join(other)})")
        if others:
            ghosts = [other for other in group if other not in others]
            return Match(LIKE, f"as {_listed(ghosts)} was, which its source no longer shows")
        if len(self._refs) > MANY:
            return Match(0, f"in doubt: more than {MANY} are alike")
        if ref in self._doubts:
            return Match(0, f"in doubt between {_listed(self._doubts[ref])}")
        return Match(0, self._kept_from(ref, crossed))

    def _kept_from(self, ref: SourceRef, crossed: Collection[SourceRef]) -> str:
        """Return the reason why a source event is alone despite similar ones."""
        mine = self._fixtures[ref]
        for other in self._refs:
            common = None if other == ref else shared_id(mine, self._fixtures[other])
            if common is not None:
                why = conflict(mine, self._fixtures[other]) or "joined to others"
                return f"has the id {common} too, but {why}: {_listed({other})}"
        if crossed:
            return f"home and away are the other way round: {_listed(crossed)}"
        return ""


def _listed(refs: Collection[SourceRef]) -> str:
    named = ", ".join(" ".join(ref) for ref in sorted(refs)[:_NAMED])
    return named if len(refs) <= _NAMED else f"{named} and {len(refs) - _NAMED} more"


def group(
    refs: Collection[SourceRef],
    fixtures: Fixtures,
    alike: Alike,
    crossed: Mapping[SourceRef, Collection[SourceRef]],
    events: Mapping[SourceRef, str],
) -> list[tuple[Group, dict[SourceRef, Match]]]:
    """Group a set of source events that has no links to others.

    Args:
        refs: the source events.
        fixtures: source event -> its fixture.
        alike: source event -> source events with similar names -> their likeness.
        crossed: source event -> source events with home and away swapped.
        events: source event -> the id of its event; after a departure, of its former event.

    Returns:
        The groups in a deterministic order, each with the matches of its members.
    """
    grouping = _Grouping(refs, fixtures, alike, events)
    grouping.join_by_ids()
    grouping.join_departed()
    grouping.join_by_names()
    groups = sorted(set(grouping.groups().values()), key=sorted)
    return [
        (members, {ref: grouping.match(ref, crossed.get(ref, ())) for ref in members})
        for members in groups
    ]
