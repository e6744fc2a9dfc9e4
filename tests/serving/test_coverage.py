"""GetCoverage: counts by competition and bookmaker, held against the odds themselves."""

from collections import Counter, defaultdict
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from msgspec.structs import replace

from odds_service.model.market import MarketKey
from odds_service.model.observation import Scope
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.client.faces import Face, faces
from tests.contract.calling import refused
from tests.serving.test_restricted import (
    ALL,
    TOKENS,
    assert_hides,
    client_of,
    settings,
    two_sources,
)
from tests.support.observations import NOON, observe, observed_event
from tests.support.odds_builders import Bookkeeping, Client, connected, serving

PRICES = {MarketKey("h2h"): {"home": 1.5, "away": 2.5}, MarketKey("totals", "2.5"): {"over": 1.9}}


async def counted(client: Client, **filters: Any) -> dict[Any, Any]:
    reply = await client.call("GetCoverage", pb.GetCoverageRequest(filter=pb.Filter(**filters)))
    places = [(each.sport, each.competition) for each in reply.competitions]
    assert places == sorted(places)
    for each in reply.competitions:
        rows = [(row.bookmaker, row.source) for row in each.bookmakers]
        assert rows == sorted(rows)
    return {
        (each.sport, each.competition): (
            each.events,
            {(r.bookmaker, r.source): (r.events, r.markets, r.stale_events)
             for r in each.bookmakers},
        )
        for each in reply.competitions
    }  # fmt: skip


async def by_hand(client: Client, **filters: Any) -> dict[Any, Any]:
    """Return the same counts, made from a reply of GetOdds."""
    odds = await client.call("GetOdds", pb.GetOddsRequest(filter=pb.Filter(**filters)))
    events: Counter[Any] = Counter()
    rows: dict[Any, dict[Any, list[int]]] = defaultdict(dict)
    for entry in odds.events:
        place = entry.event.sport, entry.event.competition
        events[place] += 1
        for shown in entry.bookmakers:
            if shown.markets:
                row = rows[place].setdefault((shown.bookmaker, shown.source), [0, 0, 0])
                row[0] += 1
                row[1] += len(shown.markets)
                row[2] += shown.stale
    return {
        place: (number, {key: tuple(row) for key, row in rows[place].items()})
        for place, number in events.items()
    }


def moved_time(minutes: int) -> Timestamp:
    at = Timestamp()
    at.FromDatetime(NOON + timedelta(minutes=minutes))
    return at


FILTERS: list[dict[str, Any]] = [
    {},
    {"bookmakers": ["b1"]},
    {"sources": ["hidden"]},
    {"markets": ["totals"]},
    {"sports": ["tennis"]},
    {"competitions": ["soccer_epl"], "in_play": False},
    {"event_ids": ["nothing"]},
    {"start_from": moved_time(60)},
]


@pytest.mark.parametrize("seed", range(4))
async def test_the_counts_are_those_of_the_odds(seed: int) -> None:
    book = two_sources(seed, 60)
    book.now += timedelta(minutes=seed * 2)  # some odds are stale by then
    seen = stale = 0
    async with serving(book, settings=settings()) as server:
        for name in (ALL, *(f"token-of-{name}" for name in TOKENS)):
            with client_of(server.address, name) as client:
                for filters in FILTERS:
                    found = await counted(client, **filters)
                    assert found == await by_hand(client, **filters)
                    seen += len(found)
                    stale += sum(row[2] for _, rows in found.values() for row in rows.values())
                reply = await client.call("GetCoverage", pb.GetCoverageRequest())
                odds = await client.call("GetOdds", pb.GetOddsRequest())
                assert reply.cursor == odds.cursor
                if name != ALL:
                    assert_hides(reply, name.removeprefix("token-of-"))
    assert seen
    assert stale


async def test_a_gap_is_a_bookmaker_that_lacks_events_of_a_competition() -> None:
    book = Bookkeeping()
    epl = observed_event("a", {"b1": PRICES, "b2": PRICES})
    alone = observed_event("b", {"b1": PRICES})
    bare = observed_event("c", {})
    tennis = replace(observed_event("d", {"b2": PRICES}), sport="tennis", competition="tennis_atp")
    book.see(observe([epl, alone, bare, tennis]))
    async with serving(book) as server:
        with connected(server.address) as client:
            assert await counted(client) == {
                ("soccer", "soccer_epl"): (
                    3, {("b1", "toa"): (2, 4, 0), ("b2", "toa"): (1, 2, 0)},
                ),
                ("tennis", "tennis_atp"): (1, {("b2", "toa"): (1, 2, 0)}),
            }  # fmt: skip
            found = await counted(client, markets=["totals"], competitions=["soccer_epl"])
            assert found["soccer", "soccer_epl"][1]["b1", "toa"] == (2, 2, 0)
            book.now += timedelta(days=1)
            found = await counted(client)
            assert found["soccer", "soccer_epl"][1]["b1", "toa"] == (2, 4, 2)


async def test_odds_are_as_old_as_the_oldest_of_the_types_that_are_counted() -> None:
    book = Bookkeeping()
    event = observed_event("a", {"b1": PRICES})
    book.see(observe([event]))
    for minute in range(1, 40):
        h2h = observed_event("a", {"b1": {MarketKey("h2h"): PRICES[MarketKey("h2h")]}})
        scope = Scope(listing="soccer_epl", markets=frozenset({"h2h"}))
        book.see(observe([h2h], minute, scope=scope))
    async with serving(book) as server:
        with connected(server.address) as client:
            for markets, stale in ((["h2h"], 0), (["totals"], 1), ([], 1)):
                ((_, rows),) = (await counted(client, markets=markets)).values()
                assert rows["b1", "toa"][2] == stale
                assert await counted(client, markets=markets) == await by_hand(
                    client, markets=markets
                )


async def test_a_malformed_filter_is_refused() -> None:
    request = pb.GetCoverageRequest(filter=pb.Filter(sports=[""]))
    async with serving(Bookkeeping()) as server:
        with connected(server.address) as client:
            refusal = await refused(client, "GetCoverage", request)
    assert (refusal.code, refusal.field) == ("INVALID_ARGUMENT", "filter.sports")


@faces
async def test_the_client_counts(face: Face) -> None:
    book = Bookkeeping()
    book.see(observe([observed_event("a", {"b1": PRICES})]))
    async with serving(book) as server:
        found = await face(server.address, lambda client: client.coverage())
    (competition,) = found.competitions
    (row,) = competition.bookmakers
    assert (competition.competition, competition.events) == ("soccer_epl", 1)
    assert (row.bookmaker, row.source, row.events, row.markets, row.stale_events) == (
        "b1", "toa", 1, 2, 0,
    )  # fmt: skip
    assert found.cursor.revision == book.feed.head_revision
