"""Links between source events: pairs that bear on each other, found as fixtures come and go."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from msgspec.structs import replace

from odds_service.model.event import EventStatus
from odds_service.model.match import SourceRef
from odds_service.reconcile.index import FixtureIndex
from odds_service.reconcile.pairs import (
    LIKE,
    MARGIN,
    Fixture,
    Likeness,
    compare,
    succeeds,
    swapped,
)


class Links:
    """Fixtures, and for each the others that it must be grouped together with.

    Two fixtures are linked when they share an id, when their names are alike, when one has the
    other's sides the other way round, or when one source shows them one after the other.
    """

    def __init__(self) -> None:
        self._fixtures: dict[SourceRef, Fixture] = {}
        self._index = FixtureIndex()
        self._links: dict[SourceRef, set[SourceRef]] = {}
        self._alike: dict[SourceRef, dict[SourceRef, Likeness]] = {}
        self._crossed: dict[SourceRef, set[SourceRef]] = {}

    def __contains__(self, ref: SourceRef) -> bool:
        return ref in self._fixtures

    @property
    def fixtures(self) -> Mapping[SourceRef, Fixture]:
        """Every fixture, by source event."""
        return self._fixtures

    @property
    def alike(self) -> Mapping[SourceRef, Mapping[SourceRef, Likeness]]:
        """Fixtures of other sources with names that are alike."""
        return self._alike

    @property
    def crossed(self) -> Mapping[SourceRef, AbstractSet[SourceRef]]:
        """Fixtures that have home and away the other way round."""
        return self._crossed

    def of(self, ref: SourceRef) -> AbstractSet[SourceRef]:
        """Return everything that a fixture is linked with."""
        return self._links[ref]

    def add(self, fresh: Fixture) -> None:
        """Add a fixture, linked with everything that bears on it."""
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

    def discard(self, ref: SourceRef) -> set[SourceRef]:
        """Remove a fixture, if it is there; return everything that it was linked with."""
        known = self._fixtures.pop(ref, None)
        if known is None:
            return set()
        self._index.discard(known)
        self._alike.pop(ref, None)
        self._crossed.pop(ref, None)
        links = self._links.pop(ref)
        for other in links:
            self._links[other].discard(ref)
            self._alike.get(other, {}).pop(ref, None)
            self._crossed.get(other, set()).discard(ref)
        return links

    def tell(self, ref: SourceRef, told: EventStatus | None) -> bool:
        """Take in the status that a source tells; return whether that bears on other fixtures."""
        known = self._fixtures[ref]
        if known.told is told:
            return False
        self._fixtures[ref] = replace(known, told=told)
        return bool(self._links[ref])
