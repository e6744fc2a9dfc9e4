"""Lookup of a provider's market: its canonical key and outcomes.

Each market id with its specifier is looked up once and cached, so decoding a payload costs two
dictionary lookups per price.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final

from msgspec import Struct

from odds_service.model.market import MarketKey, ObservedMarket, Outcome, outcome_order
from odds_service.model.observation import ANY
from odds_service.sources.markets.matching import (
    Candidate,
    Specified,
    Target,
    check_template,
    market_id,
    match,
    placeholders,
    read_outcome,
    read_specifier,
)
from odds_service.sources.markets.schema import (
    ABSENT,
    ALTERNATIVES,
    PROVIDERS,
    SAME,
    Cells,
    MarketEntry,
    OutcomeSet,
    ProviderMarket,
    SportFile,
    TableError,
    cells,
    check_column,
    check_pattern,
    read_outcomes,
    read_sport,
)

OUTCOMES_FILE: Final = "outcomes.toml"
_MOST_KEPT: Final = 2**14  # cached markets, by id and specifier; cleared when full
_MOST_READ: Final = 2**10  # cached names per market, matched by patterns
_MOST_REMEMBERED: Final = 2**17  # cached outcomes, and orders of them, of one provider and sport

Ranked = tuple[int, Outcome]
Shown = tuple[MarketKey, Ranked, Any]  # with the written form that it is cached under


class Latest(Struct, frozen=True, gc=False):
    """A provider's market as it was last read, kept if each of its outcomes is a market.

    Attributes:
        written: all that its markets are made of, as the payload wrote it.
        markets: the markets that it is.
    """

    written: tuple[Any, ...]
    markets: Mapping[MarketKey, ObservedMarket]


class FoundMarket:
    """A provider's market of one id and specifier, found in the table.

    Attributes:
        types: its market types.
        key: its canonical key; None if it is several markets.
        shown: outcomes decoded before, by their written form; see ProviderTable.remember.
        ordered: all outcomes of a payload in canonical order, by their written forms, if `key` is
            not None; see ProviderTable.in_order.
        latest: its last payload, if it is one market per outcome, such as a player's. The specifier
            then names the event, so that the next payload is usually the same.
    """

    __slots__ = ("_patterns", "_read", "_targets", "key", "latest", "ordered", "shown", "types")

    def __init__(self, found: Iterable[tuple[Candidate, Specified]]) -> None:
        self._targets: dict[str, Target] = {}
        self._read: dict[str, Target | None] = {}
        self._patterns: list[tuple[Candidate, Specified]] = []
        self.shown: dict[Any, Shown] = {}
        self.ordered: dict[tuple[Any, ...], tuple[Outcome, ...]] = {}
        self.latest: Latest | None = None
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
        if self.key is not None:  # a single shared value
            for spelling, target in self._targets.items():
                self._targets[spelling] = target._replace(key=self.key)

    def target(self, spelling: str) -> Target | None:
        """Return the canonical market and outcome; None if the table does not know it.

        Args:
            spelling: the provider's id or short name of the outcome, or SAME followed by its text.
        """
        target = self._targets.get(spelling)
        if target is not None or not self._patterns:
            return target
        read = self._read
        if spelling not in read:
            if len(read) >= _MOST_READ:
                read.clear()
            for candidate, what in self._patterns:
                target = target or read_outcome(candidate, what, spelling)
            read[spelling] = target
        return read[spelling]


class ProviderTable:
    """One provider's markets of one sport, with a cache of decoded values."""

    def __init__(self, candidates: Mapping[str, list[Candidate]]) -> None:
        self._candidates = candidates
        self._kept: dict[tuple[str, str], FoundMarket | None] = {}
        self._remembered = 0

    def market(self, id: str, specifier: str = "") -> FoundMarket | None:  # noqa: A002 (the provider's word)
        """Return the market of a provider's id and specifier; None if it is not in the table."""
        kept = self._kept
        place = id, specifier
        try:
            return kept[place]
        except KeyError:
            pass
        found = []
        spec = read_specifier(specifier)
        for candidate in self._candidates.get(id, ()):
            what = match(candidate, spec)
            if what is not None:
                found.append((candidate, what))
        if len(kept) >= _MOST_KEPT:
            self._forget()
        kept[place] = FoundMarket(found) if found else None
        return kept[place]

    def remember(self, placed: FoundMarket, written: Any, key: MarketKey, ranked: Ranked) -> None:
        """Cache an outcome: most are the same at the next poll.

        Args:
            placed: the market.
            written: the outcome as the payload writes it.
            key: the canonical market.
            ranked: the outcome with its rank.
        """
        self._count()
        placed.shown[written] = key, ranked, written

    def in_order(self, placed: FoundMarket, written: tuple[Any, ...]) -> tuple[Outcome, ...] | None:
        """Return the outcomes of a market in canonical order, and cache them in `ordered`.

        Args:
            placed: a market with a key.
            written: its outcomes as the payload writes them.

        Returns:
            None if there are none, if one of them is not cached, or if two denote the same outcome.
        """
        shown = placed.shown
        try:
            found = [shown[one] for one in written]
        except KeyError:
            return None
        by_rank = {rank: outcome for _, (rank, outcome), _ in found}
        if not found or len(by_rank) < len(found):
            return None
        ordered = tuple([by_rank[rank] for rank in sorted(by_rank)])
        self._count()
        placed.ordered[tuple([one[2] for one in found])] = ordered
        return ordered

    def types(self, id: str) -> frozenset[str]:  # noqa: A002 (the provider's word)
        """Return all market types that a provider's id may denote, whatever its specifier."""
        types = {one.market for one in self._candidates.get(id, ())}
        return frozenset(ANY if "{" in one else one for one in types)

    def _count(self) -> None:
        self._remembered += 1
        if self._remembered > _MOST_REMEMBERED:
            self._forget()

    def _forget(self) -> None:
        self._kept.clear()
        self._remembered = 0


