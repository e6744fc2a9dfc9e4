"""A season of games, and the listings of three sources that disagree about them."""

import random
from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

from odds_service.model.event import EventStatus
from odds_service.model.observation import ObservedEvent
from tests.reconcile.world import game

SOURCES = "abc"
DAY = 24 * 60
STEP = 20  # minutes between looks
SPORTS = {  # who meets, and how the sources write it
    "baseball": [("Boston Red Sox", "New York Yankees"), ("Chicago Cubs", "Houston Astros")],
    "soccer": [("Manchester United", "Arsenal"), ("Inter Milan", "Juventus")],
    "tennis": [("Novak Djokovic", "Carlos Alcaraz"), ("Iga Swiatek", "Coco Gauff")],
}
WRITTEN = {
    "Manchester United": ["Man Utd", "Manchester United FC"],
    "Arsenal": ["Arsenal FC", "Arsenal London"],
    "Novak Djokovic": ["Djokovic N.", "N. Djokovic"],
    "Carlos Alcaraz": ["Alcaraz C."],
}


class Listing(NamedTuple):
    """One source event, with the minutes in which it is shown and the starts that it tells."""

    name: str
    played: int
    begins: float
    ends: float
    sides: tuple[str, str]
    sport: str
    starts: list[tuple[float, float]]  # (from when on, the start that is told then)
    tells: bool

    def shown(self, now: float) -> ObservedEvent:
        start = [told for since, told in self.starts if since <= now][-1]
        status = EventStatus.IN_PLAY if now >= start else EventStatus.SCHEDULED
        return game(
            self.name,
            *self.sides,
            minutes=start,
            sport=self.sport,
            told=status if self.tells else None,
        )


def season(dice: random.Random) -> list[Listing]:
    """Return some days of games: doubleheaders, rematches, second legs, postponements."""
    listings: list[Listing] = []
    played = 0
    for sport, meetings in SPORTS.items():
        for sides in meetings:
            at = dice.uniform(0, DAY)
            for _ in range(dice.randint(2, 4)):
                listings += _listings(dice, played, sport, sides, at)
                played += 1
                gaps = {
                    "baseball": [30, 3 * 60, DAY],
                    "soccer": [3 * DAY],
                    "tennis": [13 * 60, DAY],
                }
                at += dice.choice(gaps[sport])
                if sport == "soccer":
                    sides = sides[1], sides[0]
    return listings


def _listings(
    dice: random.Random, played: int, sport: str, sides: tuple[str, str], at: float
) -> Iterator[Listing]:
    moved = at + dice.choice([0, 0, 0, 20, 45]) * (sport != "baseball")
    heard = at - dice.uniform(0, 120)
    for source in SOURCES:
        if dice.random() < 0.15:
            continue  # it does not have this one
        # Less than half of what sets apart the games of a twin bill, less a quarter of an hour.
        told = at + dice.choice([0, 0, 0, 5, -5])
        begins = at - dice.choice([6 * 60, 3 * 60, 60, 10])
        ends = at + dice.choice([0, 0, 30, 150, 180])
        starts = [(-DAY * 10.0, told), (heard + dice.uniform(0, 90), told + moved - at)]
        written = tuple(dice.choice([side, *WRITTEN.get(side, [])]) for side in sides)
        tells = dice.random() < 0.5
        cut = dice.uniform(begins, ends) if dice.random() < 0.2 else ends
        pieces = [(begins, cut), (cut, ends)] if cut < ends else [(begins, ends)]
        for piece, (since, until) in enumerate(pieces):
            name = f"{source}{played}.{piece}"
            first = (written[0], written[1])
            yield Listing(name, played, since, until, first, sport, starts, tells)


def pairs(groups: set[frozenset[str]]) -> set[tuple[str, str]]:
    return {pair for members in groups for pair in combinations(sorted(members), 2)}
