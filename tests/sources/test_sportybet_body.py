"""SportyBet's bodies: their markets, missing prices, and bad parts that spoil no others."""

import json
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
from odds_service.sources.markets.coverage import Coverage
from odds_service.sources.sportybet_body import read_event
from tests.sources.bodies import sportybet, sportybet_market

H2H = MarketKey("h2h")
H2H_ODDS = {"1": "2.40", "2": "3.30", "3": "2.95"}


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
    event, problems, _ = read(sportybet(sportybet_market("1", H2H_ODDS)))
    assert event.source_event_id == "sr:match:123"
    assert (event.home, event.away) == ("Reds FC", "Blues FC")
    assert event.start_time == datetime(2026, 5, 6, 11, tzinfo=UTC)
    assert (event.sport, event.competition) == ("soccer", "soccer_china_super_league")
    assert event.shared_ids == {"sr": "123"}
    assert event.status is EventStatus.SCHEDULED
    assert [bookmaker.bookmaker for bookmaker in event.bookmakers] == ["sportybet"]
    assert not problems


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [(0, EventStatus.SCHEDULED), (1, EventStatus.IN_PLAY), (4, None), (None, None)],
)
def test_the_status_is_told_where_they_tell_it(
    theirs: int | None, ours: EventStatus | None
) -> None:
    assert read(sportybet(status=theirs))[0].status is ours


def test_an_id_that_is_not_sportradars_is_no_shared_id() -> None:
    assert read(sportybet(eventId="sr:simulated:9"))[0].shared_ids == {}


def test_markets_lines_and_sides() -> None:
    event, problems, coverage = read(
        sportybet(
            sportybet_market("1", H2H_ODDS, lastOddsChangeTime=1778052961313),
            sportybet_market("18", {"13": "1.85", "12": "1.95"}, "total=2.50"),
            sportybet_market("14", {"1711": "5.0", "1712": "4.0", "1713": "1.5"}, "hcp=0:1"),
            sportybet_market("16", {"1714": "1.9", "1715": "1.9"}, "hcp=-0.5"),
            sportybet_market("20", {"12": "2.6", "13": "1.4"}, "total=1.5"),
            sportybet_market("900313", {"30": "4.1", "31": "1.24"}, "minute=10|total=0.5"),
            sportybet_market("900313", {"30": "2.1", "31": "1.7"}, "total=0.5|minute=30"),
        )
    )
    markets = markets_of(event)
    assert {key: prices(market) for key, market in markets.items()} == {
        H2H: {"home": 2.4, "draw": 3.3, "away": 2.95},
        MarketKey("totals", "2.5"): {"over": 1.95, "under": 1.85},
        MarketKey("spreads_3_way", "-1"): {"home": 5.0, "draw": 4.0, "away": 1.5},
        MarketKey("spreads", "-0.5"): {"home": 1.9, "away": 1.9},
        MarketKey("team_totals", "1.5", "away"): {"over": 2.6, "under": 1.4},
        MarketKey("totals_m10", "0.5"): {"over": 4.1, "under": 1.24},
        MarketKey("totals_m30", "0.5"): {"over": 2.1, "under": 1.7},
    }
    assert [outcome.key for outcome in markets[MarketKey("totals", "2.5")].outcomes] == [
        "over",
        "under",
    ]
    assert markets[H2H].source_updated_at == datetime(2026, 5, 6, 7, 36, 1, 313000, tzinfo=UTC)
    assert not problems
    assert (coverage.mapped, coverage.markets, coverage.share) == (7, 7, 1.0)


def test_players_are_participants_of_one_market_each() -> None:
    texts = {"p1": "Digne, Lucas (France) 1+", "p2": "Digne, Lucas (France) 2+"}
    event, _, coverage = read(
        sportybet(
            sportybet_market("776", {"p1": "1.63", "p2": "3.50"}, "variant=pre:1", texts),
            sportybet_market(
                "40", {"p3": "4.8", "1716!": "0.00"}, "type=prematch",
                {"p3": "N'Golo Kante (France)", "1716!": "No Goal"},
            ),
        )
    )  # fmt: skip
    scorer = "player_goal_scorer_anytime"
    assert {key: prices(market) for key, market in markets_of(event).items()} == {
        MarketKey("player_shots", "0.5", "Lucas Digne"): {"over": 1.63},
        MarketKey("player_shots", "1.5", "Lucas Digne"): {"over": 3.5},
        MarketKey(scorer, participant="N'Golo Kante"): {"yes": 4.8},
        MarketKey(scorer, participant="No Goal"): {"yes": None},
    }
    assert coverage.share == 1.0


