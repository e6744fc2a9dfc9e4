"""Two minutes of the demo, second by second on a clock of the test: each happening is there."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import httpx
import msgspec
import pytest
import trio
from starlette.routing import request_response

from odds_service.commands.demo import (
    FIRST_REGIONS,
    SECOND,
    SECOND_REGIONS,
    SIMULATION,
)
from odds_service.demo.bookmaker import SimulatedBookmaker
from odds_service.demo.second import SecondSource, own_name
from odds_service.demo.settings import SimulationSettings

START: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECONDS: Final = 120
SPORTS: Final = ("soccer_arvenia", "basketball_arvenia")

Body = dict[str, Any]  # events by id


class Look(msgspec.Struct):
    """The answers of one second; the second source's are None while it is down."""

    first: dict[str, Body]
    second: Body | None


def asgi_client(endpoint: Any) -> httpx.AsyncClient:
    """Return a client that calls an endpoint without a socket."""
    transport = httpx.ASGITransport(request_response(endpoint))
    return httpx.AsyncClient(transport=transport, base_url="http://simulated")


async def body(client: httpx.AsyncClient, sport: str, regions: tuple[str, ...]) -> Body | None:
    """Return the events of a sport by id; None for a source that is down."""
    asked = {"apiKey": "k", "regions": ",".join(regions), "markets": "h2h,spreads,totals"}
    answer = await client.get(f"/v4/sports/{sport}/odds", params=asked)
    if answer.status_code == 503:
        return None
    assert answer.status_code == 200, answer.text
    return {event["id"]: event for event in answer.json()}


def minutes(settings: SimulationSettings = SIMULATION) -> list[Look]:
    """Return what both sources show, each second."""

    async def looks() -> list[Look]:
        now = [START]
        first = SimulatedBookmaker(settings, now=lambda: now[0])
        second = SecondSource(first, SECOND, now=lambda: now[0])
        found = []
        async with (
            asgi_client(first) as one,
            asgi_client(second) as two,
        ):
            for elapsed in range(SECONDS):
                now[0] = START + timedelta(seconds=elapsed)
                shown = {sport: await body(one, sport, FIRST_REGIONS) for sport in SPORTS}
                assert all(each is not None for each in shown.values())
                beside = await body(two, SPORTS[0], SECOND_REGIONS)
                found.append(Look({key: each or {} for key, each in shown.items()}, beside))
        return found

    return trio.run(looks)


@pytest.fixture(scope="module")
def looks() -> list[Look]:
    return minutes()


def start_of(event: Any) -> datetime:
    return datetime.fromisoformat(event["commence_time"])


def home_prices(event: Any) -> dict[str, float]:
    """Return the price of the home side at each bookmaker."""
    return {
        book["key"]: outcome["price"]
        for book in event["bookmakers"]
        for market in book["markets"]
        if market["key"] == "h2h"
        for outcome in market["outcomes"]
        if outcome["name"] == event["home_team"]
    }


def test_the_same_seed_shows_the_same(looks: list[Look]) -> None:
    assert minutes() == looks
    assert minutes(msgspec.structs.replace(SIMULATION, seed=SIMULATION.seed + 1)) != looks


@pytest.mark.parametrize("sport", SPORTS)
def test_there_are_matches_in_play_and_before_their_start(looks: list[Look], sport: str) -> None:
    starts = [start_of(event) for event in looks[0].first[sport].values()]
    assert sum(start <= START for start in starts) >= 3
    assert sum(start > START + timedelta(seconds=SECONDS) for start in starts) >= 2


