"""Market types for people: names, groups and what settles them, by rules on the type's words.

The market table names its own types; these rules name the rest, such as a plug-in's.
"""

import re
from typing import Final

from msgspec import Struct

# Keys of groups in the order to show them, with their names.
GROUPS: Final = {
    "result": "Result",
    "totals": "Totals",
    "handicaps": "Handicaps",
    "periods": "Halves and periods",
    "score": "Score and goals",
    "combinations": "Combinations",
    "players": "Players",
    "corners_cards": "Corners and cards",
    "statistics": "Statistics",
    "other": "Other",
}

_PERIOD: Final = re.compile(r"_(?:([hqsp])([1-9])|m([0-9]{1,3})|1st_([1-9])_innings)$")
_PERIOD_WORDS: Final = {"h": "half", "q": "quarter", "s": "set", "p": "period"}
_ORDINALS: Final = ("1st", "2nd", "3rd", *(f"{number}th" for number in range(4, 10)))
# What a market of a sport is settled by unless its type says otherwise; docs/markets.md has why.
_WHOLE: Final = {
    "soccer": "full time",
    "basketball": "full time, extra time included",
    "tennis": "the whole match",
}
_REGULAR: Final = re.compile(r"3_way|regular_time|draw_no_bet|^overtime$")
# Part of a type -> the words for what is counted; the first that fits.
_CORNERS_CARDS: Final = {
    "booking_points": "booking points",
    "corner": "corners",
    "card": "cards",
    "sending_off": "sendings-off",
}
_COUNTED: Final = {
    "shots_on_target": "shots on target",
    "shot": "shots",
    "foul": "fouls",
    "offside": "offsides",
    "throw_in": "throw-ins",
    "goal_kick": "goal kicks",
    "tackle": "tackles",
    "saves": "saves",
    "assists": "assists",
    "woodwork": "hits of post or bar",
    "substitution": "substitutions",
}
_PLAYERS: Final = re.compile(r"^(player|batter|pitcher)_|scorer|^goal_by_substitute")
_PARTS: Final = re.compile(r"hal(f|ves)|quarter|first_set|_set$")
# A type that joins two others: `h2h_btts`, `home_or_over`, `double_chance_and_btts`.
_JOINED: Final = re.compile(
    r"_(and|or)_|^any_of|twice|^(h2h|double_chance|totals|next_goal)_.*(h2h|totals|btts|multigoals)"
)
_SCORE: Final = re.compile(
    r"score|goal|btts|clean_sheet|to_nil|margin|odd_even|exact|leads_by|range|penalty|^draw_with"
    r"|win_from_behind|wins_|ends_|sets$"
)
_RESULT: Final = re.compile(
    r"^(h2h|double_chance|draw_no_bet|outrights|to_qualify|winning_method|overtime)|_no_bet"
)
_BASES: Final = {
    "h2h": "Match odds",
    "h2h_3_way": "Match odds, three ways",
    "h2h_lay": "Match odds, lay",
    "spreads": "Handicap",
    "alternate_spreads": "Handicap",
    "totals": "Over or under",
    "alternate_totals": "Over or under",
    "team_totals": "One side, over or under",
    "alternate_team_totals": "One side, over or under",
    "outrights": "Outright winner",
    "outrights_lay": "Outright winner, lay",
    "btts": "Both teams score",
}
_WORDS: Final = {
    "1up": "1 up",
    "2up": "2 up",
    "btts": "both teams score",
    "h1": "1st half",
    "h2": "2nd half",
    "q1": "1st quarter",
    "q2": "2nd quarter",
    "q3": "3rd quarter",
    "q4": "4th quarter",
}
_PLAIN: Final = frozenset({"home", "draw", "away", "over", "under", "yes", "no"})


MINUTE: Final = "{minute}"  # in a type of the table, and in its texts: any number of minutes


class MarketType(Struct, frozen=True, kw_only=True):
    """A market type as people read it.

    Attributes:
        sport: The sport that the row is for; empty if none is known to have the type.
        group: One of GROUPS.
        settles: What settles it, in a few words; empty if unknown.
        has_line: Whether its markets may have a line.
        has_participant: Whether its markets may have a participant.
        outcomes: Keys with names, in canonical order; empty if they are names or unknown.
    """

    market: str
    name: str
    group: str
    settles: str = ""
    has_line: bool = False
    has_participant: bool = False
    outcomes: tuple[tuple[str, str], ...] = ()
    sport: str = ""


