"""Over whole seasons no two source events of different games are ever in one event.

`pytest -rP tests/reconcile/test_season.py` prints the pairs that are found and missed.
"""

import random
from itertools import combinations

import pytest

from tests.reconcile.season import SOURCES, STEP, pairs, season
from tests.reconcile.world import World


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 6))]
)
def test_no_game_is_taken_for_another(seed: int) -> None:
    dice = random.Random(seed)
    listings = season(dice)
    played = {each.name: each.played for each in listings}
    world = World()
    right = missed = 0
    minute = min(each.begins for each in listings)
    while minute < max(each.ends for each in listings) + STEP:
        there = [each for each in listings if each.begins <= minute < each.ends]
        for source in dice.sample(SOURCES, len(SOURCES)):
            shown = [each.shown(minute) for each in there if each.name[0] == source]
            world.drop(source, *shown, minute=minute)
            if dice.random() < 0.1:
                world.restart()
            world.settle()
            named = {frozenset(ref[1] for ref in members) for members in world.groups()}
            found = pairs(named)
            wrong = {pair for pair in found if played[pair[0]] != played[pair[1]]}
            assert wrong == set(), minute
        names = sorted(each.name for each in there)
        same = {pair for pair in combinations(names, 2) if played[pair[0]] == played[pair[1]]}
        right += len(same & found)
        missed += len(same - found)
        minute += STEP
    print(f"seed {seed}: {right} pairs found, {missed} missed")  # noqa: T201  # see -rP
    assert right / (right + missed) >= 0.8
