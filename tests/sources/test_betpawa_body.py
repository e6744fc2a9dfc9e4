"""BetPawa's bodies: rows and quarters, both shapes, missing prices, and single bad parts."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from odds_service.errors import SourceError
from odds_service.model.event import EventStatus
from odds_service.model.market import MarketKey, MarketStatus, ObservedMarket
from odds_service.model.observation import ANY, ObservedEvent
from odds_service.sources.betpawa_body import read_event
from odds_service.sources.markets.coverage import Coverage
from tests.sources.bodies import betpawa, betpawa_market

H2H = MarketKey("h2h")
H2H_MARKET = betpawa_market("3743", {"1": 2.41, "X": 3.29, "2": 3.02})


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
    event, problems, _ = read(betpawa(H2H_MARKET))
    assert (event.source_event_id, event.home, event.away) == ("33289995", "Reds FC", "Blues FC")
    assert event.start_time == datetime(2026, 5, 6, 11, tzinfo=UTC)
    assert (event.sport, event.competition) == ("soccer", "soccer_china_super_league")
    assert event.shared_ids == {"sr": "123"}
    assert event.status is EventStatus.SCHEDULED
    assert [bookmaker.bookmaker for bookmaker in event.bookmakers] == ["betpawa"]
    assert not problems


@pytest.mark.parametrize(
    ("widgets", "shared"),
    [
        (None, {}),
        ([], {}),
        ([{"type": "GENIUSSPORTS", "id": "13344921"}], {}),
        ([{"type": "SPORTRADAR", "id": None}], {}),
        ([{"type": "SPORTRADAR", "id": "sr:match:123"}], {"sr": "123"}),
        ([{"type": "SPORTRADAR", "id": 123}, {"type": "SPORTRADAR", "id": "123"}], {"sr": "123"}),
        ([{"type": "SPORTRADAR", "id": "1"}, {"type": "SPORTRADAR", "id": "2"}], {}),
    ],
)
def test_the_shared_id_is_one_or_none(widgets: Any, shared: dict[str, str]) -> None:
    assert read(betpawa(widgets=widgets))[0].shared_ids == shared


@pytest.mark.parametrize(
    ("participants", "sides"),
    [
        ([{"name": "B", "position": 2}, {"name": "A", "position": 1}], ("A", "B")),
        ([{"name": "B", "role": "AWAY"}, {"name": "A", "role": "HOME"}], ("A", "B")),
        ([{"name": "A"}, {"name": "B"}], ("", "")),
        ([], ("", "")),
    ],
)
def test_sides_are_told_not_guessed(participants: Any, sides: tuple[str, str]) -> None:
    event, *_ = read(betpawa(participants=participants))
    assert (event.home, event.away) == sides


@pytest.mark.parametrize(
    ("info", "status"),
    [({"live": True}, EventStatus.IN_PLAY), ({}, None), (None, None)],
)
def test_the_status_is_told_where_they_tell_it(info: Any, status: EventStatus | None) -> None:
    assert read(betpawa(additionalInfo=info))[0].status is status


def test_rows_are_lines_in_quarters_or_rows_of_one_market() -> None:
    event, problems, coverage = read(
        betpawa(
            betpawa_market(
                "5000", {"Over": 1.31, "Under": 3.49}, {"Over": 1.98, "Under": 1.83},
                handicaps=(6, 10),
            ),
            betpawa_market("4724", {"1": 11.2, "X": 6.9, "2": 1.2}, handicaps=(-4,)),
            betpawa_market("3774", {"1": 2.33, "2": 1.64}, handicaps=(2,)),
            betpawa_market("28000224", {"1": 1.9, "None": 9.0, "2": 2.1}, handicaps=(16,)),
            betpawa_market(
                "4706", {"1/1": 7.8, "1/X": 17.0, "1/2": 21.0},
                {"X/1": 10.0, "X/X": 7.3, "X/2": 4.9}, {"2/1": 43.0, "2/X": 16.0, "2/2": 2.3},
            ),
        )
    )  # fmt: skip
    markets = markets_of(event)
    assert prices(markets.pop(MarketKey("half_time_full_time"))) == {
        "home_home": 7.8, "home_draw": 17.0, "home_away": 21.0, "draw_home": 10.0,
        "draw_draw": 7.3, "draw_away": 4.9, "away_home": 43.0, "away_draw": 16.0, "away_away": 2.3,
    }  # fmt: skip
    assert {key: prices(market) for key, market in markets.items()} == {
        MarketKey("totals", "1.5"): {"over": 1.31, "under": 3.49},
        MarketKey("totals", "2.5"): {"over": 1.98, "under": 1.83},
        MarketKey("spreads_3_way", "-1"): {"home": 11.2, "draw": 6.9, "away": 1.2},
        MarketKey("spreads", "0.5"): {"home": 2.33, "away": 1.64},
        MarketKey("next_goal", "4"): {"home": 1.9, "none": 9.0, "away": 2.1},
    }
    assert not problems
    assert (coverage.mapped, coverage.markets) == (5, 5)


def test_what_is_suspended_has_no_price_of_100_or_0() -> None:
    """100.0 is a real price if it is not suspended."""
    event, *_ = read(
        betpawa(
            betpawa_market("3743", {"1!": 100.0, "X!": 0.0, "2!": 3.5}),
            betpawa_market("4429", {"0-0": 9.5, "4-4": 100.0}),
        )
    )
    h2h, score = markets_of(event).values()
    assert [(o.key, o.price, o.active) for o in h2h.outcomes] == [
        ("home", None, False),
        ("draw", None, False),
        ("away", 3.5, False),
    ]
    assert h2h.status is MarketStatus.SUSPENDED
    assert prices(score) == {"0:0": 9.5, "4:4": 100.0}


def test_the_newer_shape() -> None:
    """It says `odds` for `price`, has `suspended` only if true, and may lack a handicap."""
    market = {
        "marketType": {"id": "3795", "name": "Both Teams To Score - FT"},
        "row": [
            {
                "prices": [
                    {"name": "Yes", "odds": 1.8, "probability": {"win": 1}},
                    {"name": "No", "odds": 100.0, "suspended": True},
                ]
            }
        ],
    }
    event, problems, _ = read(betpawa(market))
    (btts,) = markets_of(event).values()
    assert [(o.key, o.price, o.active) for o in btts.outcomes] == [
        ("yes", 1.8, True),
        ("no", None, False),
    ]
    assert not problems


def test_players() -> None:
    event, *_ = read(
        betpawa(
            betpawa_market("129108", {"Erling Haaland": 2.1}, {"Kylian Mbappe": 1.9}),
            betpawa_market("129110", {"Erling Haaland": 5.9}, handicaps=(4,)),
            betpawa_market("129110", {"Erling Haaland": 9.9}, handicaps=(8,)),
        )
    )
    assert {key: prices(market) for key, market in markets_of(event).items()} == {
        MarketKey("player_goal_scorer_anytime", "", "Erling Haaland"): {"yes": 2.1},
        MarketKey("player_goal_scorer_anytime", "", "Kylian Mbappe"): {"yes": 1.9},
        MarketKey("player_first_goal_scorer", "", "Erling Haaland"): {"yes": 5.9},
    }  # the second goal's scorer is another bet, and the table has none


def test_what_the_table_does_not_know_is_counted_by_name() -> None:
    _, problems, coverage = read(
        betpawa(
            H2H_MARKET,
            betpawa_market("99", {"1": 2.0}),
            betpawa_market("3795", {"Yes": 1.9, "No": 1.9, "Maybe": 9.0}),
        )
    )
    assert coverage.unmapped == {"Market 99 (99)": 1, "Market 3795 (3795)": 1}
    assert (coverage.mapped, coverage.markets) == (1, 3)
    assert not problems


BAD_MARKETS: list[tuple[Any, dict[str, int], set[str]]] = [
    (None, {"bad_market": 1}, {ANY}),
    ({"row": []}, {"bad_market": 1}, {ANY}),
    ({"marketType": {"id": "5000"}, "row": None}, {"bad_market": 1}, {"totals"}),
    ({"marketType": {"id": "5000"}, "row": [None]}, {"bad_row": 1, "bad_market": 1}, {"totals"}),
    (
        betpawa_market("5000", {"Over": "x"}, handicaps=(10,)),
        {"bad_price": 1, "bad_market": 1},
        {"totals"},
    ),
    (betpawa_market("3795", {"Yes": -1.0}), {"bad_price": 1, "bad_market": 1}, {"btts"}),
    (betpawa_market("3795", {"Yes": 2e9, "No": 1.2}), {"bad_price": 1}, set()),
    (betpawa_market("3795", {"Yes": 1.9, "N\0": 1.2}), {}, set()),  # no such outcome
    (betpawa_market("129108", {"A\0": 1.9, "B": 1.2}), {"bad_outcome": 1}, set()),
    (betpawa_market("5000", {"Over": 1.9}, handicaps=(1e300,)), {"bad_line": 1}, {"totals"}),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "counted", "unreadable"), BAD_MARKETS)
def test_a_bad_market_is_counted_told_and_skipped(
    bad: Any, counted: dict[str, int], unreadable: set[str]
) -> None:
    event, problems, _ = read(betpawa(bad, H2H_MARKET))
    (bookmaker,) = event.bookmakers
    assert prices(bookmaker.markets[H2H]) == {"home": 2.41, "draw": 3.29, "away": 3.02}
    assert problems == counted
    assert bookmaker.unreadable == unreadable


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"code": 404}',
        betpawa(id=None),
        betpawa(markets=None),
        betpawa().replace(b'"markets"', b'"market"'),  # not the same as none
        betpawa(startTime="2026-05-06T11:00:00"),
        betpawa(startTime="soon"),
        betpawa(participants=[{"name": "A\0", "position": 1}]),
        betpawa(H2H_MARKET)[:-9],
    ],
)
def test_what_is_no_event_is_refused_by_kind(body: bytes) -> None:
    with pytest.raises(SourceError, match="BetPawa") as refused:
        read(body)
    assert refused.value.kind == "wrong_shape"
