"""The same bet has the same market and outcome keys at all sources and in all spellings."""

import json
import unicodedata
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from odds_service.model.market import MarketKey, MarketStatus
from odds_service.model.observation import ObservedEvent
from odds_service.sources.bet9ja_body import read_event as read_bet9ja
from odds_service.sources.betpawa_body import read_event as read_betpawa
from odds_service.sources.odds_api_body import BodyReader, PriceFormat
from odds_service.sources.sportybet_body import read_event as read_sportybet
from tests.sources.bodies import bet9ja, betpawa, betpawa_market, sportybet, sportybet_market

Priced = dict[str, float | None]
HOME, AWAY = "Atlético Ñuñoa", "Göztepe or Fort William"


def odds_api(
    market: str,
    names: list[str] | list[tuple[str, Any]],
    *,
    point: float | None = None,
    player: str | None = None,
    sport: str = "soccer_epl",
    home: str | None = HOME,
    away: str | None = AWAY,
    title: object = "EPL",
) -> ObservedEvent:
    """Read one market; names without given prices get 1.5, 2.5, and so on."""
    outcomes = []
    for number, name in enumerate(names):
        named, price = (name, number + 1.5) if isinstance(name, str) else name
        outcomes.append({"name": named, "price": price})
        if point is not None:
            outcomes[-1]["point"] = point
        if player is not None:
            outcomes[-1]["description"] = player
    event = {
        "id": "e", "sport_key": sport, "sport_title": title,
        "commence_time": "2026-08-04T12:00:00Z", "home_team": home, "away_team": away,
        "bookmakers": [{"key": "b", "markets": [{"key": market, "outcomes": outcomes}]}],
    }  # fmt: skip
    raw = msgspec.Raw(json.dumps(event).encode())
    seen = BodyReader().read_event(raw, PriceFormat.DECIMAL, Counter(), set())
    assert seen is not None
    return seen


def shown(event: ObservedEvent) -> dict[MarketKey, Priced]:
    (bookmaker,) = event.bookmakers
    return {
        key: {outcome.key: outcome.price for outcome in market.outcomes}
        for key, market in bookmaker.markets.items()
    }


