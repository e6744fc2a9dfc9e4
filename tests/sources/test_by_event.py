"""SportyBet, BetPawa and Bet9ja over their own endpoints: discovery, events and failures.

The payloads are small made-up ones in the providers' shapes; tests/e2e uses recorded ones.
"""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from odds_service.errors import SettingsError, SourceError
from odds_service.model.event import EventStatus
from odds_service.model.market import MarketKey
from odds_service.model.observation import Completeness, UnmappedSample
from odds_service.sources.base import Source
from odds_service.sources.registry import open_source, source_kinds
from tests.sources.serving import Scripted, json_of, listening
from tests.support import payloads
from tests.support.payloads import Match
from tests.support.providers import (
    Bet9jaShelf,
    BetPawaShelf,
    ProviderShelf,
    SportyBetShelf,
)

PROVIDERS: dict[str, tuple[type[ProviderShelf], Any]] = {
    "sportybet": (SportyBetShelf, payloads.sportybet),
    "betpawa": (BetPawaShelf, payloads.betpawa),
    "bet9ja": (Bet9jaShelf, payloads.bet9ja),
}
SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
MATCH = Match(number=68_995_116, home="Wuhan Three Towns", away="Qingdao Hainiu", start=SOON)

each = pytest.mark.parametrize("kind", PROVIDERS)


def shelf_of(kind: str, *matches: Match) -> ProviderShelf:
    shelf, payload = PROVIDERS[kind]
    return shelf(*(payload(match) for match in matches))


@asynccontextmanager
async def source_of(kind: str, app: Any, **table: Any) -> AsyncIterator[Source]:
    async with listening(app) as url:
        quick = {"requests_per_s": 10_000.0, "attempts": 1} | table.pop("http", {})
        whole = {"kind": kind, "url": url, "http": quick} | table
        async with open_source(whole) as source:
            yield source


def test_they_are_installed() -> None:
    assert {"sportybet", "betpawa", "bet9ja", "the-odds-api"} <= set(source_kinds())


@each
async def test_events_are_discovered_with_start_and_shared_id(kind: str) -> None:
    matches = [
        replace(MATCH, number=MATCH.number + n, tournament=n % 3, start=SOON + timedelta(hours=n))
        for n in range(7)
    ]
    shelf = shelf_of(kind, *matches)
    async with source_of(kind, shelf) as source:
        offer = await source.discover()
        (few,) = [await source.discover() for _ in range(1)]
    assert offer.problems == {}
    assert few == offer
    pulls = {pull.key: pull for pull in offer.pulls}
    assert pulls.keys() == shelf.events.keys()
    by_number = {pull.shared_ids["sr"]: pull for pull in offer.pulls}
    for match in matches:
        pull = by_number[str(match.number)]
        assert (pull.event, pull.in_play, pull.start_time) == (True, False, match.start)
        assert (pull.listing or "").endswith(str(match.tournament))
    assert source.pace.by_event


async def test_betpawa_is_paged_through_and_tells_what_is_in_play() -> None:
    matches = [replace(MATCH, number=MATCH.number + n, in_play=n == 7) for n in range(230)]
    shelf = shelf_of("betpawa", *matches)
    async with source_of("betpawa", shelf) as source:
        offer = await source.discover()
    assert len(offer.pulls) == 230
    assert [pull.in_play for pull in offer.pulls].count(True) == 1
    assert shelf.requests.count("/api/sportsbook/v3/events/lists/by-queries") == 4


@each
async def test_what_discovery_finds_is_bounded_to_what_starts_first(kind: str) -> None:
    matches = [
        replace(MATCH, number=MATCH.number + n, start=SOON + timedelta(hours=9 - n))
        for n in range(9)
    ]
    async with source_of(kind, shelf_of(kind, *matches), max_events=4) as source:
        offer = await source.discover()
    assert offer.problems == {"too_many_events": 1}
    starts = [pull.start_time for pull in offer.pulls]
    assert starts == sorted(match.start for match in matches)[:4]


@each
async def test_only_the_tournaments_asked_for(kind: str) -> None:
    matches = [replace(MATCH, number=MATCH.number + n, tournament=n) for n in range(3)]
    shelf = shelf_of(kind, *matches)
    chosen = "sr:tournament:1" if kind == "sportybet" else "1"
    async with source_of(kind, shelf, tournaments=[chosen]) as source:
        (pull,) = (await source.discover()).pulls
    assert pull.shared_ids == {"sr": str(matches[1].number)}


