"""Comparison of the table's entries with a provider's market, by specifier and names."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from odds_service.model.market import NO_LINE, MarketKey
from odds_service.model.price import BadPrice, canonical_line
from odds_service.sources.markets.schema import PLACEHOLDERS, ProviderMarket, TableError

_MOST_MINUTES: Final = 120  # of a match, including overtime
_HALF: Final = 0.5  # three or more is over two and a half
_TEMPLATE: Final = re.compile(r"([^?@{}]+)(?:([?@])(.+))?")
_MINUTE: Final = re.compile(r"[0-9]{1,3}")
_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")

Spec = Mapping[str, str]


class Target(NamedTuple):
    """The canonical market and outcome of a provider's outcome.

    Attributes:
        rank: its position in the canonical order of all outcomes of the table.
    """

    key: MarketKey
    outcome: str
    rank: int


class Candidate(NamedTuple):
    """An entry of the table, prepared for the comparison with a provider's market.

    Attributes:
        spec: the required values of the specifier; some are placeholders.
        spelled: the provider's spelling -> outcome key; empty if a pattern matches the outcomes.
        ranks: outcome key -> its position in the canonical order.
    """

    entry: str
    market: str
    participant: str
    spec: dict[str, str]
    spelled: dict[str, str]
    place: ProviderMarket
    pattern: re.Pattern[str] | None
    ranks: Mapping[str, int]


class Specified(NamedTuple):
    """The market type and line that a specifier denotes."""

    market: str
    line: str


def check_template(where: str, place: ProviderMarket) -> dict[str, str]:
    """Return the specifier that an entry requires.

    Raises:
        TableError: the entry's id is malformed; the text begins with `where`.
    """
    template = _TEMPLATE.fullmatch(place.id)
    if template is None:
        raise TableError(f"{where}: id {place.id!r} is not like 18?total={{line}} or S_OU@{{line}}")
    spec = read_specifier(template[3] or "")
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


def market_id(place: ProviderMarket) -> str:
    """Return the provider's market id, without the specifier."""
    return re.split("[?@]", place.id, maxsplit=1)[0]


def placeholders(spec: Spec) -> set[str]:
    """Return the names of the placeholders in a specifier's values."""
    return {name for value in spec.values() for name in _PLACEHOLDER.findall(value)}


def read_specifier(text: str) -> dict[str, str]:
    """Split `total=2.5|minute=10` into its parts; `2.5` is one part with an empty name."""
    spec = {}
    for part in filter(None, text.split("|")):
        name, equals, value = part.partition("=")
        spec[name if equals else ""] = value if equals else name
    return spec


def match(candidate: Candidate, spec: Spec) -> Specified | None:
    """Return the type and line of a specifier; None if the candidate does not match it."""
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
            found = _line(wanted, value)
            if found is None:
                return None
            line = found
    return Specified(candidate.market.replace("{minute}", str(minute)), line)


def _line(wanted: str, value: str) -> str | None:
    """Return the canonical line of a specifier's value; None if it has none.

    A score gives its difference (a start of 0:1 is a handicap of -1) or, for the next goal, the
    number of that goal. `at_least` gives the half below: three or more is over 2.5.
    """
    try:
        if wanted == "{line}":
            return canonical_line(value)
        if wanted == "{at_least}":
            return canonical_line(int(value) - _HALF)
        home, away = (int(goals) for goals in value.split(":"))
        return canonical_line(home - away if wanted == "{score}" else home + away + 1)
    except (BadPrice, ValueError):
        return None


def read_outcome(candidate: Candidate, what: Specified, spelling: str) -> Target | None:
    """Match an outcome against the candidate's pattern; return None if it does not match.

    Args:
        candidate: an entry with a pattern.
        what: the market type and line of its market.
        spelling: the outcome as the provider spells it.
    """
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
    """Convert `Digne, Lucas` to `Lucas Digne`; leave a name without a comma as it is."""
    last, comma, first = name.partition(", ")
    return f"{first} {last}" if comma and ", " not in first else name
