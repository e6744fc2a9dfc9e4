"""Market types for people, by rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odds_service.model.market_types import (
    GROUPS,
    derived,
    derived_name,
    group_of,
    minutes_of,
    outcome_name,
    settled_by,
)


@pytest.mark.parametrize(
    ("market", "name"),
    [
        ("player_points", "Player points"),
        ("h2h", "Match odds"),
        ("h2h_q1", "Match odds, 1st quarter"),
        ("alternate_spreads_p2", "Handicap, 2nd period"),
        ("totals_1st_5_innings", "Over or under, first 5 innings"),
        ("h2h_m15", "Match odds, first 15 minutes"),
        ("totals_h12", "Totals h12"),
        ("_h1", "_h1, 1st half"),
        ("_", "_"),
    ],
)
def test_a_type_has_a_readable_name(market: str, name: str) -> None:
    assert derived_name(market) == name


@pytest.mark.parametrize(
    ("market", "group"),
    [
        ("h2h", "result"),
        ("h2h_lay", "result"),
        ("outrights", "result"),
        ("totals", "totals"),
        ("alternate_team_totals", "totals"),
        ("spreads", "handicaps"),
        ("h2h_h1", "periods"),
        ("half_time_full_time", "periods"),
        ("correct_score", "score"),
        ("btts", "score"),
        ("h2h_btts", "combinations"),
        ("player_shots", "players"),
        ("batter_home_runs", "players"),
        ("alternate_totals_corners_h1", "corners_cards"),
        ("totals_fouls", "statistics"),
        ("something_new", "other"),
    ],
)
def test_a_type_has_a_group(market: str, group: str) -> None:
    assert group_of(market) == group


@pytest.mark.parametrize(
    ("market", "sport", "settles"),
    [
        ("h2h", "soccer", "full time"),
        ("h2h", "basketball", "full time, extra time included"),
        ("h2h_3_way", "basketball", "full time"),
        ("h2h", "tennis", "the whole match"),
        ("h2h", "icehockey", ""),
        ("h2h_p1", "icehockey", "1st period"),
        ("totals_corners", "soccer", "corners in full time"),
        ("totals_corners_h1", "soccer", "corners in the 1st half"),
        ("h2h_h2h_corners", "soccer", "full time"),
        ("half_time_full_time", "soccer", "half time and full time"),
        ("wins_both_halves", "soccer", "both halves"),
        ("outrights", "golf", "the competition"),
    ],
)
def test_it_is_told_what_settles_a_type(market: str, sport: str, settles: str) -> None:
    assert settled_by(market, sport) == settles


@pytest.mark.parametrize(
    ("key", "chance", "name"),
    [
        ("home", "", "Home"),
        ("home_yes_over", "", "Home / Yes / Over"),
        ("home_draw", "first", "Home or draw"),
        ("home_draw", "", "Home / Draw"),
        ("home_draw_1up", "first", "Home or draw / 1 up"),
        ("home_home_draw", "last", "Home / Home or draw"),
        ("home_draw_home_away", "both", "Home or draw / Home or away"),
        ("home_or_btts_h1", "", "Home or both teams score 1st half"),
        ("2:1", "", "2:1"),
        ("3+", "", "3+"),
        ("h1", "", "1st half"),
    ],
)
def test_an_outcome_has_a_readable_name(key: str, chance: str, name: str) -> None:
    assert outcome_name(key, chance) == name


def test_the_minutes_of_a_type() -> None:
    assert [minutes_of(each) for each in ("h2h_m15", "h2h", "h2h_h1")] == ["15", "", ""]


@given(st.text(max_size=60))
def test_any_type_gets_a_name_and_a_group(market: str) -> None:
    row = derived(market, "soccer")
    assert row.group in GROUPS
    assert bool(row.name) is bool(market)