class Table:
    """The whole market table. Raises TableError if a file is wrong."""

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
            place: ProviderTable(candidates) for place, candidates in self._candidates.items()
        }

    def sport(self, provider: str, id: str) -> str | None:  # noqa: A002 (the provider's word)
        """Return the canonical sport of a provider's sport id."""
        return self._sports.get((provider, id))

    def reading(self, provider: str, sport: str) -> ProviderTable:
        """Return a provider's markets of a sport; an unknown sport has none."""
        return self._readings.get((provider, sport)) or ProviderTable({})

    def complete(self, sport: str, market: str, outcomes: Iterable[str]) -> bool:
        """Return whether exactly one of some outcomes comes true (or the bet is void).

        Args:
            sport: the canonical sport.
            market: the canonical market type.
            outcomes: keys of the market's outcomes.
        """
        keys = frozenset(outcomes)
        return any(
            keys == frozenset(cells(one.keys))
            for one in self.sets_of(sport, market)
            if one.complete
        )

    def sets_of(self, sport: str, market: str) -> Iterator[OutcomeSet]:
        """Yield the outcome sets that a canonical market may have."""
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
                raise TableError(f"{where}: appears twice")
            entries[name] = entry
            self._set(where, entry.outcomes)
            for participant, side in entry.sides():
                for provider in PROVIDERS:
                    for place in side.places(provider):
                        at = ".".join(filter(None, (where, participant, provider)))
                        candidate = self._candidate(at, name, participant, provider, entry, place)
                        by_id = self._candidates.setdefault((provider, sport.sport), {})
                        by_id.setdefault(market_id(place), []).append(candidate)

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
        place: ProviderMarket,
    ) -> Candidate:
        spec = check_template(where, place)
        named = placeholders(spec)
        if ("{minute}" in market) is not ("minute" in named or place.minute is not None):
            raise TableError(f"{where}: the {{minute}} of the key and of the id do not agree")
        if place.line is not None and named & {"line", "score", "next"}:
            raise TableError(f"{where}: the line is given twice")
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
    """Return the table shipped with the package, loaded once. Raises TableError."""
    return Table(files(__package__))


def _spellings(provider: str, keys: list[str], column: Cells) -> Iterator[tuple[str, str]]:
    if column == SAME:
        mark = SAME if provider == "sportybet" else ""  # its outcomes have ids in addition to texts
        column = [mark + key for key in keys]
    for key, cell in zip(keys, cells(column), strict=True):
        if cell != ABSENT:
            yield from ((spelling, key) for spelling in cell.split(ALTERNATIVES))


def _check_disjoint(places: Mapping[tuple[str, str], Mapping[str, list[Candidate]]]) -> None:
    """Raise TableError if two entries claim the same outcome of a market."""
    for by_id in places.values():
        for candidates in by_id.values():
            for number, one in enumerate(candidates):
                for other in candidates[:number]:
                    if _overlap(one, other):
                        at, before = one.entry, other.entry
                        raise TableError(f"{at}: {one.place.id!r} claims outcomes of {before}")


def _overlap(one: Candidate, other: Candidate) -> bool:
    if one.spec.keys() != other.spec.keys():
        return False
    for name, wanted in one.spec.items():
        if wanted != other.spec[name] and "{" not in wanted + other.spec[name]:
            return False
    if one.pattern is not None or other.pattern is not None:
        return one.pattern == other.pattern
    return bool(one.spelled.keys() & other.spelled.keys())
