"""The Odds API's bodies: identity, odd values, and bad parts that are skipped alone."""

import json
from collections import Counter
from fractions import Fraction
from typing import Any

import msgspec
import pytest

from odds_service.model.market import MarketKey, MarketStatus
from odds_service.model.observation import ANY, ObservedEvent
from odds_service.sources.odds_api_body import BodyReader, PriceFormat
from tests.support.oracle import Identity, is_american, markets_of
from tests.support.recorded import ODDS_API, bodies_of, needs_recorded

Json = dict[str, Any]


def outcome(name: str, price: object, point: object = None, player: object = None) -> Json:
    shown: Json = {"name": name, "price": price}
    if point is not None:
        shown["point"] = point
    if player is not None:
        shown["description"] = player
    return shown


def event(*markets: object, bookmakers: object = None) -> Json:
    return {
        "id": "e1",
        "sport_key": "soccer_epl",
        "sport_title": "EPL",
        "commence_time": "2026-08-04T12:00:00Z",
        "home_team": "Home FC",
        "away_team": "Away FC",
        "bookmakers": bookmakers
        if bookmakers is not None
        else [{"key": "b", "title": "B", "last_update": "2026-08-04T10:00:00Z",
               "markets": list(markets)}],
    }  # fmt: skip


def market(key: str, *outcomes: object) -> Json:
    return {"key": key, "last_update": "2026-08-04T10:00:00Z", "outcomes": list(outcomes)}


def read(
    body: object, prices: PriceFormat = PriceFormat.DECIMAL
) -> tuple[ObservedEvent | None, Counter[str], set[str]]:
    problems: Counter[str] = Counter()
    unreadable: set[str] = set()
    raw = msgspec.Raw(json.dumps(body).encode())
    return BodyReader().read_event(raw, prices, problems, unreadable), problems, unreadable


def markets(body: object, prices: PriceFormat = PriceFormat.DECIMAL) -> dict[MarketKey, Json]:
    seen, _, _ = read(body, prices)
    assert seen is not None
    (bookmaker,) = seen.bookmakers
    return {k: {o.key: o.price for o in m.outcomes} for k, m in bookmaker.markets.items()}


def test_outcomes_lines_and_players() -> None:
    body = event(
        market("h2h", outcome("Away FC", 2.5), outcome("Draw", 3), outcome("Home FC", 2.1)),
        market("spreads", outcome("Away FC", 1.9, 3.5), outcome("Home FC", 1.9, -3.5)),
        market("alternate_spreads", outcome("Home FC", 1.5, 1), outcome("Away FC", 2.5, -1),
               outcome("Home FC", 1.7, 0), outcome("Away FC", 2.2, 0)),
        market("totals", outcome("Over", 1.8, 2.25), outcome("Under", 2.0, 2.25)),
        market("player_points", outcome("Over", 1.8, 7.5, "A Player"),
               outcome("Under", 1.9, 7.5, "A Player"), outcome("Over", 1.7, 8, "B Player")),
        market("btts", outcome("Yes", 1.8), outcome("No", 2.0)),
    )  # fmt: skip
    assert markets(body) == {
        MarketKey("h2h"): {"home": 2.1, "draw": 3.0, "away": 2.5},
        MarketKey("spreads", "-3.5"): {"home": 1.9, "away": 1.9},
        MarketKey("alternate_spreads", "1"): {"home": 1.5, "away": 2.5},
        MarketKey("alternate_spreads", "0"): {"home": 1.7, "away": 2.2},
        MarketKey("totals", "2.25"): {"over": 1.8, "under": 2.0},
        MarketKey("player_points", "7.5", "A Player"): {"over": 1.8, "under": 1.9},
        MarketKey("player_points", "8", "B Player"): {"over": 1.7},
        MarketKey("btts"): {"yes": 1.8, "no": 2.0},
    }


def test_american_prices() -> None:
    body = event(market("h2h", outcome("Home FC", -110), outcome("Away FC", 150)))
    shown = markets(body, PriceFormat.AMERICAN)
    assert shown == {MarketKey("h2h"): {"home": 1 + 100 / 110, "away": 2.5}}


def test_of_a_repeated_outcome_the_lowest_price_stands() -> None:
    body = event(market("player_points", outcome("Over", 1.94, 7.5, "P"),
                        outcome("Over", 1.89, 7.5, "P")))  # fmt: skip
    assert markets(body) == {MarketKey("player_points", "7.5", "P"): {"over": 1.89}}
    assert read(body)[1] == {"repeated_outcome": 1}


GOOD = market("totals", outcome("Over", 1.8, 2.5), outcome("Under", 2.0, 2.5))