RESULT = [HOME, "Draw", AWAY]
# What the four write for one bet; The Odds API's names, the others' own outcome ids.
SAME_BETS: list[tuple[MarketKey, list[ObservedEvent]]] = [
    (
        MarketKey("h2h"),
        [
            odds_api("h2h", RESULT),
            read_sportybet(
                sportybet(sportybet_market("1", {"1": "1.5", "2": "2.5", "3": "3.5"})), Counter()
            ),
            read_betpawa(
                betpawa(betpawa_market("3743", {"1": 1.5, "X": 2.5, "2": 3.5})), Counter()
            ),
            read_bet9ja(bet9ja({"S_1X2_1": "1.5", "S_1X2_X": "2.5", "S_1X2_2": "3.5"}), Counter()),
        ],
    ),
    (
        MarketKey("double_chance"),
        [
            odds_api("double_chance", [f"{HOME} or Draw", f"{HOME} or {AWAY}", f"Draw or {AWAY}"]),
            odds_api("double_chance", ["Home or Draw", "Home or Away", "Draw or Away"]),
            odds_api("double_chance", ["Draw/Home", f"Away / {HOME}", f"{AWAY}/draw"]),
            odds_api("double_chance", ["1X", "12", "X2"]),
            read_sportybet(
                sportybet(sportybet_market("10", {"9": "1.5", "10": "2.5", "11": "3.5"})),
                Counter(),
            ),
            read_betpawa(
                betpawa(betpawa_market("4693", {"1X": 1.5, "12": 2.5, "X2": 3.5})), Counter()
            ),
            read_bet9ja(bet9ja({"S_DC_1X": "1.5", "S_DC_12": "2.5", "S_DC_X2": "3.5"}), Counter()),
        ],
    ),
    (
        MarketKey("draw_no_bet"),
        [
            odds_api("draw_no_bet", [HOME, AWAY]),
            read_sportybet(sportybet(sportybet_market("11", {"4": "1.5", "5": "2.5"})), Counter()),
            read_betpawa(betpawa(betpawa_market("4703", {"1": 1.5, "2": 2.5})), Counter()),
            read_bet9ja(bet9ja({"S_DNB_1": "1.5", "S_DNB_2": "2.5"}), Counter()),
        ],
    ),
    (
        MarketKey("totals", "2.5"),
        [
            odds_api("totals", ["Over", "Under"], point=2.5),
            odds_api("totals", ["OVER ", "under"], point=2.5),
            read_sportybet(
                sportybet(sportybet_market("18", {"12": "1.5", "13": "2.5"}, "total=2.5")),
                Counter(),
            ),
            read_betpawa(
                betpawa(betpawa_market("5000", {"Over": 1.5, "Under": 2.5}, handicaps=(10,))),
                Counter(),
            ),
            read_bet9ja(bet9ja({"S_OU@2.5_O": "1.5", "S_OU@2.5_U": "2.5"}), Counter()),
        ],
    ),
    (
        MarketKey("team_totals", "1.5", "home"),
        [
            odds_api("team_totals", ["Over", "Under"], point=1.5, player=HOME),
            odds_api("team_totals", ["Over", "Under"], point=1.5, player=f" {HOME.upper()}"),
            read_sportybet(
                sportybet(sportybet_market("19", {"12": "1.5", "13": "2.5"}, "total=1.5")),
                Counter(),
            ),
            read_betpawa(
                betpawa(betpawa_market("5006", {"Over": 1.5, "Under": 2.5}, handicaps=(6,))),
                Counter(),
            ),
            read_bet9ja(bet9ja({"S_HAOU@1.5_OH": "1.5", "S_HAOU@1.5_UH": "2.5"}), Counter()),
        ],
    ),
    (
        MarketKey("btts"),
        [
            odds_api("btts", ["Yes", "No"]),
            odds_api("btts", ["yes", "NO"]),
            read_sportybet(
                sportybet(sportybet_market("29", {"74": "1.5", "76": "2.5"})), Counter()
            ),
            read_betpawa(betpawa(betpawa_market("3795", {"Yes": 1.5, "No": 2.5})), Counter()),
            read_bet9ja(bet9ja({"S_GGNG_Y": "1.5", "S_GGNG_N": "2.5"}), Counter()),
        ],
    ),
]


@pytest.mark.parametrize(("key", "events"), SAME_BETS, ids=lambda value: str(value)[:30])
def test_the_same_bet_has_the_same_keys_at_all_sources(
    key: MarketKey, events: list[ObservedEvent]
) -> None:
    first = shown(events[0])
    assert list(first) == [key]
    for event in events[1:]:
        assert shown(event) == first


def spellings(name: str) -> st.SearchStrategy[str]:
    """Generate spellings of one name: split accents, white space around it, another case."""
    return st.builds(
        lambda form, change, before, after: (
            before + change(unicodedata.normalize(form, name)).replace(" ", before or " ") + after
        ),
        st.sampled_from(["NFC", "NFD"]),
        st.sampled_from([str, str.lower, str.title]),
        st.sampled_from(["", " ", "  ", "\t"]),
        st.sampled_from(["", " ", "\u00a0"]),
    )


@given(home=spellings("Atlético Ñuñoa"), draw=spellings("Draw"), away=spellings("Örgryte or Fort"))
def test_the_spelling_of_a_name_does_not_count(home: str, draw: str, away: str) -> None:
    """The event says `Atlético Ñuñoa`; its outcomes may spell it differently."""
    sides: dict[str, Any] = {"home": "Atlético Ñuñoa", "away": "Örgryte or Fort"}
    result = odds_api("h2h", [draw, away, home], **sides)
    assert shown(result) == {MarketKey("h2h"): {"home": 3.5, "draw": 1.5, "away": 2.5}}
    chances = [f"{away} or {draw}", f"{draw} or {home}", f"{home} or {away}"]
    assert shown(odds_api("double_chance", chances, **sides)) == {
        MarketKey("double_chance"): {"draw_away": 1.5, "home_draw": 2.5, "home_away": 3.5}
    }
    (bookmaker,) = result.bookmakers
    assert {outcome.name for outcome in bookmaker.markets[MarketKey("h2h")].outcomes} == {
        home, draw, away,
    }  # fmt: skip  # the source's own text stays


