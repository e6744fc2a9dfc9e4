"""Looking up a provider's market: its canonical key, and which outcome is which.

A provider's market id with its specifier is looked up once; the answer is kept and shared, so
reading a payload is two dictionary look-ups a price.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final, NamedTuple

from odds_service.model.market import NO_LINE, MarketKey, Outcome, outcome_order
from odds_service.model.observation import ANY
from odds_service.model.price import BadPrice, canonical_line
from odds_service.sources.markets.schema import (
    ABSENT,
    ALTERNATIVES,
    PLACEHOLDERS,
    PROVIDERS,
    SAME,
    Cells,
    MarketEntry,
    OutcomeSet,
    Place,
    SportFile,
    TableError,
    cells,
    check_column,
    check_pattern,
    read_outcomes,
    read_sport,
)

OUTCOMES_FILE: Final = "outcomes.toml"
_MOST_KEPT: Final = 2**14  # markets kept, by id and specifier; then keeping starts anew
_MOST_READ: Final = 2**10  # names that patterns have read, of one market
_MOST_REMEMBERED: Final = 2**17  # outcomes as written, of one provider and sport
_MOST_MINUTES: Final = 120  # of a match with its overtime
_HALF: Final = 0.5  # three or more is over two and a half
_TEMPLATE: Final = re.compile(r"([^?@{}]+)(?:([?@])(.+))?")
_MINUTE: Final = re.compile(r"[0-9]{1,3}")
_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")

Spec = Mapping[str, str]


Ranked = tuple[int, Outcome]


class Target(NamedTuple):
    """Where a provider's outcome belongs; rank: its place among all outcomes, in their order."""

    key: MarketKey
    outcome: str
    rank: int


class Candidate(NamedTuple):
    """One place of the table, ready to be compared with a provider's market.

    spec: the values that its specifier must have, placeholders among them.
    spelled: the provider's spelling -> outcome key; empty where a pattern reads the outcomes.
    ranks: outcome key -> its place, of all of the table.
    """

    entry: str
    market: str
    participant: str
    spec: dict[str, str]
    spelled: dict[str, str]
    place: Place
    pattern: re.Pattern[str] | None
    ranks: Mapping[str, int]


class _Found(NamedTuple):
    """What a specifier told: the market type, and its line."""

    market: str
    line: str


class Placed:
    """A provider's market of one id and specifier, found in the table.

    types: the market types that it holds; key: the one market that it is, None where it is several.
    shown: what a reader makes of an outcome as the payload writes it, for Reading.remember.
    """

    __slots__ = ("_patterns", "_read", "_targets", "key", "shown", "types")

    def __init__(self, found: Iterable[tuple[Candidate, _Found]]) -> None:
        self._targets: dict[str, Target] = {}
        self._read: dict[str, Target | None] = {}
        self._patterns: list[tuple[Candidate, _Found]] = []
        self.shown: dict[Any, tuple[MarketKey, Ranked]] = {}
        types, keys = set(), set()
        for candidate, what in found:
            types.add(what.market)
            if candidate.pattern is not None:
                self._patterns.append((candidate, what))
            key = MarketKey(what.market, what.line, candidate.participant)
            keys.add(key)
            for spelling, outcome in candidate.spelled.items():
                self._targets[spelling] = Target(key, outcome, candidate.ranks[outcome])
        self.types = frozenset(types)
        self.key = keys.pop() if len(keys) == 1 and not self._patterns else None
        if self.key is not None:  # one value for all
            for spelling, target in self._targets.items():
                self._targets[spelling] = target._replace(key=self.key)

    def target(self, spelling: str) -> Target | None:
        """Where an outcome belongs, None where the table does not know it.

        spelling: the provider's id or short name of it, or SAME and its text.
        """
        target = self._targets.get(spelling)
        if target is not None or not self._patterns:
            return target
        read = self._read
        if spelling not in read:
            if len(read) >= _MOST_READ:
                read.clear()
            for candidate, what in self._patterns:
                target = target or _read_pattern(candidate, what, spelling)
            read[spelling] = target
        return read[spelling]


class Reading:
    """One provider's markets of one sport, and what was made of them lately."""

    def __init__(self, candidates: Mapping[str, list[Candidate]]) -> None:
        self._candidates = candidates
        self._kept: dict[tuple[str, str], Placed | None] = {}
        self._remembered = 0

    def market(self, id: str, specifier: str = "") -> Placed | None:  # noqa: A002 (theirs)
        """A provider's market by its id and its specifier as the provider writes it."""
        kept = self._kept
        place = id, specifier
        if place in kept:
            return kept[place]
        found = []
        spec = _spec(specifier)
        for candidate in self._candidates.get(id, ()):
            what = _match(candidate, spec)
            if what is not None:
                found.append((candidate, what))
        if len(kept) >= _MOST_KEPT:
            self._forget()
        kept[place] = Placed(found) if found else None
        return kept[place]

    def remember(self, placed: Placed, written: Any, shown: tuple[MarketKey, Ranked]) -> None:
        """Keep what an outcome as written stands for: most are the same at the next poll."""
        self._remembered += 1
        if self._remembered > _MOST_REMEMBERED:
            self._forget()
        placed.shown[written] = shown

    def types(self, id: str) -> frozenset[str]:  # noqa: A002 (theirs)
        """The market types that a provider's id may stand for, whatever its specifier says."""
        types = {one.market for one in self._candidates.get(id, ())}
        return frozenset(ANY if "{" in one else one for one in types)

    def _forget(self) -> None:
        self._kept.clear()
        self._remembered = 0