def test_no_price_is_none_and_suspended_is_not_bettable() -> None:
    event, problems, _ = read(
        sportybet(
            sportybet_market("1", {"1!": "0.00", "2": "3.3", "3": "1.00"}),
            sportybet_market("29", {"74!": "1.9", "76!": "1.8"}),
            sportybet_market("26", {"70": "1.9", "72": "1.9"}, status=1),
        )
    )
    markets = markets_of(event)
    assert [(o.key, o.price, o.active) for o in markets[H2H].outcomes] == [
        ("home", None, False),
        ("draw", 3.3, True),
        ("away", None, False),
    ]
    assert markets[H2H].status is MarketStatus.OPEN
    assert markets[MarketKey("btts")].status is MarketStatus.SUSPENDED
    odd_even = markets[MarketKey("odd_even")]
    assert odd_even.status is MarketStatus.SUSPENDED
    assert prices(odd_even) == {"odd": 1.9, "even": 1.9}
    assert not problems


@pytest.mark.parametrize(
    ("id_", "specifier"),
    [("18", "total=" + "9" * 5000), ("14", f"hcp={'9' * 5000}:0"), ("14", "hcp=99999999999:0"),
     ("900069", "minute=" + "9" * 5000), ("900069", "minute=0"), ("900069", "minute=121"),
     ("900069", "minute=\u0661"), ("8", "goalnr=x"), ("14", "hcp=1"), ("14", "hcp=1:2:3")],
)  # fmt: skip
def test_a_specifier_that_makes_no_sense_is_unmapped(id_: str, specifier: str) -> None:
    """Some numbers are so long that Python refuses to read them."""
    odds = {"1": "2.0", "12": "2.0", "1711": "2.0", "6": "2.0"}
    event, problems, coverage = read(
        sportybet(sportybet_market(id_, odds, specifier), sportybet_market("1", H2H_ODDS))
    )
    assert set(markets_of(event)) == {H2H}
    assert coverage.mapped == 1
    assert not problems


def test_so_many_or_more_beyond_all_numbers_is_unmapped() -> None:
    texts = {"p": f"A Player (B) {'9' * 5000}+"}
    event, _, coverage = read(sportybet(sportybet_market("776", {"p": "2.0"}, "variant=x", texts)))
    assert (dict(markets_of(event)), coverage.mapped) == ({}, 0)


def test_what_the_table_does_not_know_is_counted_by_name() -> None:
    event, problems, coverage = read(
        sportybet(
            sportybet_market("1", H2H_ODDS),
            sportybet_market("999999", {"1": "2.0"}),
            sportybet_market("999999", {"1": "2.0"}, "total=1.5"),
            sportybet_market("18", {"12": "1.9", "13": "1.9"}, "total=2.5|half=1"),
            sportybet_market("29", {"74": "1.9", "76": "1.8", "77": "9.0"}),
        )
    )
    assert set(markets_of(event)) == {H2H, MarketKey("btts")}
    assert coverage.unmapped == {
        "Market 999999 (999999)": 2,
        "Market 18 (18)": 1,
        "Market 29 (29)": 1,
    }
    assert (coverage.mapped, coverage.markets) == (1, 5)
    assert not problems


LOST = {"bad_market": 1}
NO_PRICES = {"bad_price": 2, "bad_market": 1}
NO_OUTCOMES = {"bad_outcome": 2, "bad_market": 1}


def btts(*odds: Any, **fields: Any) -> dict[str, Any]:
    return sportybet_market("29", dict(zip(("74", "76"), odds, strict=False)), **fields)


BAD_MARKETS: list[tuple[Any, dict[str, int], set[str]]] = [
    (None, LOST, {ANY}),
    ({"outcomes": []}, LOST, {ANY}),
    ({"id": 18, "outcomes": []}, LOST, {ANY}),
    ({"id": "18", "outcomes": None}, LOST, {"totals"}),
    ({"id": "18", "specifier": "total=2.5", "outcomes": [None, 3]}, NO_OUTCOMES, {"totals"}),
    ({"id": "900313", "outcomes": None}, LOST, {ANY}),  # its minutes could be any
    ({"id": "777777", "outcomes": None}, LOST, set()),
    (btts("-2", "NaN"), NO_PRICES, {"btts"}),
    (btts("1e309", "two"), NO_PRICES, {"btts"}),
    (btts("1_5", "\u0662.5"), NO_PRICES, {"btts"}),
    (btts("0.5", "2147483647"), NO_PRICES, {"btts"}),
    (btts("1.9", "\0"), {"bad_price": 1}, set()),
    (btts("1.9", texts={"74": "Y\0s"}), {"bad_outcome": 1, "bad_market": 1}, {"btts"}),
    (btts(1.9, None), NO_PRICES, {"btts"}),
]


