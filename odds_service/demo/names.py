"""Fictitious names of sports, teams, players and bookmakers for the simulation."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec


class Sport(msgspec.Struct, frozen=True):
    """A sport in `/v4/sports`, and the scale of its lines."""

    key: str
    group: str
    title: str
    description: str
    draw: bool  # h2h has three outcomes
    total: float  # a usual total of points or goals
    slope: float  # change in probability per point of a line
    players: tuple[str, ...]  # market keys of player lines


_BALL: Final = ("player_points", "player_rebounds", "player_assists", "player_threes")
_GRIDIRON: Final = ("player_pass_yds", "player_rush_yds", "player_receptions")
_SOCCER: Final = ("player_shots_on_target", "player_shots", "player_assists")
_ICE: Final = ("player_points", "player_shots_on_goal", "player_total_saves")

_KINDS: Final = (
    Sport("soccer", "Soccer", "Premier Division", "Soccer", True, 2.5, 0.15, _SOCCER),
    Sport("basketball", "Basketball", "League", "Basketball", False, 165.5, 0.03, _BALL),
    Sport(
        "americanfootball", "American Football", "League", "Football", False, 44.5, 0.03, _GRIDIRON
    ),
    Sport("icehockey", "Ice Hockey", "Ice League", "Ice hockey", False, 5.5, 0.12, _ICE),
)
_COUNTRIES: Final = (
    ("arvenia", "Arvenian"),
    ("belmar", "Belmarian"),
    ("corvia", "Corvian"),
    ("dunmere", "Dunmerish"),
    ("estalia", "Estalian"),
    ("fenwick", "Fenwickian"),
    ("galdor", "Galdorian"),
    ("halvar", "Halvarian"),
    ("istria_nova", "New Istrian"),
    ("jorvalla", "Jorvallan"),
)
_TOWNS: Final = (
    "Ashbourne",
    "Brackwater",
    "Calder Bay",
    "Dunharrow",
    "Eastmoor",
    "Fallowfield",
    "Greywick",
    "Hollin Cross",
    "Ironbridge Vale",
    "Kestrel Point",
    "Larkspur",
    "Marrowdale",
    "Northolme",
    "Oakenshaw",
    "Port Vesper",
    "Quillmouth",
    "Ravensgate",
    "Saltmarsh",
    "Thornbury Hill",
    "Upper Wendle",
    "Vale Royal",
    "Westering",
    "Yarrowford",
    "Zennor Head",
    # Real names contain non-ASCII text too.
    "São Verde",
    "Königsfurt",
)
_SIDES: Final = ("Rovers", "United", "Falcons", "Mariners", "Athletic", "Wolves", "City", "Comets")
_FIRST_NAMES: Final = (
    "Aldo",
    "Bram",
    "Cato",
    "Dario",
    "Emil",
    "Finn",
    "Goran",
    "Hugo",
    "Ivo",
    "Joris",
    "Karel",
    "Levi",
    "Milo",
    "Nils",
    "Otis",
    "Pavel",
)
_LAST_NAMES: Final = (
    "Abernoth",
    "Bellwether",
    "Castellan",
    "D'Orlay",
    "Eskildsen",
    "Farrow",
    "Grimaldo",
    "Holloway",
    "Ivarsen",
    "Jansky",
    "Kovarik",
    "Lindqvist",
    "Mbarela",
    "Núñez-Vale",
    "Okonjo",
    "Petrakis",
)
_BOOKMAKERS: Final = (
    "Northgate",
    "Silverline",
    "Tidewater",
    "Crown & Anchor",
    "Blue Heron",
    "Kingsway",
    "Fairweather",
    "Old Exchange",
    "Redwood",
    "Lanternfish",
    "Halfpenny",
    "Summit",
)
_HOUSES: Final = ("Sports", "Bets", "Play")
MOST_BOOKMAKERS: Final = len(_BOOKMAKERS) * len(_HOUSES)


def sports(count: int) -> list[Sport]:
    """Return ``count`` different sports, cycling through kinds and then countries."""
    found = []
    for number in range(count):
        kind = _KINDS[number % len(_KINDS)]
        division, nation = divmod(number // len(_KINDS), len(_COUNTRIES))
        country, people = _COUNTRIES[nation]
        suffix = f"_{division + 1}" if division else ""
        ordinal = f" {division + 1}" if division else ""
        found.append(
            Sport(
                key=f"{kind.key}_{country}{suffix}",
                group=kind.group,
                title=f"{people} {kind.title}{ordinal}",
                description=f"{people} {kind.description}{ordinal}",
                draw=kind.draw,
                total=kind.total,
                slope=kind.slope,
                players=kind.players,
            )
        )
    return found


def bookmakers(count: int) -> list[tuple[str, str]]:
    """Return ``count`` different bookmakers as (key, title), at most ``MOST_BOOKMAKERS``."""
    found = []
    for number in range(count):
        house, name = divmod(number, len(_BOOKMAKERS))
        title = f"{_BOOKMAKERS[name]} {_HOUSES[house]}"
        found.append(("".join(c for c in title.lower() if c.isalnum()), title))
    return found


def team(number: int) -> str:
    """Return the name of a team; from number 208 on, a suffix keeps names different."""
    turn, side = divmod(number // len(_TOWNS), len(_SIDES))
    return f"{_TOWNS[number % len(_TOWNS)]} {_SIDES[side]}" + (f" {turn + 1}" if turn else "")


def players(keys: Sequence[str], count: int) -> Iterator[tuple[str, str]]:
    """Return ``count`` player lines as (market key, player), cycling through the keys."""
    for number in range(count):
        person = number // len(keys)
        round_, first = divmod(person, len(_FIRST_NAMES))
        again, shift = divmod(round_, len(_LAST_NAMES))
        last = _LAST_NAMES[(first + shift) % len(_LAST_NAMES)]
        suffix = f" {again + 1}" if again else ""
        yield keys[number % len(keys)], f"{_FIRST_NAMES[first]} {last}{suffix}"