@pytest.mark.parametrize(
    ("bad", "problem", "unreadable"),
    [
        (market("h2h", outcome("Home FC", 0), outcome("Away FC", -5)), "bad_price", {"h2h"}),
        (market("h2h", outcome("Home FC", "2.0")), "bad_price", {"h2h"}),
        (market("h2h", outcome("Home FC", None)), "bad_price", {"h2h"}),
        (market("h2h", outcome("Home\0FC", 2.0)), "bad_outcome", {"h2h"}),
        (market("h2h", {"price": 2.0}), "bad_outcome", {"h2h"}),
        ({"key": "h2h", "outcomes": None}, "bad_market", {"h2h"}),
        ({"key": "h2h"}, "bad_market", {"h2h"}),
        ({"key": None, "outcomes": []}, "bad_market", {ANY}),
        (7, "bad_market", {ANY}),
        (None, "bad_market", {ANY}),
    ],
)
def test_a_bad_market_is_named_and_its_neighbour_kept(
    bad: object, problem: str, unreadable: set[str]
) -> None:
    seen, problems, lost = read(event(bad, GOOD))
    assert seen is not None
    (bookmaker,) = seen.bookmakers
    assert list(bookmaker.markets) == [MarketKey("totals", "2.5")]
    assert bookmaker.unreadable == unreadable
    assert problems[problem]
    assert not lost


@pytest.mark.parametrize("bad", ["1e309", '"x"', "null", "-2147483648", "1.0", "{}", "true"])
def test_an_outcome_without_a_usable_price_stays_without_one(bad: str) -> None:
    body = event(market("h2h", outcome("Home FC", 2.0), outcome("Away FC", 12345)))
    raw = msgspec.Raw(json.dumps(body).replace("12345", bad).encode())
    problems: Counter[str] = Counter()
    seen = BodyReader().read_event(raw, PriceFormat.DECIMAL, problems, set())
    assert seen is not None
    (bookmaker,) = seen.bookmakers
    (shown,) = bookmaker.markets.values()
    assert [(o.key, o.price, o.active) for o in shown.outcomes] == [
        ("home", 2.0, True), ("away", None, False),
    ]  # fmt: skip
    assert shown.status is MarketStatus.OPEN
    assert problems == {"bad_price": 1}
    assert not bookmaker.unreadable


@pytest.mark.parametrize(
    ("bad", "lost"),
    [({"key": "x", "markets": 3}, {"x"}), ("y", {ANY}), ({"key": "x\0", "markets": []}, {ANY})],
)
def test_a_bad_bookmaker_is_named_and_its_neighbour_kept(bad: object, lost: set[str]) -> None:
    good = {"key": "b", "markets": [GOOD]}
    seen, problems, _ = read(event(bookmakers=[bad, good]))
    assert seen is not None
    assert [bookmaker.bookmaker for bookmaker in seen.bookmakers] == ["b"]
    assert seen.unreadable == lost
    assert problems == {"bad_bookmaker": 1}


@pytest.mark.parametrize(
    ("bad", "lost"),
    [
        (event() | {"commence_time": "soon"}, {"e1"}),
        (event() | {"commence_time": "2026-08-04T12:00:00"}, {"e1"}),
        (event() | {"id": None}, {ANY}),
        (event() | {"home_team": "\0"}, {"e1"}),
        (event() | {"bookmakers": None}, {"e1"}),
        ([], {ANY}),
    ],
)
def test_a_bad_event_is_named(bad: object, lost: set[str]) -> None:
    seen, problems, unreadable = read(bad)
    assert seen is None
    assert problems == {"bad_event": 1}
    assert unreadable == lost


def test_a_bookmaker_without_markets_and_without_a_time_is_there() -> None:
    seen, problems, _ = read(event(bookmakers=[{"key": "b", "markets": []}]))
    assert seen is not None
    assert [(b.bookmaker, dict(b.markets)) for b in seen.bookmakers] == [("b", {})]
    assert not problems


def test_all_outcomes_are_open() -> None:
    seen, _, _ = read(event(GOOD))
    assert seen is not None
    assert {m.status for b in seen.bookmakers for m in b.markets.values()} == {MarketStatus.OPEN}


@needs_recorded
@pytest.mark.parametrize(
    "series",
    [
        "kbo_inplay_20260804",
        "nfl_week1_20250910-15.zip",
        "nfl_oddities_reappear.zip",
        "ncaaf_oddities_swap_point_reappear.zip",
        "soccer_36_leagues_three_pulls_202408.zip",
    ],
)
def test_recorded_bodies_are_read_as_the_oracle_reads_them(series: str) -> None:
    reader = BodyReader()
    for body in bodies_of(ODDS_API / series):
        plain = json.loads(body)
        if isinstance(plain, dict) or any("bookmakers" not in listed for listed in plain):
            continue  # a recorded error, or the list of sports
        raws = msgspec.json.decode(body, type=list[msgspec.Raw])
        american = is_american(plain)
        guessed = reader.guess_format(raws)
        if plain and any(e["bookmakers"] for e in plain):
            assert (guessed is PriceFormat.AMERICAN) == american
        problems: Counter[str] = Counter()
        unreadable: set[str] = set()
        for raw, shown in zip(raws, plain, strict=True):
            seen = reader.read_event(raw, guessed, problems, unreadable)
            assert seen is not None
            found = {
                Identity(
                    seen.source_event_id, b.bookmaker, key.market,
                    Fraction(key.line) if key.line else None, key.participant,
                ): {o.key: o.price for o in m.outcomes}
                for b in seen.bookmakers for key, m in b.markets.items()
            }  # fmt: skip
            expected = markets_of(shown, american)
            assert {
                key: {o: p and float(p) for o, p in prices} for key, prices in expected.items()
            } == (found)
        assert not unreadable
        assert set(problems) <= {"bad_price", "bad_market"}