class Table:
    """All of the market table. Raises TableError when a file of it is wrong."""

    def __init__(self, folder: Traversable) -> None:
        self.sets = read_outcomes(folder.joinpath(OUTCOMES_FILE))
        keys = {key for outcome_set in self.sets.values() for key in cells(outcome_set.keys)}
        in_order = sorted(keys, key=lambda key: outcome_order(Outcome(key, key, None)))
        self._ranks = {key: rank for rank, key in enumerate(in_order)}
        self.entries: dict[str, dict[str, MarketEntry]] = {}
        self._sports: dict[tuple[str, str], str] = {}
        self._candidates: dict[tuple[str, str], dict[str, list[Candidate]]] = {}
        names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".toml"))
        for name in names:
            if name != OUTCOMES_FILE:
                self._add(name, read_sport(folder.joinpath(name)))
        _check_disjoint(self._candidates)
        self._readings = {
            place: Reading(candidates) for place, candidates in self._candidates.items()
        }

    def sport(self, provider: str, id: str) -> str | None:  # noqa: A002 (theirs)
        """The canonical sport of a provider's sport id."""
        return self._sports.get((provider, id))

    def reading(self, provider: str, sport: str) -> Reading:
        """A provider's markets of a sport; of an unknown sport none."""
        return self._readings.get((provider, sport)) or Reading({})

    def complete(self, sport: str, market: str, outcomes: Iterable[str]) -> bool:
        """Whether exactly one of these outcomes of a market comes true (or the bet is void)."""
        keys = frozenset(outcomes)
        return any(
            keys == frozenset(cells(one.keys))
            for one in self.sets_of(sport, market)
            if one.complete
        )

    def sets_of(self, sport: str, market: str) -> Iterator[OutcomeSet]:
        """The outcome sets that a canonical market may show."""
        for name, entry in self.entries.get(sport, {}).items():
            prefix, minute, _ = name.partition("{minute}")
            if market == name or (minute and market.startswith(prefix)):
                names = {entry.outcomes} | {
                    place.set
                    for _, side in entry.sides()
                    for provider in PROVIDERS
                    for place in side.places(provider)
                    if place.set
                }
                yield from (self.sets[one] for one in names)

    def _add(self, file: str, sport: SportFile) -> None:
        for provider, ids in sport.ids.items():
            for one in cells(ids):
                self._sports[provider, one] = sport.sport
        entries = self.entries.setdefault(sport.sport, {})
        for name, entry in sport.markets.items():
            where = f"{file}: markets.{name}"
            if name in entries:
                raise TableError(f"{where}: is there twice")
            entries[name] = entry
            self._set(where, entry.outcomes)
            for participant, side in entry.sides():
                for provider in PROVIDERS:
                    for place in side.places(provider):
                        at = ".".join(filter(None, (where, participant, provider)))
                        candidate = self._candidate(at, name, participant, provider, entry, place)
                        by_id = self._candidates.setdefault((provider, sport.sport), {})
                        by_id.setdefault(_TEMPLATE.fullmatch(place.id)[1], []).append(candidate)  # type: ignore[index] # checked by _candidate

    def _set(self, where: str, name: str) -> OutcomeSet:
        if name not in self.sets:
            raise TableError(f"{where}: no outcomes are called {name!r} in {OUTCOMES_FILE}")
        return self.sets[name]

    def _candidate(
        self,
        where: str,
        market: str,
        participant: str,
        provider: str,
        entry: MarketEntry,
        place: Place,
    ) -> Candidate:
        spec = _check_template(where, place)
        told = {name for value in spec.values() for name in _PLACEHOLDER.findall(value)}
        if ("{minute}" in market) is not ("minute" in told or place.minute is not None):
            raise TableError(f"{where}: {{minute}} of the key and of the place do not fit")
        if place.line is not None and told & {"line", "score", "next"}:
            raise TableError(f"{where}: the line is told twice")
        if place.pattern is not None or place.key is not None:
            pattern = check_pattern(where, place)
            if place.key not in self._ranks:
                raise TableError(f"{where}: key {place.key!r} is in no outcome set")
            return Candidate(where, market, participant, spec, {}, place, pattern, self._ranks)
        outcome_set = self._set(where, place.set or entry.outcomes)
        column = place.outcomes or getattr(outcome_set, provider)
        keys = cells(outcome_set.keys)
        if column is None:
            raise TableError(f"{where}: neither it nor its outcome set spells the outcomes")
        check_column(where, keys, column)
        spelled = dict(_spellings(provider, keys, column))
        return Candidate(where, market, participant, spec, spelled, place, None, self._ranks)