@pytest.mark.parametrize(("bad", "counted", "unreadable"), BAD_MARKETS)
def test_a_bad_market_is_counted_told_and_skipped(
    bad: Any, counted: dict[str, int], unreadable: set[str]
) -> None:
    event, problems, _ = read(sportybet(bad, sportybet_market("1", H2H_ODDS)))
    (bookmaker,) = event.bookmakers
    assert prices(bookmaker.markets[H2H]) == {"home": 2.4, "draw": 3.3, "away": 2.95}
    assert problems == counted
    assert bookmaker.unreadable == unreadable


def test_a_bad_outcome_leaves_its_neighbours() -> None:
    market = sportybet_market("1", H2H_ODDS)
    market["outcomes"][1]["odds"] = [3.3]
    event, problems, _ = read(sportybet(market))
    h2h = markets_of(event)[H2H]
    assert prices(h2h) == {"home": 2.4, "draw": None, "away": 2.95}
    assert h2h.status is MarketStatus.OPEN
    assert problems == {"bad_price": 1}
    assert read(sportybet(market))[1] == problems  # at each poll


def test_an_outcome_that_repeats_keeps_the_lowest_price() -> None:
    market = sportybet_market("1", H2H_ODDS)
    market["outcomes"].append({"id": "1", "odds": "2.2", "isActive": 1, "desc": "Home"})
    event, problems, _ = read(sportybet(market, sportybet_market("1", {"2": "3.1"})))
    assert prices(markets_of(event)[H2H]) == {"home": 2.2, "draw": 3.1, "away": 2.95}
    assert problems == {"repeated_outcome": 2}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "wrong_shape"),
        (b"[]", "wrong_shape"),
        (b'{"bizCode": "10000"}', "wrong_shape"),
        (b'{"bizCode": 19000, "message": "no such event"}', "refused"),
        (b'{"bizCode": 10000, "message": "0#0", "data": null}', "unknown_event"),
        (b'{"bizCode": 10000}', "unknown_event"),
        (b'{"bizCode": 10000, "data": []}', "wrong_shape"),
        (sportybet(eventId=None), "wrong_shape"),
        (sportybet(markets=None), "wrong_shape"),
        (sportybet().replace(b'"markets"', b'"market"'), "wrong_shape"),  # not the same as none
        (sportybet(homeTeamName="R\0ds"), "wrong_shape"),
        (sportybet(estimateStartTime=10**30), "wrong_shape"),
        (sportybet()[:-9], "wrong_shape"),
    ],
)
def test_what_is_no_event_is_refused_by_kind(body: bytes, kind: str) -> None:
    with pytest.raises(SourceError, match="SportyBet") as refused:
        read(body)
    assert refused.value.kind == kind


def test_a_sport_that_the_table_does_not_have_is_named_and_unmapped() -> None:
    sport = {"id": "sr:sport:99", "name": "Table Tennis"}
    event, _, coverage = read(sportybet(sportybet_market("1", H2H_ODDS), sport=sport))
    assert (event.sport, event.competition) == ("table_tennis", "table_tennis")
    assert coverage.mapped == 0


def test_the_same_body_reads_the_same_from_what_was_kept() -> None:
    """The second reading uses the lookups of the first, even for a moved price."""
    first, *_ = read(sportybet(sportybet_market("1", H2H_ODDS)))
    assert read(sportybet(sportybet_market("1", H2H_ODDS)))[0] == first
    moved, *_ = read(sportybet(sportybet_market("1", H2H_ODDS | {"1": "2.45"})))
    assert prices(markets_of(moved)[H2H]) == {"home": 2.45, "draw": 3.3, "away": 2.95}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "outcomes", "odds", "desc", "specifier", "status"]), inner
        )
    ),
    max_leaves=8,
)


@given(st.lists(JSON, max_size=3), st.sampled_from(["total=2.5", "hcp=a:b", "minute=0", "=", "|"]))
def test_nothing_in_a_market_spoils_the_others(parts: list[Any], specifier: str) -> None:
    market = {"id": "18", "specifier": specifier, "outcomes": parts}
    body = json.dumps({"markets": [*parts, market]})
    good = sportybet_market("1", H2H_ODDS)
    event, *_ = read(sportybet(*json.loads(body)["markets"], good))
    assert prices(markets_of(event)[H2H]) == {"home": 2.4, "draw": 3.3, "away": 2.95}
