"""The market table as a list of market types for people."""

import re
from typing import Final

from odds_service.model.market_types import (
    MarketType,
    group_of,
    outcome_name,
    settled_by,
)
from odds_service.sources.markets.schema import PROVIDERS, MarketEntry, OutcomeSet, cells
from odds_service.sources.markets.table import table

_LINED: Final = re.compile(r"\{(line|score|next)\}")
_TOLD_ELSEWHERE: Final = re.compile(r", (overtime included|regular time|after 90 minutes)$")
# Outcome sets whose keys hold a double chance, by the place of it.
_CHANCES: Final = {
    "half_time_double_chance": "first",
    "half_time_then_double_chance": "last",
    "double_chance_twice": "both",
}


def market_types() -> list[MarketType]:
    """Return all types of the table. Those with a minute have `{minute}` in type and texts.

    Loading the table takes some 60 ms. Raises TableError.
    """
    sets = table().sets
    return [
        _type(sport, name, entry, sets[entry.outcomes])
        for sport in sorted(table().entries, key=lambda sport: (sport != "soccer", sport))
        for name, entry in table().entries[sport].items()
    ]


def _type(sport: str, market: str, entry: MarketEntry, outcomes: OutcomeSet) -> MarketType:
    places = [
        place for _, side in entry.sides() for name in PROVIDERS for place in side.places(name)
    ]
    patterns = [place.pattern for place in places if place.pattern is not None]
    chance = _CHANCES.get(entry.outcomes, "")
    if entry.outcomes.startswith("double_chance") and not chance:
        chance = "first"
    keys = cells(outcomes.keys)
    return MarketType(
        market=market,
        name=entry.name or name_of(entry.about),
        group=group_of(market.replace("{minute}", "1")),
        settles=entry.settles
        or settled_by(
            market.replace("{minute}", "1"), sport, regular_time="regular time" in entry.about
        ).replace("first 1 minutes", "first {minute} minutes"),
        has_line=any(place.line is not None or _LINED.search(place.id) for place in places)
        or any("<line>" in pattern or "<at_least>" in pattern for pattern in patterns),
        has_participant=any(
            True for _, side in entry.sides()[1:] for name in PROVIDERS for _ in side.places(name)
        )
        or any("<participant>" in pattern or "<side>" in pattern for pattern in patterns),
        outcomes=tuple((key, outcome_name(key, chance)) for key in keys),
        sport=sport,
    )


def name_of(about: str) -> str:
    """Return the short name within an entry's text, with `{minute}` for the number of minutes."""
    name = _TOLD_ELSEWHERE.sub("", re.split(r"[:;] ", about)[0])
    name = name.replace("so many minutes", "{minute} minutes")
    return name.replace("this minute", "minute {minute}")
