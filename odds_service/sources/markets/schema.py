"""The format of the market table's files, validated as they are loaded.

A wrong entry is rejected with file, entry and reason: a wrongly mapped market would give wrong
prices that nobody notices.
"""

import re
import tomllib
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from odds_service.errors import OddsServiceError

PROVIDERS: Final = ("sportybet", "betpawa", "bet9ja")
PLACEHOLDERS: Final = ("line", "score", "next", "minute", "any")
ABSENT: Final = "-"  # in a column of spellings: the provider does not offer this outcome
SAME: Final = "="  # a whole column: same as the keys; before a spelling: the text, not the id
ALTERNATIVES: Final = "|"  # between spellings of one outcome
_KEY: Final = re.compile(r"[a-z0-9_]+(\{minute\})?")
_OUTCOME: Final = re.compile(r"[a-z0-9_+:,-]+")
_GROUPS: Final = {"participant", "at_least", "line", "side"}

T = TypeVar("T")
Cells = str | list[str]


class TableError(OddsServiceError):
    """An entry of the market table is wrong; the text names the file, the entry and the reason."""


class OutcomeSet(Struct, frozen=True, forbid_unknown_fields=True):
    """Outcomes that markets share, with each provider's spellings in the order of `keys`.

    Attributes:
        complete: whether exactly one of the keys comes true (or the bet is void), so that Σ 1/price
            is meaningful.
    """

    keys: Cells
    complete: bool = False
    sportybet: Cells | None = None
    betpawa: Cells | None = None
    bet9ja: Cells | None = None


class ProviderMarket(Struct, frozen=True, forbid_unknown_fields=True):
    """A market as one provider offers it.

    Attributes:
        id: `18?total={line}` (SportyBet), `5000@{line}` (BetPawa), `S_OU@{line}` (Bet9ja).
        outcomes: spellings that differ from those of the set.
        set: an outcome set other than the market's.
        line: the line, if the id does not contain it.
        minute: the minute, likewise.
        pattern: matches outcomes that cannot be listed, such as players. Its groups are
            `participant`, `at_least` (three or more is over 2.5) and `line`.
        key: the key of the outcomes that `pattern` matches.
    """

    id: str
    outcomes: Cells | None = None
    set: str | None = None
    line: str | None = None
    minute: int | None = None
    pattern: str | None = None
    key: str | None = None


Where = str | ProviderMarket | list[str | ProviderMarket]


class Side(Struct, frozen=True, forbid_unknown_fields=True):
    """The providers' ids of a one-sided market."""

    sportybet: Where = []
    betpawa: Where = []
    bet9ja: Where = []

    def places(self, provider: str) -> Iterator[ProviderMarket]:
        """Yield the provider's entries, with short forms expanded."""
        where: Where = getattr(self, provider)
        for place in where if isinstance(where, list) else [where]:
            yield ProviderMarket(place) if isinstance(place, str) else place


class MarketEntry(Side, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A canonical market.

    Attributes:
        home: the same market for the home side only, which is then the participant.
        away: likewise for the away side.
        name: a short name, if the beginning of `about` is none.
        settles: what settles it, if the rules of model.market_types do not tell.
    """

    about: str
    outcomes: str
    name: str = ""
    settles: str = ""
    home: Side = Side()
    away: Side = Side()

    def sides(self) -> tuple[tuple[str, Side], ...]:
        """Return participants with their entries: both sides together, home and away."""
        return ("", self), ("home", self.home), ("away", self.away)


class SportFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The markets of one sport; `ids` are the providers' ids of the sport, if present."""

    sport: str
    ids: dict[str, Cells] = {}
    markets: dict[str, MarketEntry] = {}


class _SportText(Struct, frozen=True, forbid_unknown_fields=True):
    """A sport's file before its entries are decoded one by one, so that errors can name them."""

    sport: str
    ids: dict[str, Cells] = {}
    markets: dict[str, Any] = {}


class _OutcomesText(Struct, frozen=True, forbid_unknown_fields=True):
    outcomes: dict[str, Any]


def cells(text: Cells) -> list[str]:
    """Return the cells of a column, given as a list or as words separated by white space."""
    return text.split() if isinstance(text, str) else text


def read_outcomes(file: Traversable) -> dict[str, OutcomeSet]:
    """Load the file of outcome sets. Raises TableError."""
    entries = _decode(file, _OutcomesText).outcomes
    sets = {name: _entry(file, "outcomes", name, OutcomeSet, entries[name]) for name in entries}
    for name, outcome_set in sets.items():
        where = f"{file.name}: outcomes.{name}"
        keys = cells(outcome_set.keys)
        if not keys or len(set(keys)) < len(keys):
            raise TableError(f"{where}: keys are missing or repeated")
        for key in keys:
            if not _OUTCOME.fullmatch(key):
                raise TableError(f"{where}: key {key!r} has other characters than a-z 0-9 _+:,-")
        for provider in PROVIDERS:
            column = getattr(outcome_set, provider)
            if column is not None:
                check_column(f"{where}.{provider}", keys, column)
    return sets


def check_column(where: str, keys: list[str], column: Cells) -> None:
    """Raise TableError unless a column has one distinct spelling per key."""
    if column == SAME:
        return
    spelled = cells(column)
    if len(spelled) != len(keys):
        raise TableError(f"{where}: {len(spelled)} spellings for {len(keys)} keys")
    alternatives = [one for cell in spelled if cell != ABSENT for one in cell.split(ALTERNATIVES)]
    for one in alternatives:
        if not one or alternatives.count(one) > 1:
            raise TableError(f"{where}: {one!r} is empty or repeated")


def read_sport(file: Traversable) -> SportFile:
    """Load the file of a sport's markets. Raises TableError."""
    text = _decode(file, _SportText)
    markets = {
        name: _entry(file, "markets", name, MarketEntry, entry)
        for name, entry in text.markets.items()
    }
    sport = SportFile(text.sport, text.ids, markets)
    for provider in sport.ids:
        if provider not in PROVIDERS:
            raise TableError(f"{file.name}: ids.{provider}: no such provider")
    for name, entry in sport.markets.items():
        where = f"{file.name}: markets.{name}"
        if not _KEY.fullmatch(name):
            raise TableError(
                f"{where}: a market's key has only a-z 0-9 _, and perhaps {{minute}} at its end"
            )
        if not entry.about:
            raise TableError(f"{where}: about is empty")
        if not any(True for _, side in entry.sides() for p in PROVIDERS for _ in side.places(p)):
            raise TableError(f"{where}: no provider has it")
    return sport


def check_pattern(where: str, place: ProviderMarket) -> re.Pattern[str]:
    """Compile an entry's pattern. Raises TableError."""
    if place.pattern is None or place.key is None or place.outcomes or place.set:
        raise TableError(f"{where}: pattern and key go together, without outcomes and set")
    try:
        pattern = re.compile(place.pattern)
    except re.error as error:
        raise TableError(f"{where}: pattern: {error}") from None
    unknown = pattern.groupindex.keys() - _GROUPS
    if unknown or not pattern.groupindex:
        raise TableError(f"{where}: pattern: groups may be {', '.join(sorted(_GROUPS))}")
    return pattern


def _entry(file: Traversable, table: str, name: str, form: type[T], entry: object) -> T:
    try:
        return msgspec.convert(entry, form)
    except msgspec.ValidationError as error:
        raise TableError(f"{file.name}: {table}.{name}: {error}") from None


def _decode(file: Traversable, form: type[T]) -> T:
    try:
        return msgspec.convert(tomllib.loads(file.read_text("utf-8")), form)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise TableError(f"{file.name}: {error}") from None