@pytest.mark.parametrize("sport", SPORTS)
def test_a_goal_takes_all_odds_of_a_match_away_and_brings_others(
    looks: list[Look], sport: str
) -> None:
    """All bookmakers at once, for six seconds, at least three times."""
    breaks = []
    for event_id in looks[0].first[sport]:
        seen = [each.first[sport].get(event_id) for each in looks]
        for place, (before, broken) in enumerate(pairwise(seen)):
            if before and broken and before["bookmakers"] and not broken["bookmakers"]:
                after = seen[place + 7]
                assert all(each and not each["bookmakers"] for each in seen[place + 1 : place + 7])
                assert start_of(before) <= START + timedelta(seconds=place)
                assert after is not None
                breaks.append((home_prices(before), home_prices(after)))
    assert len(breaks) >= 3
    for before, after in breaks:
        both = before.keys() & after.keys()
        assert len(both) >= 2
        moves = [after[key] / before[key] for key in both]
        assert all(move < 0.9 for move in moves) or all(move > 1.1 for move in moves)


@pytest.mark.parametrize("sport", SPORTS)
def test_a_favourite_drifts_at_all_bookmakers(looks: list[Look], sport: str) -> None:
    drifted = 0
    begun, ended = looks[19].first[sport], looks[64].first[sport]
    for event_id in begun.keys() & ended.keys():
        if start_of(begun[event_id]) <= START + timedelta(seconds=64):
            continue
        before, after = home_prices(begun[event_id]), home_prices(ended[event_id])
        moves = [after[key] / before[key] for key in before.keys() & after.keys()]
        if len(moves) >= 3 and (min(moves) > 1.15 or max(moves) < 0.87):
            drifted += 1
    assert drifted >= 1


@pytest.mark.parametrize("sport", SPORTS)
def test_the_next_match_is_postponed(looks: list[Look], sport: str) -> None:
    before, after = looks[34].first[sport], looks[35].first[sport]
    moved = [
        (start_of(before[key]), start_of(after[key]))
        for key in before.keys() & after.keys()
        if before[key]["commence_time"] != after[key]["commence_time"]
    ]
    ((was, now),) = moved
    assert now - was == timedelta(hours=2)
    assert was == min(
        start for start in map(start_of, before.values()) if start > START + timedelta(seconds=35)
    )


@pytest.mark.parametrize("sport", SPORTS)
def test_a_match_ends_and_another_comes(looks: list[Look], sport: str) -> None:
    before, after = looks[74].first[sport], looks[75].first[sport]
    (gone,) = before.keys() - after.keys()
    (come,) = after.keys() - before.keys()
    assert start_of(before[gone]) == min(map(start_of, before.values()))
    assert start_of(after[come]) > START + timedelta(seconds=75)


def test_the_second_source_shows_less_under_other_names(looks: list[Look]) -> None:
    first, second = looks[0].first[SPORTS[0]], looks[0].second
    assert second is not None
    assert second.keys() == first.keys()  # by which the service joins them
    names = [(first[key]["home_team"], second[key]["home_team"]) for key in first]
    names += [(first[key]["away_team"], second[key]["away_team"]) for key in first]
    assert any(ours != theirs for ours, theirs in names)
    assert all(theirs == own_name(ours) for ours, theirs in names)

    def of(events: Body, name: str) -> set[str]:
        books = [book for event in events.values() for book in event["bookmakers"]]
        if name == "books":
            return {book["key"] for book in books}
        return {market["key"] for book in books for market in book["markets"]}

    assert not of(first, "books") & of(second, "books")
    assert of(second, "markets") == {"h2h", "totals"}
    assert of(first, "markets") == {"h2h", "spreads", "totals"}


def test_the_second_source_is_down_for_a_while(looks: list[Look]) -> None:
    down = [place for place, look in enumerate(looks) if look.second is None]
    assert down == list(range(int(SECOND.down_from_s), int(SECOND.down_to_s)))
    assert SECOND.down_to_s < SECONDS


async def test_the_second_source_lists_its_own_competitions_alone() -> None:
    second = SecondSource(SimulatedBookmaker(SIMULATION), SECOND)
    async with asgi_client(second) as client:
        listed = (await client.get("/v4/sports", params={"apiKey": "k"})).json()
    assert {sport["key"] for sport in listed} == SECOND.sports


def test_teams_have_names_of_two_kinds() -> None:
    assert own_name("Königsfurt United") == "Konigsfurt Utd"
    assert own_name("Draw") == "Draw"
