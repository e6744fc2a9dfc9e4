"""Basketball and tennis: the same match has the same markets at all three bookmakers."""

from collections import Counter

import pytest

from odds_service.model.market import MarketKey
from odds_service.model.observation import ObservedEvent
from odds_service.sources.markets.agreement import disagreements, prices_of
from odds_service.sources.markets.coverage import Coverage
from odds_service.sources.markets.table import table
from odds_service.sources.recognise import READERS, recognise
from tests.sources.bodies import bet9ja, betpawa, betpawa_market, sportybet, sportybet_market

BASKETBALL = {
    "sportybet": sportybet(
        sportybet_market("219", {"4": "1.70", "5": "2.15"}),
        sportybet_market("225", {"12": "1.90", "13": "1.85"}, "total=158.5"),
        sportybet_market("223", {"1714": "1.92", "1715": "1.86"}, "hcp=-2.5"),
        sportybet_market("228", {"12": "1.80", "13": "1.95"}, "total=77.5"),
        sportybet_market("1", {"1": "1.80", "2": "14.0", "3": "2.25"}),
        sportybet_market("236", {"12": "1.76", "13": "1.95"}, "total=38.5|quarternr=4"),
        sportybet_market("303", {"1714": "1.88", "1715": "1.82"}, "hcp=-0.5|quarternr=4"),
        sportybet_market("297", {"941": "1.90", "940": "32.0", "939": "1.82"}, "total=157"),
        sport={"id": "sr:sport:2", "name": "Basketball"},
    ),
    "betpawa": betpawa(
        betpawa_market("4791", {"1": 1.72, "2": 2.12}),
        betpawa_market("5009", {"Over": 1.88, "Under": 1.87}, handicaps=(634,)),
        betpawa_market("3777", {"1": 1.93, "2": 1.85}, handicaps=(-10,)),
        betpawa_market("4997", {"Over": 1.74, "Under": 1.96}, handicaps=(154,)),
        betpawa_market("3771", {"1": 1.86, "2": 1.84}, handicaps=(-2,)),
        category={"id": "3", "name": "Basketball"},
    ),
    "bet9ja": bet9ja(
        {
            "B_12_1": "1.7", "B_12_2": "2.1",
            "B_OUN@158.5_O": "1.95", "B_OUN@158.5_U": "1.83",
            "B_H@-2.5_1": "1.92", "B_H@-2.5_2": "1.86",
            "B_OUA@77.5_O": "1.78", "B_OUA@77.5_U": "1.97",
            "B_1X2_1B": "1.79", "B_1X2_XB": "13", "B_1X2_2B": "2.25",
            "B_4QOU@38.5_O": "1.7", "B_4QOU@38.5_U": "2.05",
            "B_4QH@-0.5_1": "1.88", "B_4QH@-0.5_2": "1.81",
        },
        SID=2,
    ),
}  # fmt: skip
TENNIS = {
    "sportybet": sportybet(
        sportybet_market("186", {"4": "2.35", "5": "1.62"}),
        sportybet_market("187", {"1714": "1.98", "1715": "1.83"}, "hcp=1.5"),
        sportybet_market("188", {"1714": "1.46", "1715": "2.60"}, "hcp=1.5"),
        sportybet_market("189", {"12": "1.85", "13": "1.90"}, "total=22.5"),
        sportybet_market("202", {"4": "2.15", "5": "1.70"}, "setnr=1"),
        sportybet_market("202", {"4": "2.10", "5": "1.72"}, "setnr=2"),
        sportybet_market("193", {"74": "1.24", "76": "3.75"}),
        sportybet_market("201", {"861": "2.85", "862": "9.1", "863": "7.2", "864": "1.97"}),
        sport={"id": "sr:sport:5", "name": "Tennis"},
    ),
    "betpawa": betpawa(
        betpawa_market("2043818", {"1": 2.3, "2": 1.57}),
        betpawa_market("3532590", {"1": 1.92, "2": 1.78}, handicaps=(6,)),
        betpawa_market("4895", {"Over": 1.8, "Under": 1.9}, handicaps=(90,)),
        betpawa_market("4758", {"1": 2.09, "2": 1.65}),
        betpawa_market("4770", {"1": 2.04, "2": 1.66}),
        category={"id": "452", "name": "Tennis"},
    ),
    "bet9ja": bet9ja(
        {
            "T_12_1": "2.3", "T_12_2": "1.6",
            "T_GH@1.5_1": "1.95", "T_GH@1.5_2": "1.8",
            "T_SH@1.5_1": "1.45", "T_SH@1.5_2": "2.55",
            "T_OUG@22.5_O": "1.83", "T_OUG@22.5_U": "1.91",
            "T_121P_1": "2.1", "T_121P_2": "1.7",
            "T_2SWIN_1": "2.1", "T_2SWIN_2": "1.7",
            "T_WSET_2Yes": "1.22", "T_WSET_2No": "3.9",
            "T_1SETMATCH_11": "2.8", "T_1SETMATCH_12": "7",
            "T_1SETMATCH_21": "9", "T_1SETMATCH_22": "1.95",
        },
        SID=5,
    ),
}  # fmt: skip