@each
async def test_a_tournament_that_fails_keeps_its_events(kind: str) -> None:
    matches = [replace(MATCH, number=MATCH.number + n, tournament=n) for n in range(3)]
    shelf = shelf_of(kind, *matches)
    broken: set[str] = set()

    async def app(request: Request) -> Response:
        asked = f"{list(request.query_params.values())}{(await request.body()).decode()}"
        if any(word in asked for word in broken):
            return Response(b"<html>Just a moment</html>")
        return await shelf(request)

    async with source_of(kind, app) as source:
        whole = await source.discover()
        broken.add({"sportybet": "sr:tournament:2", "betpawa": '["2"]}', "bet9ja": "'2'"}[kind])
        part = await source.discover()
        assert part.problems == {"html": 1}
        assert {pull.key for pull in part.pulls} == {pull.key for pull in whole.pulls}
        broken.add("")
        with pytest.raises(SourceError) as caught:
            await source.discover()
    assert caught.value.kind == "html"


@each
async def test_an_event_is_read_whole(kind: str) -> None:
    shelf = shelf_of(kind, MATCH)
    (event_id,) = shelf.events
    async with source_of(kind, shelf) as source:
        (pull,) = (await source.discover()).pulls
        seen = await source.fetch(pull)
        again = await source.fetch_event(event_id, None)
    (event,) = seen.events
    assert seen.completeness is Completeness.COMPLETE
    assert seen.scope.events == frozenset({event_id})
    assert seen.started_at <= seen.observed_at
    assert (event.source_event_id, event.home, event.away) == (event_id, MATCH.home, MATCH.away)
    assert (event.start_time, event.shared_ids) == (SOON, {"sr": str(MATCH.number)})
    (shown,) = event.bookmakers
    assert shown.bookmaker == kind
    assert {
        key: [outcome.price for outcome in market.outcomes] for key, market in shown.markets.items()
    } == {
        MarketKey("h2h"): [2.4, 3.3, 2.9],
        MarketKey("totals", "2.5"): [1.9, 1.9],
        MarketKey("btts"): [1.7, 2.1],
    }
    assert again.events == seen.events
    assert (seen.mapped, seen.unmapped) == (3, {})


def with_unknown(payload: Any, kind: str) -> Any:
    """Return a payload with one more market, of two outcomes, that no table knows."""
    if kind == "bet9ja":
        return payload | {"O": payload["O"] | {"S_NEVERSEEN_1": 1.9, "S_NEVERSEEN_2": 1.9}}
    if kind == "betpawa":
        row = {"handicap": None, "prices": [{"name": "1", "price": 1.9, "suspended": False}]}
        market: Any = {"marketType": {"id": "99999", "name": "Never seen"}, "row": [row]}
    else:
        outcome = {"id": "1", "odds": "1.9", "isActive": 1, "desc": "1"}
        market = {"id": "99999", "name": "Never seen", "status": 0, "outcomes": [outcome]}
    return payload | {"markets": [*payload["markets"], market]}


@each
async def test_a_market_that_no_table_knows_is_counted_by_its_name(kind: str) -> None:
    shelf = shelf_of(kind, MATCH)
    (event_id,) = shelf.events
    async with source_of(kind, shelf) as source:
        before = await source.fetch_event(event_id, None)
        shelf.put(with_unknown(shelf.events[event_id], kind))
        seen = await source.fetch_event(event_id, None)
    assert seen.events == before.events
    assert seen.mapped == before.mapped > 0
    assert list(seen.unmapped.values()) == [1]
    (name,) = seen.unmapped
    assert "99999" in name or "S_NEVERSEEN" in name
    outcomes = ("1", "2") if kind == "bet9ja" else ("1",)
    sample = UnmappedSample(
        sport="soccer",
        event_id=event_id,
        event_name="Wuhan Three Towns – Qingdao Hainiu",
        outcomes=outcomes,
    )
    assert seen.unmapped_samples == {name: sample}


@each
async def test_an_event_that_is_gone_is_a_complete_observation_of_nothing(kind: str) -> None:
    shelf = shelf_of(kind, MATCH)
    (event_id,) = shelf.events
    shelf.events.clear()
    async with source_of(kind, shelf) as source:
        seen = await source.fetch_event(event_id, None)
    assert (seen.completeness, seen.events) == (Completeness.COMPLETE, ())
    assert seen.scope.events == frozenset({event_id})


