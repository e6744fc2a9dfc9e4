"""Ghosts keep the place of dropped source events: games of the same sides stay apart."""

from collections.abc import Callable
from typing import Any

import pytest

from odds_service.model.event import EventStatus
from odds_service.model.observation import ObservedEvent
from tests.reconcile.world import World, game

SCHEDULED, IN_PLAY = EventStatus.SCHEDULED, EventStatus.IN_PLAY
DAY = 24 * 60

Restart = Callable[[World], None]


@pytest.fixture(params=[False, True], ids=["one run", "restarts in between"])
def between(request: pytest.FixtureRequest) -> Restart:
    """Do nothing, or restart the service."""
    return World.restart if request.param else lambda world: None


@pytest.mark.parametrize("apart", [30, 180])
@pytest.mark.parametrize("told", [None, IN_PLAY])
def test_the_second_game_of_a_twin_bill(
    apart: float, told: EventStatus | None, between: Restart
) -> None:
    """One source drops each game at its start, the other shows it to its end."""
    world = World()
    second = game("a2", minutes=apart)
    world.see("a", game("a1"), minute=-90)
    world.see("b", game("b1"), minute=-89)
    assert world.named() == {"a1 b1"}
    world.see("a", game("a1"), second, minute=-60)
    assert world.named() == {"a1 b1", "a2"}
    between(world)
    world.drop("a", second, minute=1)
    assert world.named() == {"b1", "a2"}
    between(world)
    for minute in range(5, 180, 5):  # the first game goes on, all the while
        world.see("a", second, minute=minute)
        world.see("b", game("b1", told=told))
        between(world)
        assert world.named() == {"b1", "a2"}, minute
    world.see("b", game("b1", told=told), game("b2", minutes=apart))
    world.see("a", second)
    assert world.named() == {"b1", "a2 b2"}
    world.drop("b", game("b2", minutes=apart), minute=185)
    assert world.named() == {"a2 b2"}


def test_both_games_at_once_meet_by_their_starts(between: Restart) -> None:
    world = World()
    world.see("a", game("a1"), game("a2", minutes=30))
    between(world)
    world.see("b", game("b1"), game("b2", minutes=30))
    assert world.named() == {"a1 b1", "a2 b2"}


def test_a_new_source_joins_the_game_that_another_dropped_not_its_next(between: Restart) -> None:
    world = World()
    world.see("a", game("a1"), game("a2", minutes=30))
    world.drop("a", game("a2", minutes=30), minute=1)
    between(world)
    assert world.named() == {"a2"}
    world.see("b", game("b1"))
    between(world)
    for minute in range(10, 170, 10):
        world.see("b", game("b1"), minute=minute)
        world.see("a", game("a2", minutes=30))
        assert world.named() == {"b1", "a2"}
        between(world)


@pytest.mark.parametrize(
    ("sport", "apart"),
    [("baseball", DAY), ("soccer", 7 * DAY), ("tennis", 2 * DAY), ("table tennis", 20)],
    ids=["the next day", "second leg", "rematch", "twenty minutes later"],
)
def test_the_same_two_again(sport: str, apart: float, between: Restart) -> None:
    """The later meeting is joined across sources; the ghost of the first bars nothing."""
    world = World()
    later = {name: game(f"{name}2", minutes=apart, sport=sport) for name in "ab"}
    for name in "ab":
        world.see(name, game(f"{name}1", sport=sport), minute=-30)
    between(world)
    world.drop("a", later["a"], minute=1)
    assert world.named() == {"b1", "a2"}
    between(world)
    world.see("b", game("b1", sport=sport), later["b"])
    assert world.named() == {"b1", "a2 b2"}
    world.drop("b", later["b"], minute=15)
    between(world)
    world.see("a", later["a"])
    assert world.named() == {"a2 b2"}


def test_a_source_that_keeps_the_id_for_the_next_day(between: Restart) -> None:
    world = World()
    for name in "ab":
        world.see(name, game(f"{name}1"))
    world.drop("a", minute=1)
    between(world)
    world.see("b", game("b1", minutes=DAY))
    world.see("a", game("a2", minutes=DAY))
    between(world)
    world.see("b", game("b1", minutes=DAY))
    assert world.named() == {"a2 b1"}


