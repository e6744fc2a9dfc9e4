"""An index of fixtures by shared id, and by sport, time and sound of their names."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from odds_service.model.match import SourceRef
from odds_service.reconcile.names import sounds
from odds_service.reconcile.pairs import NEAR, Fixture

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_AROUND: Final = (-1, 0, 1)  # a bucket is NEAR long, so near starts lie in these three buckets

_Key = tuple[object, ...]


class FixtureIndex:
    """Fixtures by all their search keys.

    The cost of a look-up depends on the number of fixtures of one sport that start within minutes
    and have similar-sounding sides, not on the number of all fixtures.
    """

    def __init__(self) -> None:
        self._found: dict[_Key, set[SourceRef]] = {}

    def add(self, fixture: Fixture) -> None:
        for key in _keys(fixture):
            self._found.setdefault(key, set()).add(fixture.ref)

    def discard(self, fixture: Fixture) -> None:
        for key in _keys(fixture):
            refs = self._found.get(key)
            if refs is not None:
                refs.discard(fixture.ref)
                if not refs:
                    del self._found[key]

    def candidates(self, fixture: Fixture) -> set[SourceRef]:
        """Return fixtures that may be the same event, including itself and its own source's."""
        found: set[SourceRef] = set()
        for space, id_ in fixture.ids.items():
            found |= self._found.get(("id", space, id_), set())
        if not fixture.named:
            return found
        found |= self._found.get(_sides_key(fixture), set())
        for bucket in {near for start in fixture.starts for near in _near(start)}:
            found |= self._sounding(fixture, bucket, "home") & self._sounding(
                fixture, bucket, "away"
            )
        return found

    def _sounding(self, fixture: Fixture, bucket: int, side: str) -> set[SourceRef]:
        words = fixture.home.words if side == "home" else fixture.away.words
        found: set[SourceRef] = set()
        for sound in sounds(words):
            found |= self._found.get((side, fixture.sport, bucket, sound), set())
        return found


def _keys(fixture: Fixture) -> Iterator[_Key]:
    for space, id_ in fixture.ids.items():
        yield "id", space, id_
    if not fixture.named:
        return
    yield _sides_key(fixture)
    for bucket in {_bucket(start) for start in fixture.starts}:
        for side, name in (("home", fixture.home), ("away", fixture.away)):
            for sound in sounds(name.words):
                yield side, fixture.sport, bucket, sound


def _sides_key(fixture: Fixture) -> _Key:
    return ("sides", fixture.sport, *fixture.sides)


def _bucket(start: datetime) -> int:
    return (start - _EPOCH) // NEAR


def _near(start: datetime) -> Iterator[int]:
    return (_bucket(start) + step for step in _AROUND)
