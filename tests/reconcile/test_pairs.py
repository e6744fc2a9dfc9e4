"""Pairs of source events: certainly, possibly or never the same event."""

import pytest

from odds_service.model.match import ShownEvent
from odds_service.model.observation import ObservedEvent
from odds_service.reconcile.pairs import Fixture, compare, conflict, fixture
from tests.reconcile.showing import KICK_OFF, shown


def of(source: str, observed: ObservedEvent, first: float | None = None) -> Fixture:
    start = observed.start_time
    return fixture(
        (source, observed.source_event_id),
        ShownEvent(
            observed.sport,
            observed.competition,
            observed.home,
            observed.away,
            start,
            start if first is None else shown("", "", "", minutes=first).start_time,
            observed.shared_ids,
        ),
    )


BASE = of("a", shown("1", "Wuhan Three Towns", "Qingdao Hainiu FC"))


@pytest.mark.parametrize(
    ("home", "away", "minutes", "same"),
    [
        ("Wuhan Three Towns FC", "Qingdao Hainiu", 0, True),
        ("Wuhan", "Qingdao Hainiu", 5, True),  # one side equal, the other part of it
        ("Wuhan", "Qingdao", 0, True),  # both part of it, at the same minute
        ("Wuhan", "Qingdao", 10, False),
        ("Wuhan Three Towns", "Qingdao West Coast", 0, False),
        ("Wuhan Three Towns", "Qingdao Hainiu", 179, True),  # put off, and the names equal
        ("Wuhan Three Towns", "Qingdao Hainiu", 181, False),
        ("Wuhan Three Towns", "Qingdao", 30, False),
        ("Wuhan Three Towns W", "Qingdao Hainiu W", 0, False),
        ("Wuhan Three Towns U21", "Qingdao Hainiu U21", 0, False),
        ("Wuhan Three Towns", "Qingdao Hainiu B", 0, False),
        ("Qingdao Hainiu", "Wuhan Three Towns", 0, False),
        ("", "", 0, False),
    ],
)
def test_names_and_time(home: str, away: str, minutes: float, same: bool) -> None:
    likeness = compare(BASE, of("b", shown("2", home, away, minutes=minutes)))
    assert (likeness is not None and likeness.same) == same


@pytest.mark.parametrize(
    ("sport", "minutes", "same"),
    [
        ("baseball", 15, True),
        ("baseball", 30, False),  # a second game whose start is not known yet
        ("baseball", 150, False),  # the second game of a twin bill
        ("tennis", 700, True),  # rain
        ("table tennis", 30, False),  # the same two meet again within the hour
        ("table tennis", 10, True),
    ],
)
def test_how_far_apart_in_time_depends_on_the_sport(sport: str, minutes: float, same: bool) -> None:
    one, other = (
        of(source, shown("1", "Alcaraz C", "Sinner J", minutes=later, sport=sport))
        for source, later in (("a", 0), ("b", minutes))
    )
    likeness = compare(one, other)
    assert (likeness is not None and likeness.same) == same


def test_a_moved_start_is_found_by_the_first_one() -> None:
    moved = of("b", shown("2", "Wuhan Three Towns", "Qingdao Hainiu", minutes=48 * 60), first=0)
    likeness = compare(BASE, moved)
    assert likeness is not None
    assert likeness.same


def test_doubles_are_not_singles_and_the_order_of_a_pair_is_none() -> None:
    def tennis(source: str, home: str, away: str) -> Fixture:
        return of(source, shown("1", home, away, sport="tennis"))

    doubles = tennis("a", "Krejcikova B / Siniakova K", "Errani S / Paolini J")
    turned = compare(doubles, tennis("b", "Siniakova K / Krejcikova B", "Paolini J / Errani S"))
    assert turned is not None
    assert (turned.same, turned.score) == (True, 100)
    assert compare(doubles, tennis("b", "Siniakova K", "Errani S")) is None
    assert (
        compare(doubles, tennis("b", "Errani S / Paolini J", "Krejcikova B / Siniakova K")) is None
    )


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (of("a", shown("2", "Wuhan", "Qingdao")), "one source shows both"),
        (of("b", shown("2", "Qingdao Hainiu", "Wuhan Three Towns")), "the other way round"),
        (of("b", shown("2", "Wuhan", "Qingdao", sport="basketball")), "another sport"),
        (of("b", shown("2", "Wuhan W", "Qingdao W")), "marked women"),
        (of("b", shown("2", "Wuhan", "Qingdao", minutes=200)), "another time"),
        (of("b", shown("2", "", "")), "no name"),
        (of("b", shown("2", "Arsenal", "Chelsea")), "other sides"),
        (of("b", shown("2", "Wuhan", "Qingdao")), ""),
    ],
)
def test_what_keeps_two_apart(other: Fixture, why: str) -> None:
    assert why in conflict(BASE, other)
    assert bool(conflict(BASE, other)) == bool(why)
    assert bool(conflict(other, BASE)) == bool(why)


def test_ids_go_before_names_but_not_before_the_sides() -> None:
    def has(source: str, home: str, away: str, sr: str) -> Fixture:
        return of(source, shown("1", home, away, ids={"sr": sr}))

    one = has("a", "Wuhan", "Qingdao", "7")
    assert conflict(one, has("b", "Something", "Else", "7")) == ""
    assert conflict(one, has("b", "Wuhan", "Qingdao", "8")) == "their ids differ"
    assert "other way round" in conflict(one, has("b", "Qingdao", "Wuhan", "7"))


def test_leagues_of_two_countries_share_no_match() -> None:
    one, other, unknown = (
        of(source, shown("1", "Nacional", "River Plate", competition=competition))
        for source, competition in (
            ("a", "Uruguay Primera"),
            ("b", "Paraguay Primera"),
            ("c", "Primera Division"),
        )
    )
    assert compare(one, other) is None
    likeness = compare(one, unknown)
    assert likeness is not None
    assert likeness.same
    assert KICK_OFF in one.starts