@pytest.mark.parametrize("minutes", [0, 14, -14])
def test_a_new_id_takes_the_place_of_the_old(minutes: float, between: Restart) -> None:
    world = World()
    for name in "ab":
        world.see(name, game(f"{name}1"))
    (event_id,) = world.cache.events
    world.drop("a")
    between(world)
    world.see("a", game("a9", "NY Yankees" if minutes == 0 else "Yankees", minutes=minutes))
    assert world.named() == {"a9 b1"}
    between(world)
    # The ghost is gone: what the source drops now is the new id.
    world.drop("a")
    between(world)
    world.see("a", game("a9", minutes=minutes))
    assert world.named() == {"a9 b1"}
    assert list(world.cache.events) == [event_id]


def test_a_new_id_in_an_event_that_nobody_shows_any_more(between: Restart) -> None:
    world = World()
    world.see("a", game("a1"))
    (event_id,) = world.cache.events
    world.drop("a")
    between(world)
    world.see("a", game("a9"))
    assert list(world.cache.events) == [event_id]  # it is the same event, so it has its id


def test_two_new_ids_take_no_place(between: Restart) -> None:
    world = World()
    for name in "ab":
        world.see(name, game(f"{name}1"))
    world.drop("a")
    between(world)
    world.see("a", game("a8"), game("a9"))
    assert world.named() == {"a8", "a9", "b1"}


def test_it_is_shown_again(between: Restart) -> None:
    world = World()
    for name in "ab":
        world.see(name, game(f"{name}1"))
    (event_id,) = world.cache.events
    for _ in range(2):
        world.drop("a")
        assert world.rows[event_id, "a"].departed_at is not None
        between(world)
        world.see("a", game("a1"))
        assert world.named() == {"a1 b1"}
        assert world.rows[event_id, "a"].departed_at is None
        between(world)


def test_it_is_shown_again_when_the_whole_event_had_ended(between: Restart) -> None:
    world = World()
    for name in "ab":
        world.see(name, game(f"{name}1"))
    (event_id,) = world.cache.events
    world.drop("a")
    world.drop("b")
    assert world.named() == set()
    between(world)
    world.see("b", game("b1"))
    assert list(world.cache.events) == [event_id]
    between(world)
    world.see("a", game("a2", minutes=30))
    assert world.named() == {"a2", "b1"}


def test_postponed_at_the_source_that_still_shows_it(between: Restart) -> None:
    world = World()
    for name in "ab":
        world.see(name, game(f"{name}1", sport="soccer"))
    world.drop("a")
    between(world)
    world.see("b", game("b1", minutes=2 * DAY, sport="soccer"))
    between(world)
    world.see("a", game("a9", minutes=2 * DAY, sport="soccer"))
    assert world.named() == {"a9 b1"}


def match(*names: str, **fields: Any) -> ObservedEvent:
    """Return a game of a sport in which the same two do not meet again within hours."""
    return game(*names, sport="soccer", **fields)


def test_renamed_at_the_source_that_still_shows_it(between: Restart) -> None:
    world = World()
    for name in "ab":
        world.see(name, match(f"{name}1"))
    world.drop("a", match("a2", minutes=30))
    between(world)
    world.see("b", match("b1", "New York Yankees", "Boston Red Sox"))
    between(world)
    world.see("a", match("a2", minutes=30))
    assert world.named() == {"a2", "b1"}
    world.see("b", match("b1", "Mets", "Cubs"))  # not the game that it was
    between(world)
    world.see("a", match("a2", "Mets", "Cubs", minutes=30))
    assert world.named() == {"a2 b1"}


def test_swapped_sides_at_the_source_that_still_shows_it(between: Restart) -> None:
    world = World()
    for name in "ab":
        world.see(name, match(f"{name}1"))
    world.drop("a", match("a2", "Red Sox", "Yankees", minutes=30))
    between(world)
    world.see("b", match("b1", "Red Sox", "Yankees"))
    between(world)
    # The ghost is of another event now, so it bars nothing.
    world.see("a", match("a2", "Red Sox", "Yankees", minutes=30))
    assert world.named() == {"a2 b1"}