def derived(market: str, sport: str = "") -> MarketType:
    """Return a market type by rules alone."""
    return MarketType(
        market=market,
        name=derived_name(market),
        group=group_of(market),
        settles=settled_by(market, sport),
        sport=sport,
    )


def derived_name(market: str) -> str:
    """Return a readable name of a type: `Player points`, `Handicap, 1st half`."""
    period = period_of(market)
    base = _PERIOD.sub("", market)
    name = _BASES.get(base) or _capital(base.replace("_", " ").strip()) or market
    return f"{name}, {period}" if period else name


def period_of(market: str) -> str:
    """Return the part of the match that a type is about, by its suffix; empty for the whole."""
    found = _PERIOD.search(market)
    if found is None:
        return ""
    kind, number, minutes, innings = found.groups()
    if kind:
        return f"{_ORDINALS[int(number) - 1]} {_PERIOD_WORDS[kind]}"
    return f"first {minutes} minutes" if minutes else f"first {innings} innings"


def minutes_of(market: str) -> str:
    """Return the number of minutes in a type such as `h2h_m15`; empty if it has none."""
    found = _PERIOD.search(market)
    return "" if found is None else found[3] or ""


def settled_by(market: str, sport: str, *, regular_time: bool = False) -> str:
    """Return what settles a type, in a few words; empty if that is not known.

    Args:
        market: The type.
        sport: The sport; the whole of a match differs between them.
        regular_time: Whether extra time does not count, whatever the sport.
    """
    if market.startswith("outrights"):
        return "the competition"
    period = period_of(market)
    if not period and market.startswith("half_time_"):
        period = "half time and full time"
    elif not period and re.search(r"hal(f|ves)(_|$)", market):
        period = "both halves"
    elif not period and "quarter" in market:
        period = "the quarters"
    if not period:
        period = _WHOLE.get(sport, "")
        if regular_time or _REGULAR.search(market):
            period = "full time"
    if market.startswith(("player_", "h2h_h2h_", "h2h_corners_")) or not period:
        return period
    counted = _counted(market)
    if not counted:
        return period
    return f"{counted} in {'the ' if period_of(market) else ''}{period}"


def _counted(market: str) -> str:
    for part, words in (_CORNERS_CARDS | _COUNTED).items():
        if part in market:
            return words
    return ""


def group_of(market: str) -> str:
    """Return the group of a type; the first rule that fits decides."""
    if _PLAYERS.search(market):
        return "players"
    if any(part in market for part in _CORNERS_CARDS):
        return "corners_cards"
    if any(part in market for part in _COUNTED):
        return "statistics"
    if period_of(market) or _PARTS.search(market):
        return "periods"
    if _JOINED.search(market):
        return "combinations"
    if "spreads" in market:
        return "handicaps"
    if "totals" in market:
        return "totals"
    if _RESULT.search(market):
        return "result"
    return "score" if _SCORE.search(market) else "other"


def outcome_name(key: str, chance: str = "") -> str:
    """Return an outcome's name for people: `Home / Yes`, `Home or draw`, `3+`.

    Args:
        key: The outcome's key.
        chance: The part of the key that is a double chance: `first`, `last` or `both` pairs of
            words; empty if none is.
    """
    words = key.split("_")
    if "or" in words:
        return _capital(" ".join(_WORDS.get(word, word) for word in words))
    parts: list[str] = []
    if chance in {"first", "both"} and len(words) > 1:
        parts.append(" or ".join(words[:2]))
        del words[:2]
    last = []
    if chance in {"last", "both"} and len(words) > 1:
        last = [" or ".join(words[-2:])]
        del words[-2:]
    while words and words[0] in _PLAIN:
        parts.append(words.pop(0))
    rest = " ".join(_WORDS.get(word, word) for word in words if word != "and")
    return " / ".join(_capital(part) for part in (*parts, rest, *last) if part)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