ENVELOPES: dict[str, Callable[[Any], Any]] = {
    "sportybet": lambda data: {"bizCode": 10_000, "data": data},
    "betpawa": lambda data: data,
    "bet9ja": lambda data: {"R": "OK", "D": data},
}


@each
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Response(b"<html>Just a moment</html>"), "html"),
        (Response(b"<html>Not here</html>", 404), None),
        (Response(status_code=403), "forbidden"),
        (Response(status_code=500), "server_error"),
        (Response(status_code=429), "rate_limited"),
        (Response(status_code=302, headers={"Location": "/login"}), "redirect"),
        (Response(b"[]"), "wrong_shape"),
        (Response(b"{}"), "wrong_shape"),
        (Response(b'{"bizCode": 1, "R": "X"}'), None),
        (Response(b'{"id": "1", "R": "OK", "bizCode'), "wrong_shape"),
    ],
)
async def test_a_failure_is_never_taken_for_gone(
    kind: str, answer: Response, error: str | None
) -> None:
    async with source_of(kind, Scripted(answer)) as source:
        with pytest.raises(SourceError) as caught:
            await source.fetch_event("1", None)
        assert caught.value.kind != "unknown_event"
        if error is not None:
            assert caught.value.kind == error
        with pytest.raises(SourceError):
            await source.discover()


@each
async def test_the_answer_to_another_question_is_refused(kind: str) -> None:
    _, payload = PROVIDERS[kind]
    async with source_of(kind, Scripted(json_of(ENVELOPES[kind](payload(MATCH))))) as source:
        with pytest.raises(SourceError) as caught:
            await source.fetch_event("77", None)
    assert caught.value.kind == "wrong_event"


async def test_sportybets_product_follows_the_events_own_status() -> None:
    early = replace(MATCH, in_play=True)  # started before its time
    late = replace(MATCH, number=2, start=datetime.now(UTC) - timedelta(minutes=5))
    shelf = shelf_of("sportybet", early, late)
    async with source_of("sportybet", shelf) as source:
        pulls = (await source.discover()).pulls
        seen = [await source.fetch(pull) for pull in pulls]
        refreshed = await source.fetch_event("sr:match:2", None)
    statuses = [observation.events[0].status for observation in seen]
    assert statuses == [EventStatus.IN_PLAY, EventStatus.SCHEDULED]
    for observation in (*seen, refreshed):
        assert len(observation.events[0].bookmakers[0].markets) == 3


async def test_sportybets_event_that_is_over_is_gone() -> None:
    shelf = SportyBetShelf(payloads.sportybet(MATCH) | {"status": 4, "markets": []})
    async with source_of("sportybet", shelf) as source:
        seen = await source.fetch_event(f"sr:match:{MATCH.number}", None)
    assert (seen.completeness, seen.events) == (Completeness.COMPLETE, ())


async def test_they_say_who_they_are_and_no_more() -> None:
    requests: list[Request] = []

    async def app(request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        requests.append(request)
        return Response(b"{}", 404)

    http = {"user_agent": "me/1.0 (me@example.org)"}
    async with source_of("betpawa", app, http=http, headers={"x-more": "1"}) as source:
        await source.fetch_event("1", None)
    (request,) = requests
    assert request.headers["user-agent"] == "me/1.0 (me@example.org)"
    assert request.headers["x-pawa-brand"] == "betpawa-nigeria"
    assert request.headers["x-more"] == "1"


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ({"tiers": []}, "last tier"),
        ({"tiers": [{"name": "a", "interval_s": 5}, {"name": "b", "interval_s": 9}]}, "within_s"),
        (
            {
                "tiers": [
                    {"name": "a", "within_s": 60, "interval_s": 50},
                    {"name": "b", "interval_s": 9},
                ]
            },
            "more often",
        ),
        ({"tiers": [{"name": "a", "interval_s": 5, "target_s": 1}]}, "target_s"),
        ({"sports": []}, "sports"),
        ({"speed": 9}, "speed"),
        ({"url": "ftp://x"}, r"^sources \(mine\): url"),
    ],
)
async def test_wrong_settings_are_named(table: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        async with open_source({"kind": "bet9ja", "name": "mine"} | table):
            pass


def test_the_payloads_are_json() -> None:
    for _, payload in PROVIDERS.values():
        assert json.loads(json.dumps(payload(MATCH)))