def read(bodies: dict[str, bytes], sport: str) -> dict[str, ObservedEvent]:
    events = {}
    for provider, body in bodies.items():
        assert recognise(body) == provider
        problems: Counter[str] = Counter()
        coverage = Coverage()
        events[provider] = READERS[provider](body, problems, coverage)
        assert events[provider].sport == sport
        assert not problems
        assert not coverage.unmapped
    return events


@pytest.mark.parametrize(
    ("sport", "bodies", "at_all", "at_two"),
    [
        (
            "basketball",
            BASKETBALL,
            {
                MarketKey("h2h"),
                MarketKey("totals", "158.5"),
                MarketKey("spreads", "-2.5"),
                MarketKey("totals_q4", "38.5"),
                MarketKey("spreads_q4", "-0.5"),
            },
            {MarketKey("h2h_3_way"), MarketKey("team_totals", "77.5", "away")},
        ),
        (
            "tennis",
            TENNIS,
            {
                MarketKey("h2h"),
                MarketKey("spreads", "1.5"),
                MarketKey("totals", "22.5"),
                MarketKey("h2h_s1"),
                MarketKey("h2h_s2"),
            },
            {
                MarketKey("spreads_sets", "1.5"),
                MarketKey("wins_a_set", participant="away"),
                MarketKey("first_set_and_match"),
            },
        ),
    ],
)
def test_the_same_match_is_the_same_markets(
    sport: str, bodies: dict[str, bytes], at_all: set[MarketKey], at_two: set[MarketKey]
) -> None:
    shown = {name: event.bookmakers[0].markets for name, event in read(bodies, sport).items()}
    times = Counter(key for markets in shown.values() for key in markets)
    assert {key for key, number in times.items() if number == 3} == at_all
    assert {key for key, number in times.items() if number == 2} == at_two
    for key in at_all | at_two:
        outcomes = {frozenset(prices_of(m[key])) for m in shown.values() if key in m}
        assert len(outcomes) == 1, key
    assert disagreements(table(), sport, shown) == []


def test_basketballs_match_odds_count_overtime_and_soccers_do_not_exist_there() -> None:
    """The id 1 means match odds in soccer, and a three-way market of regular time in basketball."""
    event = read(BASKETBALL, "basketball")["sportybet"]
    markets = event.bookmakers[0].markets
    assert set(prices_of(markets[MarketKey("h2h")])) == {"home", "away"}
    assert set(prices_of(markets[MarketKey("h2h_3_way")])) == {"home", "draw", "away"}
    assert set(prices_of(markets[MarketKey("totals_3_way", "157")])) == {"over", "exact", "under"}
