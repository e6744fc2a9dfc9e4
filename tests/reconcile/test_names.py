"""Names: spellings of a team are equal, and different teams of a club are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odds_service.reconcile.names import (
    competition_name,
    likeness,
    plain,
    side_name,
    sounds,
)
from odds_service.reconcile.pairs import BOTH_LIKE, LIKE


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1. FC Köln", "Koeln"),
        ("Bayern München", "FC Bayern Munich"),
        ("Manchester United", "Man Utd"),
        ("Bodø/Glimt", "BODO-GLIMT"),
        ("Śląsk Wrocław", "Slask Wroclaw"),
        ("Newell's Old Boys", "Newells Old Boys"),
        ("Dynamo Kyiv", "Dinamo Kiev"),
        ("Atlético Madrid", "Atl. Madrid"),
        ("Saint-Étienne", "St. Etienne"),
        ("Paris Saint Germain", "PSG"),
        ("Queens Park Rangers", "QPR"),
        ("New York Yankees", "NY Yankees"),
        ("South Korea", "Korea Republic"),
        ("Côte d'Ivoire", "Ivory Coast"),
        ("USA", "United States"),
        ("Norway (n)", "Norway"),
        ("FC Schalke 04", "Schalke"),
        ("Larne FC", "FC Larne"),
    ],
)
def test_one_side_however_it_is_written(one: str, other: str) -> None:
    name, also = side_name(one), side_name(other)
    assert name.marks == also.marks == frozenset()
    assert likeness(name.words, also.words) >= BOTH_LIKE
    assert sounds(name.words) & sounds(also.words)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Manchester United", "Manchester City"),
        ("Sheffield United", "Sheffield Wednesday"),
        ("Bristol City", "Bristol Rovers"),
        ("Real Madrid", "Atlético Madrid"),
        ("Real Madrid", "Real Sociedad"),
        ("América Mineiro", "Atletico Mineiro"),
        ("Borussia Dortmund", "Borussia Monchengladbach"),
        ("Independiente", "Internacional"),
        ("Qingdao Hainiu FC", "Qingdao West Coast FC"),
        ("FC Seoul", "FC Sion"),
        ("Iran", "Iraq"),
    ],
)
def test_two_sides_are_not_alike(one: str, other: str) -> None:
    assert likeness(side_name(one).words, side_name(other).words) < LIKE


@pytest.mark.parametrize(
    ("name", "words", "marks"),
    [
        ("Arsenal (W)", "arsenal", "women"),
        ("Arsenal Ladies", "arsenal", "women"),
        ("América Femenino", "america", "women"),
        ("Chelsea U-21", "chelsea", "u21"),
        ("Chelsea Under 21", "chelsea", "u21"),
        ("USA U20 Women", "united states", "u20 women"),
        ("VfB Stuttgart II", "stuttgart", "reserve"),
        ("Real Madrid Castilla", "real madrid", "reserve"),
        ("Jong Ajax", "ajax", "reserve"),
        ("Bayern III", "bayern", "third"),
        ("Athletic Club B", "athletic", "reserve"),
        ("Arsenal (Esports)", "arsenal", "virtual"),
        ("Arsenal SRL", "arsenal", "virtual"),
        # What looks like a mark and is none.
        ("Willem II", "willem ii", ""),
        ("Boca Juniors", "boca juniors", ""),
        ("BSC Young Boys", "young boys", ""),
        ("W Connection", "w connection", ""),
        ("FC", "fc", ""),
    ],
)
def test_marks_of_another_team_of_a_club(name: str, words: str, marks: str) -> None:
    found = side_name(name)
    assert (" ".join(found.words), " ".join(sorted(found.marks))) == (words, marks)


def test_letters_beside_players_are_initials() -> None:
    assert side_name("Zhang W.", people=True) == (("zhang", "w"), frozenset())
    alone, pair = (side_name(name, people=True) for name in ("Siniakova K.", "Siniakova / Zhang"))
    assert not alone.marks
    assert pair.marks == {"pair"}
    carlos = side_name("Carlos Alcaraz", people=True)
    assert likeness(side_name("Alcaraz C.", people=True).words, carlos.words) >= BOTH_LIKE


def test_a_competition_marks_its_teams_and_names_its_country() -> None:
    assert competition_name("soccer_uefa_championship_women").marks == {"women"}
    assert competition_name("UEFA Youth League").marks == {"youth"}
    assert competition_name("England Premier League U21").marks == {"u21"}
    assert competition_name("Chile Primera").countries == {"chile"}
    assert competition_name("basketball_wnba").marks == {"women"}
    assert competition_name("soccer_epl") == (frozenset(), frozenset())


words = st.text(st.characters(categories=("L", "N", "Zs", "Po")), min_size=1, max_size=30)


@given(words, words)
def test_likeness_is_even_handed_and_every_name_has_words(one: str, other: str) -> None:
    name, also = side_name(one), side_name(other)
    if plain(one).strip(" .'") and name.words and also.words:
        assert 0 <= likeness(name.words, also.words) <= 100
        assert likeness(name.words, also.words) == likeness(also.words, name.words)
        assert likeness(name.words, name.words) == 100
        assert likeness(name.words, name.words[::-1]) == 100
