"""The market table as market types for people."""

from collections import Counter

import pytest

from odds_service.model.market_types import GROUPS, MINUTE, MarketType
from odds_service.sources.markets.table import table
from odds_service.sources.markets.types import market_types, name_of

ROWS = market_types()


def row(sport: str, market: str) -> MarketType:
    (found,) = (each for each in ROWS if (each.sport, each.market) == (sport, market))
    return found


def test_every_entry_of_the_table_is_a_row() -> None:
    entries = [(sport, name) for sport, all_of in table().entries.items() for name in all_of]
    assert Counter((each.sport, each.market) for each in ROWS) == Counter(entries)


def test_every_row_is_complete() -> None:
    for each in ROWS:
        assert each.name
        assert each.settles, each.market
        assert each.group in GROUPS
        assert each.group != "other", each.market
        names = [name for _, name in each.outcomes]
        assert names
        assert len(set(names)) == len(names), each.market
        texts = each.name + each.settles
        assert "{" not in texts.replace(MINUTE, "")
        assert (MINUTE in each.market) or (MINUTE not in texts)


@pytest.mark.parametrize(
    ("sport", "market", "name", "settles", "line", "participant"),
    [
        ("soccer", "h2h", "Match odds", "full time", False, False),
        ("basketball", "h2h", "The winner", "full time, extra time included", False, False),
        ("basketball", "totals_regular_time", "Points over or under the line", "full time",
         True, False),
        ("soccer", "team_totals", "One side's goals over or under the line", "full time",
         True, True),
        ("soccer", "player_shots", "The player's shots", "full time", True, True),
        ("soccer", "alternate_totals_corners_h1", "Corners over or under the line, first half",
         "corners in the 1st half", True, False),
        ("soccer", "next_goal", "Who scores the goal of this number", "full time", True, False),
        ("soccer", "double_chance_and_btts_h1",
         "The match's double chance, and whether both teams score in the first half",
         "1st half and full time", False, False),
        ("soccer", "h2h_m{minute}", "Who leads after {minute} minutes", "first {minute} minutes",
         False, False),
    ],
)  # fmt: skip
def test_known_rows(
    sport: str, market: str, name: str, settles: str, line: bool, participant: bool
) -> None:
    found = row(sport, market)
    assert (found.name, found.settles) == (name, settles)
    assert (found.has_line, found.has_participant) == (line, participant)


def test_outcomes_are_in_canonical_order_with_names() -> None:
    assert row("soccer", "h2h").outcomes == (("home", "Home"), ("draw", "Draw"), ("away", "Away"))
    assert row("soccer", "double_chance").outcomes[0] == ("home_draw", "Home or draw")
    assert row("soccer", "half_time_full_time").outcomes[1] == ("home_draw", "Home / Draw")
    assert row("soccer", "half_time_double_chance").outcomes[0] == (
        "home_draw_home", "Home or draw / Home",
    )  # fmt: skip


def test_the_short_name_within_a_text() -> None:
    assert name_of("Asian handicap: two ways; the line is the home side's") == "Asian handicap"
    assert name_of("The winner, overtime included") == "The winner"
    assert name_of("A set ends 6:0 or 0:6") == "A set ends 6:0 or 0:6"
