"""Links between source events that affect each other's grouping, kept up to date."""

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
    """All fixtures, with the others that have to be considered together with each.

    Two fixtures are linked if they share an id, if their names are similar, if their sides are
    swapped, or if one source shows them one after the other.
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
        """The fixtures by source event."""
        return self._fixtures

    @property
    def alike(self) -> Mapping[SourceRef, Mapping[SourceRef, Likeness]]:
        """The fixtures of other sources with similar names, by source event."""
        return self._alike

    @property
    def crossed(self) -> Mapping[SourceRef, AbstractSet[SourceRef]]:
        """The fixtures with home and away swapped, by source event."""
        return self._crossed

    def of(self, ref: SourceRef) -> AbstractSet[SourceRef]:
        """Return the source events linked with a fixture."""
        return self._links[ref]

    def add(self, fresh: Fixture) -> None:
        """Add a fixture with its links."""
        ref = fresh.ref
        self._fixtures[ref] = fresh
        links = self._links[ref] = set()
        for other in self._index.candidates(fresh):
            theirs = self._fixtures[other]
            if other[0] == ref[0]:
                # Two of one source affect each other only through a third, or by succession.
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
        """Remove a fixture, if present, and return the source events that it was linked with."""
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
        """Update the status reported by a source; return whether that affects other fixtures."""
        known = self._fixtures[ref]
        if known.told is told:
            return False
        self._fixtures[ref] = replace(known, told=told)
        return bool(self._links[ref])
