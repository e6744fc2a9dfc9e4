"""The market table: checks that name file, entry and reason; lookups; agreement with the model."""

import re
from pathlib import Path

import pytest

from odds_service.model import overround
from odds_service.model.market import MarketKey
from odds_service.sources.markets.schema import PROVIDERS, SAME, TableError, cells
from odds_service.sources.markets.table import Table, table

OUTCOMES = """
[outcomes.result]
keys = "home draw away"
complete = true
sportybet = "1 2 3"
betpawa = "1 X 2"
bet9ja = "1|1H X 2"

[outcomes.over_under]
keys = "over under"
complete = true
sportybet = "12 13"
betpawa = ["Over", "Under"]
bet9ja = "O -"

[outcomes.scores]
keys = "0:0 1:0 other"
sportybet = "="
betpawa = "="
"""
SOCCER = """
sport = "soccer"

[ids]
sportybet = "sr:sport:1"
bet9ja = "1 3000001"

[markets.h2h]
about = "Match odds"
outcomes = "result"
sportybet = "1"
bet9ja = "S_1X2"

[markets.totals]
about = "Goals"
outcomes = "over_under"
sportybet = "18?total={line}"
betpawa = "5000@{line}"
bet9ja = "S_OU@{line}"
"""


def folder(tmp_path: Path, *, outcomes: str = OUTCOMES, **files: str) -> Path:
    (tmp_path / "outcomes.toml").write_text(outcomes)
    for name, text in ({"soccer": SOCCER} | files).items():
        (tmp_path / f"{name}.toml").write_text(text)
    return tmp_path


def market(entry: str) -> str:
    """Return SOCCER with one more market; its lines follow its `about`."""
    return f'{SOCCER}\n[markets.extra]\nabout = "One more"\n{entry}\n'


def test_a_market_is_found_by_id_and_specifier(tmp_path: Path) -> None:
    small = Table(folder(tmp_path))
    reading = small.reading("sportybet", "soccer")
    placed = reading.market("18", "total=2.50")
    assert placed is not None
    target = placed.target("12")
    assert target is not None
    assert (target.key, target.outcome) == (MarketKey("totals", "2.5"), "over")
    assert placed.target("14") is None
    assert placed.types == {"totals"}
    assert reading.market("18", "total=2.50") is placed  # looked up once
    for specifier in ("", "total=x", "total=2.5|half=1", "hcp=2.5", "total"):
        assert reading.market("18", specifier) is None
    assert reading.market("19", "total=2.5") is None


def test_sports_and_what_nobody_has(tmp_path: Path) -> None:
    small = Table(folder(tmp_path))
    assert small.sport("bet9ja", "3000001") == "soccer"
    assert small.sport("betpawa", "2") is None
    assert small.reading("sportybet", "chess").market("1") is None
    assert small.reading("nobody", "soccer").market("1") is None


def test_alternatives_absences_and_texts(tmp_path: Path) -> None:
    text = market('outcomes = "scores"\nsportybet = "45"\nbetpawa = "4429"')
    small = Table(folder(tmp_path, soccer=text))
    h2h = small.reading("bet9ja", "soccer").market("S_1X2")
    totals = small.reading("bet9ja", "soccer").market("S_OU", "2.5")
    by_text = small.reading("sportybet", "soccer").market("45")
    by_name = small.reading("betpawa", "soccer").market("4429")
    assert h2h is not None
    assert totals is not None
    assert by_text is not None
    assert by_name is not None
    assert [getattr(h2h.target(one), "outcome", None) for one in ("1", "1H", "X", "XH")] == [
        "home",
        "home",
        "draw",
        None,
    ]
    assert totals.target("U") is None
    assert by_text.target("1:0") is None  # that would be an id
    assert by_text.target(SAME + "1:0") is not None
    assert by_name.target("1:0") is not None