def test_a_runner_and_a_player_have_one_key_in_all_spellings() -> None:
    apart = unicodedata.normalize("NFD", "Kylian Mbappé")
    seen = odds_api("player_goals", ["Over", "Under"], point=0.5, player=f"{apart} ")
    assert list(shown(seen)) == [MarketKey("player_goals", "0.5", "Kylian Mbappé")]
    field = odds_api("outrights", [f" {apart}", "Odd"], home=None, away=None)
    assert shown(field) == {MarketKey("outrights"): {"Kylian Mbappé": 1.5, "Odd": 2.5}}


def test_sides_of_one_name_are_not_told_apart() -> None:
    seen = odds_api("h2h", ["Reds", "REDS "], home="Reds", away="REDS ")
    assert set(shown(seen)[MarketKey("h2h")]) == {"Reds", "REDS"}


def test_a_tie_is_crickets_draw_unless_both_are_listed() -> None:
    key = MarketKey("h2h")
    of = "cricket_international_t20"
    assert set(shown(odds_api("h2h", [HOME, AWAY, "Tie"], sport=of))[key]) == {
        "home", "draw", "away",
    }  # fmt: skip
    both = odds_api("h2h", [HOME, "Draw", AWAY, "Tie"], sport="cricket_test_match")
    assert shown(both)[key] == {"home": 1.5, "draw": 2.5, "away": 3.5, "tie": 4.5}
    assert "Tie" in shown(odds_api("h2h", [HOME, AWAY, "Tie"], sport="baseball_mlb"))[key]


def test_an_outright_is_named_by_its_title() -> None:
    names = ["Ann", "Bob", "Cid"]
    assert odds_api("outrights", names, home=None, away=None, title="Masters Winner").title == (
        "Masters Winner"
    )
    assert odds_api("outrights", names, home=None, away=None, title=7).title == ""
    assert odds_api("h2h", RESULT, title="EPL").title == ""  # its sides name it


@pytest.mark.parametrize("price", [None, 0, 1.0, -5, "two", 1e12, {}])
def test_a_draw_without_a_usable_price_stays_at_all_sources(price: Any) -> None:
    """Without it the market would look like a two-way one."""
    bodies = [
        odds_api("h2h", [(HOME, 1.5), ("Draw", price), (AWAY, 3.5)]),
        read_sportybet(
            sportybet(sportybet_market("1", {"1": "1.5", "2": price, "3": "3.5"})), Counter()
        ),
        read_betpawa(betpawa(betpawa_market("3743", {"1": 1.5, "X": price, "2": 3.5})), Counter()),
        read_bet9ja(bet9ja({"S_1X2_1": "1.5", "S_1X2_X": price, "S_1X2_2": "3.5"}), Counter()),
    ]
    for seen in bodies:
        (bookmaker,) = seen.bookmakers
        market = bookmaker.markets[MarketKey("h2h")]
        assert [(each.key, each.price, each.active) for each in market.outcomes] == [
            ("home", 1.5, True), ("draw", None, False), ("away", 3.5, True),
        ]  # fmt: skip
        assert market.status is MarketStatus.OPEN


def test_a_line_of_which_no_price_is_usable_is_suspended() -> None:
    names = [("Over", 1.5), ("Under", 2.5), ("Over", 0), ("Under", None)]
    event = {
        "id": "e", "sport_key": "soccer_epl", "commence_time": "2026-08-04T12:00:00Z",
        "home_team": HOME, "away_team": AWAY,
        "bookmakers": [{"key": "b", "markets": [{"key": "alternate_totals", "outcomes": [
            {"name": name, "price": price, "point": 2.5 + number // 2}
            for number, (name, price) in enumerate(names)
        ]}]}],
    }  # fmt: skip
    raw = msgspec.Raw(json.dumps(event).encode())
    seen = BodyReader().read_event(raw, PriceFormat.DECIMAL, Counter(), set())
    assert seen is not None
    (bookmaker,) = seen.bookmakers
    statuses = {key.line: market.status for key, market in bookmaker.markets.items()}
    assert statuses == {"2.5": MarketStatus.OPEN, "3.5": MarketStatus.SUSPENDED}
    assert not bookmaker.unreadable
