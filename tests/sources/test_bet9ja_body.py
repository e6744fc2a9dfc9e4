"""Bet9ja's bodies: flat keys, both shapes, missing prices, and single bad parts."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odds_service.errors import SourceError
from odds_service.model.event import EventStatus
from odds_service.model.market import MarketKey, MarketStatus, ObservedMarket
from odds_service.model.observation import ANY, ObservedEvent
from odds_service.sources.bet9ja_body import read_event
from odds_service.sources.markets.coverage import Coverage
from tests.sources.bodies import bet9ja, bet9ja_live

H2H = MarketKey("h2h")
H2H_ODDS = {"S_1X2_1": "2.45", "S_1X2_X": "3.2", "S_1X2_2": "3"}


def read(body: bytes) -> tuple[ObservedEvent, Counter[str], Coverage]:
    problems: Counter[str] = Counter()
    coverage = Coverage()
    return read_event(body, problems, coverage), problems, coverage


def markets_of(event: ObservedEvent) -> dict[MarketKey, ObservedMarket]:
    (bookmaker,) = event.bookmakers
    return dict(bookmaker.markets)


def prices(market: ObservedMarket) -> dict[str, float | None]:
    return {outcome.key: outcome.price for outcome in market.outcomes}


def test_the_event() -> None:
    event, problems, _ = read(bet9ja(H2H_ODDS))
    assert (event.source_event_id, event.home, event.away) == ("769895636", "Reds", "Blues FC")
    assert event.start_time == datetime(2026, 5, 6, 11, tzinfo=UTC)
    assert (event.sport, event.competition) == ("soccer", "soccer_china_super_league")
    assert event.shared_ids == {"sr": "123"}
    assert event.status is None
    assert [bookmaker.bookmaker for bookmaker in event.bookmakers] == ["bet9ja"]
    assert not problems


@pytest.mark.parametrize(
    ("id_", "shared"),
    [("sr:match:123", {"sr": "123"}), (123, {"sr": "123"}), (None, {}), ("", {}), ("0", {}),
     ("x1", {}), ("9" * 5000, {})],
)  # fmt: skip
def test_the_shared_id_has_one_form(id_: Any, shared: dict[str, str]) -> None:
    assert read(bet9ja({}, EXTID=id_))[0].shared_ids == shared


def test_in_play() -> None:
    event, problems, coverage = read(
        bet9ja_live(
            {
                "LIVES_1X2_1": {"v": 2.5},
                "LIVES_1X2_X": {"v": "3.1"},
                "LIVES_1X2_2": {"v": 1},
                "LIVES_NEXTGOAL@0:3_1": {"v": 1.5},
                "LIVES_NEXTGOAL@0:3_X": {"v": 9},
            }
        )
    )
    assert event.status is EventStatus.IN_PLAY
    assert (event.sport, event.home, event.away) == ("soccer", "Reds", "Blues FC")
    assert event.shared_ids == {"sr": "123"}
    assert {key: prices(market) for key, market in markets_of(event).items()} == {
        H2H: {"home": 2.5, "draw": 3.1, "away": None},
        MarketKey("next_goal", "4"): {"home": 1.5, "none": 9.0},
    }
    assert not problems
    assert coverage.share == 1.0


def test_keys_lines_and_sides() -> None:
    event, problems, coverage = read(
        bet9ja(
            {
                "S_OU@2.5_U": "1.9",
                "S_HTFTOU@4.5_1/1U": "4.65",
                "S_OU@2.5_O": "1.85",
                "S_OUA@2.25_O": "1.7",
                "S_1X2HND@-1_2H": "1.5",
                "S_HAOU@1.5_OA": "2.6",
                "S_HAOU@1.5_UH": "1.5",
                "S_HAOU@1.5_OH": "2.4",
                "S_1STGOAL_X": "10",
                "S_S20MIN_YS20M": "2",
                "S_CHANCEMIXOU@1.5_1orOv": "1.2",
                "S_CHANCEMIXOU@1.5_XorUn": "2.1",
            }
        )
    )
    assert {key: prices(market) for key, market in markets_of(event).items()} == {
        MarketKey("totals", "2.5"): {"over": 1.85, "under": 1.9},
        MarketKey("totals", "2.25"): {"over": 1.7},
        MarketKey("half_time_full_time_totals", "4.5"): {"home_home_under": 4.65},
        MarketKey("spreads_3_way", "-1"): {"away": 1.5},
        MarketKey("team_totals", "1.5", "away"): {"over": 2.6},
        MarketKey("team_totals", "1.5", "home"): {"over": 2.4, "under": 1.5},
        MarketKey("next_goal", "1"): {"none": 10.0},
        MarketKey("totals_m20", "0.5"): {"over": 2.0},
        MarketKey("home_or_over", "1.5"): {"yes": 1.2},
        MarketKey("draw_or_under", "1.5"): {"yes": 2.1},
    }
    assert not problems
    assert (coverage.mapped, coverage.markets) == (8, 8)


@pytest.mark.parametrize("none", ["1", "1.00", "0", "0.00"])
def test_1_and_0_are_no_prices(none: str) -> None:
    event, problems, _ = read(bet9ja({"S_DNB_1": none, "S_DNB_2": "1.9", "S_GGNG_Y": none}))
    draw_no_bet, btts = markets_of(event).values()
    assert [(o.key, o.price, o.active) for o in draw_no_bet.outcomes] == [
        ("home", None, False),
        ("away", 1.9, True),
    ]
    assert (draw_no_bet.status, btts.status) == (MarketStatus.OPEN, MarketStatus.SUSPENDED)
    assert not problems


def test_what_the_table_does_not_know_is_counted_by_name() -> None:
    event, problems, coverage = read(
        bet9ja(H2H_ODDS | {"S_NEW@1_A": "2", "S_NEW@1_B": "2", "S_NEW@2_A": "2", "S_DNB_9": "7"})
    )
    assert set(markets_of(event)) == {H2H}
    assert coverage.unmapped == {"A New Market (S_NEW)": 2, "S_DNB": 1}
    assert (coverage.mapped, coverage.markets) == (1, 4)
    assert not problems


BAD_ODDS: list[tuple[dict[str, Any], dict[str, int], set[str]]] = [
    ({"S_GGNG_Y": None}, {"bad_price": 1, "bad_market": 1}, {"btts"}),
    ({"S_GGNG_Y": [], "S_GGNG_N": "1.9"}, {"bad_price": 1}, set()),
    ({"S_GGNG_Y": "-3", "S_GGNG_N": "nan"}, {"bad_price": 2, "bad_market": 1}, {"btts"}),
    ({"S_GGNG_Y": {"v": None}}, {"bad_price": 1, "bad_market": 1}, {"btts"}),
    ({"S_GGNG_Y": {}}, {"bad_price": 1, "bad_market": 1}, {"btts"}),
    ({"S_NEW_Y": None}, {}, set()),
    ({"": "2"}, {"bad_key": 1}, {ANY}),
    ({"GGNG": "2"}, {"bad_key": 1}, {ANY}),
    ({"S_GGNG_\0": "2"}, {"bad_key": 1}, {ANY}),
    ({"S_OU@x_O": "2"}, {}, set()),  # no such line, so no such market
    ({f"S_OU@{'9' * 5000}_O": "2", f"LIVES_NEXTGOAL@{'9' * 5000}:1_1": "2"}, {}, set()),
    ({"S_HAOU@1.5_OH": "x", "S_HAOU@1.5_OA": "2"}, {"bad_price": 1}, set()),
]


@pytest.mark.parametrize(("bad", "counted", "unreadable"), BAD_ODDS)
def test_bad_odds_are_counted_told_and_skipped(
    bad: dict[str, Any], counted: dict[str, int], unreadable: set[str]
) -> None:
    event, problems, _ = read(bet9ja(bad | H2H_ODDS))
    (bookmaker,) = event.bookmakers
    assert prices(bookmaker.markets[H2H]) == {"home": 2.45, "draw": 3.2, "away": 3.0}
    assert problems == counted
    assert bookmaker.unreadable == unreadable


def test_names_that_cannot_be_read_lose_nothing_else() -> None:
    event, problems, coverage = read(bet9ja(H2H_ODDS | {"S_NEW_A": "2"}, MK=[{"ID": 3}]))
    assert set(markets_of(event)) == {H2H}
    assert problems == {"bad_market_names": 1}
    assert coverage.unmapped == {"S_NEW": 1}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "wrong_shape"),
        (b'{"R": "E", "D": null}', "unknown_event"),
        (b'{"R": "LOGIN"}', "refused"),
        (b'{"R": "OK"}', "wrong_shape"),
        (b'{"R": "OK", "D": []}', "wrong_shape"),
        (bet9ja({}, DS="Winner of the Cup"), "wrong_shape"),
        (bet9ja({}, DS="A\0 - B"), "wrong_shape"),
        (bet9ja({}, STARTDATE="tomorrow"), "wrong_shape"),
        (bet9ja({}, O=None), "wrong_shape"),
        (bet9ja({}).replace(b'"O"', b'"P"'), "wrong_shape"),  # not the same as none
        (bet9ja({})[:-3], "wrong_shape"),
    ],
)
def test_what_is_no_event_is_refused_by_kind(body: bytes, kind: str) -> None:
    with pytest.raises(SourceError, match="Bet9ja") as refused:
        read(body)
    assert refused.value.kind == kind


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=4) | st.integers() | st.none()))
def test_no_key_or_value_spoils_the_others(odds: dict[str, Any]) -> None:
    event, *_ = read(bet9ja(odds | H2H_ODDS))
    assert prices(markets_of(event)[H2H]) == {"home": 2.45, "draw": 3.2, "away": 3.0}