def test_patterns_read_players(tmp_path: Path) -> None:
    entry = (
        'outcomes = "over_under"\n'
        'sportybet = { id = "776?variant={any}", key = "over", '
        "pattern = '=(?P<participant>.+) \\([^()]*\\) (?P<at_least>\\d+)\\+' }"
    )
    placed = Table(folder(tmp_path, soccer=market(entry))).reading("sportybet", "soccer").market(
        "776", "variant=pre:1"
    )  # fmt: skip
    assert placed is not None
    target = placed.target("=Digne, Lucas (France) 2+")
    assert target is not None
    assert (target.key, target.outcome) == (MarketKey("extra", "1.5", "Lucas Digne"), "over")
    assert placed.target("=Digne, Lucas 2+") is None
    assert placed.key is None  # it holds a market for each player


def test_minutes_are_part_of_the_type(tmp_path: Path) -> None:
    text = SOCCER + (
        '\n[markets."h2h_m{minute}"]\nabout = "Early"\noutcomes = "result"\n'
        'sportybet = "900069?minute={minute}"\nbet9ja = { id = "S_5", minute = 5 }\n'
    )
    small = Table(folder(tmp_path, soccer=text))
    for provider, id_, specifier in (
        ("sportybet", "900069", "minute=5"),
        ("bet9ja", "S_5", ""),
    ):
        placed = small.reading(provider, "soccer").market(id_, specifier)
        assert placed is not None
        assert placed.types == {"h2h_m5"}
    assert small.complete("soccer", "h2h_m5", ["home", "draw", "away"])


RESULT = 'outcomes = "result"\n'


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (RESULT, "no provider has it"),
        ('outcome = "result"', ".*unknown field `outcome`"),
        ('outcomes = "results"\nbetpawa = "9"', "no outcomes are called 'results'"),
        ('outcomes = "scores"\nbet9ja = "S_CS"', "neither it nor its outcome set"),
        (RESULT + 'betpawa = { id = "9", outcomes = "1 X" }', "2 spellings for 3 keys"),
        (RESULT + 'betpawa = { id = "9", outcomes = "1 X 1" }', "'1' is empty or repeated"),
        (RESULT + 'betpawa = { id = "9", outcome = "1 X 2" }', ".*unknown field `outcome`"),
        (RESULT + 'betpawa = "9@{lines}"', "'{lines}' is not one whole placeholder"),
        (RESULT + 'betpawa = "9@+{line}"', ".*is not one whole placeholder"),
        (RESULT + 'betpawa = "@9"', "id '@9' is not like"),
        (RESULT + 'betpawa = "9@{minute}"', "the {minute} of the key"),
        (RESULT + 'betpawa = { id = "9@{line}", line = "1" }', "the line is given twice"),
        (RESULT + 'betpawa = { id = "9", line = "one" }', "line 'one'"),
        (RESULT + 'betpawa = { id = "9", key = "home" }', "pattern and key go together"),
        (RESULT + 'betpawa = { id = "9", key = "home", pattern = "(" }', "pattern: "),
        (RESULT + 'betpawa = { id = "9", key = "home", pattern = "(?P<a>.)" }', "pattern: groups"),
        (RESULT + 'betpawa = { id = "9", key = "x", pattern = "(?P<side>.)" }', "key 'x' is in no"),
        (RESULT + 'sportybet = "1"', "'1' claims outcomes of soccer.toml: markets.h2h.sportybet"),
        ('outcomes = "over_under"\nbetpawa = "5000@2.5"', "'5000@2.5' claims outcomes"),
        (RESULT + 'home.betpawa = "3@{x}"', "'{x}' is not"),
    ],
)
def test_a_wrong_market_is_named(tmp_path: Path, entry: str, said: str) -> None:
    with pytest.raises(TableError) as refused:
        Table(folder(tmp_path, soccer=market(entry)))
    where = r"soccer\.toml: markets\.extra(\.(home|betpawa|bet9ja|sportybet))*: "
    assert re.match(where + said, str(refused.value)), refused.value


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"soccer": "sport = "}, "soccer.toml: Invalid value"),
        ({"soccer": 'sport = "soccer"\nmarket = 3'}, "soccer.toml: .*unknown field `market`"),
        ({"more": SOCCER}, "soccer.toml: markets.h2h: appears twice"),
        (
            {"soccer": SOCCER.replace("markets.h2h", 'markets."H2H!"')},
            "soccer.toml: markets.H2H!: a market's key has only",
        ),
        (
            {"soccer": SOCCER.replace('about = "Goals"', 'about = ""')},
            "soccer.toml: markets.totals: about is empty",
        ),
        (
            {"soccer": SOCCER.replace("[ids]", '[ids]\nbet365 = "1"')},
            "soccer.toml: ids.bet365: no such provider",
        ),
        ({"outcomes": '[outcomes.x]\nkeys = "a b a"'}, "outcomes.x: keys are missing or repeated"),
        ({"outcomes": '[outcomes.x]\nkeys = ""'}, "outcomes.x: keys are missing"),
        ({"outcomes": '[outcomes.x]\nkeys = "Home"'}, "outcomes.x: key 'Home' has other"),
        ({"outcomes": '[outcomes.x]\nkeys = "a b"\nbetpawa = "A"'}, "x.betpawa: 1 spellings for 2"),
        ({"outcomes": '[outcomes.x]\nkeys = "a b"\nbetpawa = "A |B"'}, "x.betpawa: '' is empty"),
        ({"outcomes": "[outcomes.x]\nkeys = 3"}, r"outcomes.x: Expected `str \| array`, got `int`"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, files: dict[str, str], said: str) -> None:
    with pytest.raises(TableError, match=said):
        Table(folder(tmp_path, **files))


