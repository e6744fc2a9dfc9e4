"""A body of SportyBet gives the same whether it is read at once, from caches, or part by part."""

import json
from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from importlib.resources import files
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odds_service.errors import SourceError
from odds_service.model.observation import ObservedEvent
from odds_service.sources import markets as markets_package
from odds_service.sources import sportybet_body
from odds_service.sources.markets.coverage import Coverage
from odds_service.sources.markets.table import ProviderTable, Table
from odds_service.sources.sportybet import SportyBet
from odds_service.sources.sportybet_body import EventBody, open_body
from tests.sources.bodies import sportybet, sportybet_market
from tests.support.garbage import parts_of
from tests.support.recorded import RECORDED

ODDS = ["1.9", "1.90", "2.0", "0.00", "1.00", "-2", "1_5"]
TEXTS = {"p1": "Digne, Lucas (France) 1+", "p2": "Digne, Lucas (France) 2+", "p3": "Reed, Al (X)"}
# id, specifiers and outcomes: sides, lines, players, players by name, minutes, and one not known.
KINDS: list[tuple[str, list[str | None], list[str]]] = [
    ("1", [None], ["1", "2", "3"]),
    ("18", ["total=2.5", "total=2.50", "total=x"], ["12", "13"]),
    ("776", ["variant=pre:1", "variant=pre:2"], ["p1", "p2"]),
    ("40", ["type=prematch"], ["p3", "1716"]),
    ("900313", ["minute=10|total=0.5", "total=0.5|minute=30"], ["30", "31"]),
    ("999999", [None], ["1"]),
]


@st.composite
def markets(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a market as they write it: most are whole, some repeat an outcome or have an odd one."""
    id_, specifiers, outcomes = draw(st.sampled_from(KINDS))
    keys = draw(st.lists(st.sampled_from(outcomes), max_size=3) | st.just(outcomes))
    market = sportybet_market(id_, {}, draw(st.sampled_from(specifiers)))
    market["outcomes"] = [
        {
            "id": key,
            "odds": draw(st.sampled_from(ODDS)),
            "isActive": draw(st.sampled_from([1, 1, 1, 0, 2])),
            "desc": TEXTS.get(key, "No Goal" if key == "1716" else key),
        }
        for key in keys
    ]
    times = st.sampled_from([None, 1_778_052_961_313, 1_778_052_961_314, 10**30, -1])
    return market | {"status": draw(st.sampled_from([0, 0, 1])), "lastOddsChangeTime": draw(times)}


ODD = st.sampled_from(
    [
        None,
        "",
        "\0",
        "x",
        "half \ud83d",
        0,
        1,
        2.5,
        10**30,
        True,
        [],
        {},
        [None],
        {"id": "1"},
        "1.9",
    ]
)
PLACES = st.lists(st.integers(0, 999), max_size=3)


def damaged(body: bytes, places: list[int], odd: Any) -> bytes:
    """Return a body with an odd value in some places."""
    answer = json.loads(body)
    for number in places:
        found = list(parts_of(answer))
        holder, key = found[number % len(found)]
        holder[key] = deepcopy(odd)  # a later place may be inside it
    # Half a character becomes bytes that are not UTF-8.
    return json.dumps(answer, ensure_ascii=False).encode("utf-8", "surrogatepass")


Read = tuple[ObservedEvent | str, Counter[str], tuple[int, Counter[str], Mapping[str, Any]]]


def read(body: bytes) -> Read:
    problems: Counter[str] = Counter()
    coverage = Coverage()
    event: ObservedEvent | str
    try:
        event = SportyBet.read_body(body, problems, coverage)
    except SourceError as error:
        event = f"{error.kind}: {error}"
    return event, problems, (coverage.mapped, coverage.unmapped, coverage.outcomes)


@cache
def cold_table() -> Table:
    """Return a table of its own, which caches no outcomes."""
    return Table(files(markets_package))


def read_plainly(body: bytes) -> Read:
    """Read a body part by part, and each outcome without what was cached."""
    with (
        mock.patch("odds_service.sources.sportybet.open_body", lambda json: EventBody(json, None)),
        mock.patch.object(sportybet_body, "_read_known", return_value=False),
        mock.patch.object(sportybet_body, "table", cold_table),
        mock.patch.object(ProviderTable, "remember"),
    ):
        return read(body)


def in_order(found: Read) -> list[Any]:
    """Return what equality of dicts does not compare: the order of the markets."""
    event = found[0]
    return [] if isinstance(event, str) else [list(shown.markets) for shown in event.bookmakers]


def agree(body: bytes) -> None:
    plain = read_plainly(body)
    for _ in range(3):  # caches fill at the first, orders at the second
        found = read(body)
        assert found == plain
        assert in_order(found) == in_order(plain)


@given(
    st.lists(st.lists(markets(), max_size=5), min_size=1, max_size=3),
    st.sampled_from([0, 0, 0, 1, 3, None]),
)
def test_healthy_bodies_read_the_same_at_once_and_part_by_part(
    polls: list[list[dict[str, Any]]], status: int | None
) -> None:
    for offered in [*polls, *polls]:
        agree(sportybet(*offered, status=status))


@given(st.lists(markets(), min_size=1, max_size=4), PLACES, ODD)
def test_damaged_bodies_read_the_same_at_once_and_part_by_part(
    offered: list[dict[str, Any]], places: list[int], odd: Any
) -> None:
    whole = sportybet(*offered)
    agree(whole)
    agree(damaged(whole, places, odd))
    agree(whole)


@pytest.mark.parametrize("moved", [{"lastOddsChangeTime": 1_778_052_961_314}, {"status": 1}])
def test_players_whose_prices_stay_follow_the_time_and_status(moved: dict[str, int]) -> None:
    players = dict.fromkeys(("p1", "p2"), "1.9")
    market = sportybet_market("776", players, "variant=pre:1", TEXTS, lastOddsChangeTime=1)
    agree(sportybet(market))
    agree(sportybet(market | moved))


def test_a_healthy_body_is_decoded_at_once_and_a_damaged_one_is_not() -> None:
    market = sportybet_market("29", {"74": "1.9", "76": "1.8"})
    assert open_body(sportybet(market)).event is not None
    market["outcomes"][0]["odds"] = 1.9
    assert open_body(sportybet(market)).event is None


def test_a_text_that_is_not_utf_8_spoils_only_its_own_part() -> None:
    good = sportybet_market("1", {"1": "2.40", "2": "3.30", "3": "2.95"})
    bad = sportybet_market("29", {"74": "1.9", "76": "1.8"}, texts={"74": "broken"})
    body = sportybet(good, bad).replace(b'"broken"', b'"bro\xffken"')
    event, problems, _ = read(body)
    assert isinstance(event, ObservedEvent)
    ((_, btts),) = [
        (key, market) for key, market in event.bookmakers[0].markets.items() if key.market == "btts"
    ]
    assert [outcome.key for outcome in btts.outcomes] == ["no"]
    assert len(event.bookmakers[0].markets) == 2
    assert problems == {"bad_outcome": 1}


@pytest.mark.skipif(not (RECORDED / "sportybet").is_dir(), reason="no recorded bookmaker beside us")
@pytest.mark.parametrize("match", ["prematch", "wc_nf", "live"])
def test_recorded_bodies_read_the_same_at_once_and_part_by_part(match: str) -> None:
    body = (RECORDED / "sportybet" / f"{match}.json").read_bytes()
    assert open_body(body).event is not None
    agree(body)
    markets_of = json.loads(body)["data"]["markets"]
    if markets_of:
        agree(damaged(body, [12_345], None))