@cache
def table() -> Table:
    """The table that comes with the package, read once. Raises TableError."""
    return Table(files(__package__))


def _spellings(provider: str, keys: list[str], column: Cells) -> Iterator[tuple[str, str]]:
    if column == SAME:
        mark = SAME if provider == "sportybet" else ""  # its outcomes have ids besides their texts
        column = [mark + key for key in keys]
    for key, cell in zip(keys, cells(column), strict=True):
        if cell != ABSENT:
            yield from ((spelling, key) for spelling in cell.split(ALTERNATIVES))


def _check_template(where: str, place: Place) -> dict[str, str]:
    """The specifier that a place asks for. Raises TableError."""
    template = _TEMPLATE.fullmatch(place.id)
    if template is None:
        raise TableError(f"{where}: id {place.id!r} is not like 18?total={{line}} or S_OU@{{line}}")
    spec = _spec(template[3] or "")
    for value in spec.values():
        for name in _PLACEHOLDER.findall(value):
            if name not in PLACEHOLDERS or value != f"{{{name}}}":
                known = ", ".join(PLACEHOLDERS)
                raise TableError(f"{where}: {value!r} is not one whole placeholder of {known}")
    if place.line is not None:
        try:
            canonical_line(place.line)
        except BadPrice as error:
            raise TableError(f"{where}: {error}") from None
    return spec


def _spec(text: str) -> dict[str, str]:
    """`total=2.5|minute=10` -> its parts; `2.5` -> one without a name."""
    spec = {}
    for part in filter(None, text.split("|")):
        name, equals, value = part.partition("=")
        spec[name if equals else ""] = value if equals else name
    return spec


def _match(candidate: Candidate, spec: Spec) -> _Found | None:
    """What a provider's specifier tells, None where it is not the candidate's."""
    if spec.keys() != candidate.spec.keys():
        return None
    place = candidate.place
    line = NO_LINE if place.line is None else canonical_line(place.line)
    minute = place.minute
    for name, wanted in candidate.spec.items():
        value = spec[name]
        if not wanted.startswith("{"):
            if value != wanted:
                return None
        elif wanted == "{minute}":
            if _MINUTE.fullmatch(value) is None or not 0 < int(value) <= _MOST_MINUTES:
                return None
            minute = int(value)
        elif wanted != "{any}":
            told = _line(wanted, value)
            if told is None:
                return None
            line = told
    return _Found(candidate.market.replace("{minute}", str(minute)), line)


def _line(wanted: str, value: str) -> str | None:
    """A line as told; of a score its difference (a start of 0:1 is a handicap of -1), or the number
    of the goal after it; of so many or more the half below. None where it is none of them."""
    try:
        if wanted == "{line}":
            return canonical_line(value)
        if wanted == "{at_least}":
            return canonical_line(int(value) - _HALF)
        home, away = (int(goals) for goals in value.split(":"))
        return canonical_line(home - away if wanted == "{score}" else home + away + 1)
    except (BadPrice, ValueError):
        return None


def _read_pattern(candidate: Candidate, what: _Found, spelling: str) -> Target | None:
    place, pattern = candidate.place, candidate.pattern
    read = None if pattern is None else pattern.fullmatch(spelling)
    if read is None or place.key is None:
        return None
    groups = read.groupdict()
    line: str | None = what.line
    for name in ("at_least", "line"):
        if groups.get(name) is not None:
            line = _line(f"{{{name}}}", groups[name])
    if line is None:
        return None
    participant = groups.get("participant") or candidate.participant
    key = MarketKey(what.market, line, _person(participant))
    return Target(key, place.key, candidate.ranks[place.key])


def _person(name: str) -> str:
    """`Digne, Lucas` as `Lucas Digne`; a name without a comma as it is."""
    last, comma, first = name.partition(", ")
    return f"{first} {last}" if comma and ", " not in first else name


def _check_disjoint(places: Mapping[tuple[str, str], Mapping[str, list[Candidate]]]) -> None:
    """Raise TableError where two entries would take the same outcome of the same market."""
    for by_id in places.values():
        for candidates in by_id.values():
            for number, one in enumerate(candidates):
                for other in candidates[:number]:
                    if _overlap(one, other):
                        at, before = one.entry, other.entry
                        raise TableError(f"{at}: {one.place.id!r} takes what {before} has")


def _overlap(one: Candidate, other: Candidate) -> bool:
    if one.spec.keys() != other.spec.keys():
        return False
    for name, wanted in one.spec.items():
        if wanted != other.spec[name] and "{" not in wanted + other.spec[name]:
            return False
    if one.pattern is not None or other.pattern is not None:
        return one.pattern == other.pattern
    return bool(one.spelled.keys() & other.spelled.keys())