def test_every_outcome_set_of_the_table_is_used() -> None:
    used = {
        name
        for entries in table().entries.values()
        for entry in entries.values()
        for name in (
            entry.outcomes,
            *(
                place.set
                for _, side in entry.sides()
                for provider in PROVIDERS
                for place in side.places(provider)
            ),
        )
    }
    assert used - {None} == table().sets.keys()


def test_the_model_sums_only_what_the_table_calls_complete() -> None:
    """model.overround knows sets of outcomes without their market.

    So a set must mean the same in every market, and no set with overlapping outcomes may look like
    one that it sums.
    """
    complete: dict[frozenset[str], set[bool]] = {}
    for one in table().sets.values():
        complete.setdefault(frozenset(cells(one.keys)), set()).add(one.complete)
    assert all(len(meanings) == 1 for meanings in complete.values())
    for keys in overround._ONE_COMES_TRUE:
        assert complete[keys] == {True}, keys


def test_the_odds_apis_names_are_kept_where_it_has_one() -> None:
    """https://the-odds-api.com/sports-odds-data/betting-markets.html"""
    soccer = table().entries["soccer"].keys()
    assert {
        "h2h", "h2h_h1", "h2h_h2", "totals", "totals_h1", "totals_h2", "spreads", "spreads_h1",
        "spreads_h2", "team_totals", "team_totals_h1", "team_totals_h2", "btts", "draw_no_bet",
        "double_chance", "alternate_totals_corners", "alternate_spreads_corners",
        "alternate_totals_cards", "alternate_spreads_cards", "player_goal_scorer_anytime",
        "player_first_goal_scorer", "player_last_goal_scorer", "player_to_receive_card",
        "player_shots", "player_shots_on_target", "player_assists",
    } <= soccer  # fmt: skip
    assert {
        "h2h", "spreads", "totals", "team_totals", "h2h_3_way", "totals_h1", "spreads_h1",
        "totals_q1", "spreads_q1", "team_totals_q1", "h2h_3_way_q1",
    } <= table().entries["basketball"].keys()  # fmt: skip
    assert {"h2h", "spreads", "totals"} <= table().entries["tennis"].keys()