def test_ghosts_follow_a_merger(between: Restart) -> None:
    world = World()
    world.see("a", game("a1", "Bronx Bombers"))
    world.see("b", game("b1", "Bronx Bombers", ids={}))
    world.see("c", game("c1", ids={"sr": "7"}))
    assert world.named() == {"a1 b1", "c1"}
    world.drop("a", minute=-30)
    between(world)
    world.see("b", game("b1", "Bronx Bombers", ids={"sr": "7"}))
    assert world.named() == {"b1 c1"}
    between(world)
    world.see("b", game("b1", "Bronx Bombers", ids={"sr": "7"}))
    world.see("a", game("a2", minutes=30))
    assert world.named() == {"b1 c1", "a2"}


def test_statuses_that_disagree_bar_a_new_join_by_names_alone(between: Restart) -> None:
    world = World()
    world.see("a", match("a1", told=SCHEDULED, minutes=40))
    between(world)
    world.see("b", match("b1", told=IN_PLAY))
    assert world.named() == {"a1", "b1"}
    between(world)
    world.see("a", match("a1", told=IN_PLAY, minutes=40))
    assert world.named() == {"a1 b1"}
    # What is joined stays so, also where one source is later to tell than another.
    world.see("a", match("a1", told=SCHEDULED, minutes=40))
    between(world)
    world.see("b", match("b1", told=IN_PLAY))
    assert world.named() == {"a1 b1"}


def test_a_newcomer_breaks_no_join_of_sources_that_tell_of_the_start_in_turn(
    between: Restart,
) -> None:
    world = World()
    world.see("a", match("a1", told=SCHEDULED))
    world.see("b", match("b1", told=SCHEDULED, minutes=30))
    world.see("a", match("a1", told=IN_PLAY))
    assert world.named() == {"a1 b1"}
    between(world)
    world.see("c", match("c1", told=SCHEDULED, minutes=20))
    assert world.named() == {"a1 b1", "c1"}
    between(world)
    world.see("b", match("b1", told=IN_PLAY, minutes=30))
    world.see("c", match("c1", told=IN_PLAY, minutes=20))
    assert world.named() == {"a1 b1 c1"}


def test_a_first_game_put_off_near_the_second_is_not_taken_for_it(between: Restart) -> None:
    world = World()
    second = game("a2", minutes=180)
    world.see("a", game("a1"), second)
    world.see("b", game("b1"))
    world.drop("a", second, minute=5)
    between(world)
    world.see("b", game("b1", minutes=150), minute=30)
    world.settle()
    assert world.named() == {"b1", "a2"}
    between(world)
    world.drop("b", game("b2", minutes=180), minute=360)
    world.settle()
    assert world.named() == {"a2 b2"}


def test_statuses_do_not_count_where_starts_are_close_or_an_id_is_shared(between: Restart) -> None:
    world = World()
    world.see("a", game("a1", told=SCHEDULED, minutes=15))
    between(world)
    world.see("b", game("b1", told=IN_PLAY))
    assert world.named() == {"a1 b1"}
    world.see("a", game("a1", told=SCHEDULED, minutes=15), game("a3", "X", "Y", ids={"sr": "1"}))
    between(world)
    world.see("b", game("b1"), game("b3", "X", "Y", told=IN_PLAY, minutes=50, ids={"sr": "1"}))
    assert world.named() == {"a1 b1", "a3 b3"}


def test_memory_is_bounded() -> None:
    """A source with new ids at every look, for one game and for others, fills no memory."""
    world = World()
    for number in range(300):
        world.see("a", game(f"a{number}"), game(f"o{number}", f"X{number}", sport="soccer"))
    assert 0 < world.reconciler.remembered <= 300  # of the same game one, of the others each
    world.see("a", minute=3 * 60 + 1)
    world.see("a")
    assert world.cache.events == {}
    world.see("a", minute=15 * 60 + 1)
    assert world.reconciler.remembered == 0
