"""Two minutes of the demo, second by second on a clock of the test: each happening is there."""

from collections import Counter
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
    SIMULATION,
)
from odds_service.demo.bookmaker import SimulatedBookmaker
from odds_service.demo.second import SecondSource, own_name
from odds_service.demo.settings import SimulationSettings
from odds_service.model.event import EventStatus
from odds_service.model.market import MarketKey, MarketStatus, ObservedMarket
from odds_service.model.observation import ObservedEvent
from odds_service.reconcile import Reconciler
from odds_service.sources.sportybet_body import read_event
from tests.support.observations import observe, observed_event

START: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECONDS: Final = 120
SPORTS: Final = ("soccer_arvenia", "basketball_arvenia")

Body = dict[str, Any]  # events by id
Read = dict[str, ObservedEvent]  # events as the reader of the second source decodes them, by id
WINNER: Final = MarketKey("h2h")


class Look(msgspec.Struct):
    """The answers of one second; the second source's are None while it is down."""

    first: dict[str, Body]
    second: Read | None


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


async def read(client: httpx.AsyncClient) -> Read | None:
    """Return the events of the second source by its ids; None while it is down."""
    place, chosen = "/api/ng/factsCenter", [{"sportId": SECOND.sport_id}]
    listed = await client.post(f"{place}/pcEvents", json=chosen)
    if listed.status_code == 503:
        return None
    found: Read = {}
    problems: Counter[str] = Counter()
    for event in listed.json()["data"][0]["events"]:
        asked = {"eventId": event["eventId"], "productId": "3"}
        answer = await client.get(f"{place}/event", params=asked)
        found[event["eventId"]] = read_event(answer.content, problems)
    assert not problems
    return found


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
                found.append(
                    Look({key: each or {} for key, each in shown.items()}, await read(two))
                )
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
    assert not second.keys() & first.keys()
    ours = {(own_name(each["home_team"]), own_name(each["away_team"])) for each in first.values()}
    assert {(each.home, each.away) for each in second.values()} == ours
    assert any(own_name(each["home_team"]) != each["home_team"] for each in first.values())
    books = {book.bookmaker for each in second.values() for book in each.bookmakers}
    assert books == {"sportybet"}
    shown = {
        key.market for each in second.values() for book in each.bookmakers for key in book.markets
    }
    assert shown == {"h2h", "totals"}
    assert {each.status for each in second.values()} == {
        EventStatus.SCHEDULED,
        EventStatus.IN_PLAY,
    }


def test_the_sources_matches_are_joined_by_names_alone(looks: list[Look]) -> None:
    first = looks[0].first[SPORTS[0]]
    second = looks[0].second
    assert second is not None
    here = [
        msgspec.structs.replace(
            observed_event(key, {}, home=each["home_team"], away=each["away_team"],
                           start_time=start_of(each)),
            competition=SPORTS[0],
        )
        for key, each in first.items()
    ]  # fmt: skip
    assert not any(each.shared_ids for each in here)
    reconciler = Reconciler()
    reconciler.place(observe(here), {})
    reconciler.place(observe(second.values(), 1, source="second"), {})
    joined = {}
    for key in second:
        joined[key] = reconciler.placed(("second", key)).event_id.removeprefix("toa:")
    assert sorted(joined.values()) == sorted(first)
    for key, other in joined.items():
        assert second[key].home == own_name(first[other]["home_team"])


def markets_of(event: ObservedEvent | None) -> dict[MarketKey, ObservedMarket]:
    return {} if event is None else dict(event.bookmakers[0].markets)


def winner_prices(event: ObservedEvent | None) -> list[float | None]:
    return [outcome.price for outcome in markets_of(event)[WINNER].outcomes]


def test_a_goal_suspends_the_second_source_which_opens_at_other_prices(looks: list[Look]) -> None:
    """All markets, for six seconds and with the prices before the goal."""
    goals = 0
    ids = {key for look in looks for key in look.second or {}}
    for key in ids:
        seen = [None if look.second is None else look.second.get(key) for look in looks]
        shut = [
            bool(markets_of(each))
            and all(m.status is MarketStatus.SUSPENDED for m in markets_of(each).values())
            for each in seen
        ]
        for place in range(1, len(looks) - 6):
            if not shut[place] or shut[place - 1] or not markets_of(seen[place - 1]):
                continue
            if None in seen[place : place + 7]:
                continue  # the outage comes between
            goals += 1
            assert all(shut[place : place + 6])
            before, last, after = seen[place - 1], seen[place + 5], seen[place + 6]
            assert markets_of(last).keys() == markets_of(before).keys()
            assert winner_prices(last) == winner_prices(before)
            assert not shut[place + 6]
            home, now = winner_prices(before)[0], winner_prices(after)[0]
            assert home is not None
            assert now is not None
            assert now / home < 0.9 or now / home > 1.1
    assert goals >= 2


def test_the_second_source_is_down_for_a_while(looks: list[Look]) -> None:
    down = [place for place, look in enumerate(looks) if look.second is None]
    assert down == list(range(int(SECOND.down_from_s), int(SECOND.down_to_s)))
    assert SECOND.down_to_s < SECONDS


async def test_the_second_source_knows_no_other_events_and_paths() -> None:
    second = SecondSource(SimulatedBookmaker(SIMULATION), SECOND)
    place = "/api/ng/factsCenter"
    async with asgi_client(second) as client:
        unknown = await client.get(f"{place}/event", params={"eventId": "sr:match:1"})
        assert (await client.get("/elsewhere")).status_code == 404
    assert unknown.json() == {"bizCode": 10_000, "message": "0#0", "data": None}


def test_teams_have_names_of_two_kinds() -> None:
    assert own_name("Königsfurt United") == "Konigsfurt Utd"
    assert own_name("Draw") == "Draw"
