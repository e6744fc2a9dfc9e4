"""Which source events are one event: a pure function of what is stored of them.

Ids join first, then names, the likest first; what cannot be one event is never joined, also not by
way of a third. Names in doubt join nothing: where a source event has two candidates that are nearly
as good and cannot both be it, neither is taken. The order of arrival plays no part.

A source event that departed stays with the source events that it was with, as long as it may be
one event with them; so its source's next event does not take its place beside them. Statuses that
disagree bar a join by names only where the two are not in one event already.
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

MANY: Final = 64  # so many that are alike tell nothing any more; it also bounds what they cost
_CERTAIN: Final = 100  # the score of a shared id
_NAMED: Final = 3  # in a reason: how many others are named


class _Grouping:
    """Source events that are joined step by step."""

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
        """Join what departed with what it was with, and with what took its place since."""
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
                if ref not in shown or len(shown) == 1:  # of several it is not known which it is
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
                        continue  # also where an id has joined them already
                    # A join that stands though the statuses differ goes before new ones, which
                    # those statuses might bar from it: they are no rivals.
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
        """Others that are nearly as like to one of the two, and cannot be the same event as both.

        What an id binds elsewhere is no candidate any more.
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
        """Return whether statuses keep two apart that are not in one event already."""
        if not disagree(self._fixtures[one], self._fixtures[other]):
            return False
        event_id = self._events.get(one, "")
        return not event_id or event_id != self._events.get(other)

    def groups(self) -> dict[SourceRef, Group]:
        return self._group_of

    def match(self, ref: SourceRef, crossed: Collection[SourceRef]) -> Match:
        """What joins a source event to its group, or keeps it alone."""
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
            return Match(LIKE, f"as {_listed(ghosts)} was, which its source shows no more")
        if len(self._refs) > MANY:
            return Match(0, f"in doubt: more than {MANY} are alike")
        if ref in self._doubts:
            return Match(0, f"in doubt between {_listed(self._doubts[ref])}")
        return Match(0, self._kept_from(ref, crossed))

    def _kept_from(self, ref: SourceRef, crossed: Collection[SourceRef]) -> str:
        """Why it is alone, where something is like it all the same."""
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
    """Group source events that nothing links to others than these.

    Args:
        refs: the source events.
        fixtures: what each is compared by.
        alike: how alike they are by their names.
        crossed: per source event those that have home and away the other way round.
        events: the id of the event that each is in at present, or was in when it departed.

    Returns:
        The groups in a fixed order, each with what joins its members.
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
