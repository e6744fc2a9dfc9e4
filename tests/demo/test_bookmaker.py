"""The simulated bookmaker over HTTP: shape, sizes, determinism, the walk's promises, errors."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal

import httpx
import msgspec
import pytest

from odds_service.demo.bookmaker import SimulatedBookmaker
from odds_service.demo.settings import SimulationSettings
from odds_service.demo.walk import american_price
from tests.demo.serving import client_of

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
STEADY = {
    "line_absence_share": 0.0,
    "outcome_absence_share": 0.0,
    "market_absence_share": 0.0,
    "bookmaker_absence_share": 0.0,
    "event_absence_share": 0.0,
    "empty_share": 0.0,
}


class Outcome(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    price: float
    description: str | msgspec.UnsetType = msgspec.UNSET
    point: float | msgspec.UnsetType = msgspec.UNSET


class Market(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    last_update: str
    outcomes: list[Outcome]


class Book(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    title: str
    markets: list[Market]
    last_update: str | msgspec.UnsetType = msgspec.UNSET


class Event(msgspec.Struct, forbid_unknown_fields=True):
    """The documented shape, without any other field."""

    id: str
    sport_key: str
    sport_title: str
    commence_time: datetime
    home_team: str
    away_team: str
    bookmakers: list[Book]


Identity = tuple[str, str, str, object, object]  # event, bookmaker, market, line, participant


def slots(body: bytes) -> dict[Identity, tuple[str, tuple[tuple[str, float], ...]]]:
    """Return `last_update` and prices of all markets by full identity; fail on a duplicate."""
    found: dict[Identity, tuple[str, dict[str, float]]] = {}
    for event in msgspec.json.decode(body, type=list[Event]):
        for book in event.bookmakers:
            for market in book.markets:
                for outcome in market.outcomes:
                    point = outcome.point
                    if "spreads" in market.key and point is not msgspec.UNSET:
                        point = point if outcome.name == event.home_team else 0 - point
                    identity = (event.id, book.key, market.key, point, outcome.description)
                    _, prices = found.setdefault(identity, (market.last_update, {}))
                    assert outcome.name not in prices, identity
                    prices[outcome.name] = outcome.price
    return {key: (stamp, tuple(sorted(p.items()))) for key, (stamp, p) in found.items()}


def bookmaker(**fields: Any) -> SimulatedBookmaker:
    return SimulatedBookmaker(SimulationSettings(**fields), now=lambda: START)


def everything(app: SimulatedBookmaker) -> dict[str, str]:
    return {"apiKey": "k", "regions": "uk,eu", "markets": ",".join(app.market_keys)}


async def pull(
    client: httpx.AsyncClient, app: SimulatedBookmaker, number: int = 0, **query: str
) -> bytes:
    path = f"/v4/sports/{app.sport_keys[number]}/odds"
    answer = await client.get(path, params={**everything(app), **query})
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize("markets", [1, 2, 3, 12, 100])
async def test_sizes_are_as_asked_counted_by_full_identity(markets: int) -> None:
    app = bookmaker(sports=4, events=10, bookmakers=7, markets_per_bookmaker=markets, **STEADY)
    async with client_of(app) as client:
        bodies = [await pull(client, app, number) for number in range(4)]
    events = [event for body in bodies for event in msgspec.json.decode(body, type=list[Event])]
    assert [len(msgspec.json.decode(body)) for body in bodies] == [3, 3, 2, 2]
    assert {len(event.bookmakers) for event in events} == {7}
    counted = Counter(identity[:2] for body in bodies for identity in slots(body))
    assert set(counted.values()) == {markets}
    assert len(counted) == 10 * 7


async def test_the_same_seed_gives_the_same_bodies_another_seed_others() -> None:
    async def bodies(seed: int) -> list[bytes]:
        app = bookmaker(seed=seed, sports=2, events=8, in_play_s=20.0, lead_s=40.0)
        async with client_of(app) as client:
            return [await pull(client, app, number % 2) for number in range(60)]

    first = await bodies(7)
    assert first == await bodies(7)
    assert first != await bodies(8)


async def test_shape_lines_and_order() -> None:
    app = bookmaker(sports=2, events=20, bookmakers=6, markets_per_bookmaker=40, **STEADY)
    async with client_of(app) as client:
        soccer = msgspec.json.decode(await pull(client, app, 0), type=list[Event])
        basketball = msgspec.json.decode(await pull(client, app, 1), type=list[Event])
        listed = (await client.get("/v4/sports", params={"apiKey": "k"})).json()
    assert [sport["key"] for sport in listed] == app.sport_keys
    assert {*listed[0]} == {"key", "group", "title", "description", "active", "has_outrights"}
    first_is_home, ways = set(), set()
    for event in soccer + basketball:
        assert event.commence_time.tzinfo is not None
        for book in event.bookmakers:
            for market in book.markets:
                players = {outcome.description for outcome in market.outcomes}
                assert (msgspec.UNSET in players) is not market.key.startswith("player_")
                points = [outcome.point for outcome in market.outcomes]
                if market.key == "h2h":
                    assert set(points) == {msgspec.UNSET}
                    ways.add((event.sport_key, len(points)))
                    first_is_home.add(market.outcomes[0].name == event.home_team)
                elif market.key == "spreads":
                    assert points[0] == -points[1]  # type: ignore[operator]  # they are set
                elif market.key == "totals":
                    assert points[0] == points[1]
                prices = [outcome.price for outcome in market.outcomes]
                assert min(prices) >= 1.01
                if market.key in {"h2h", "spreads", "totals"}:
                    assert 1.0 < sum(1 / price for price in prices) < 1.12
    assert first_is_home == {True, False}
    sport, other = app.sport_keys
    assert ways == {(sport, 3), (sport, 2), (other, 2)}


async def test_stamps_move_at_every_poll_and_always_with_a_change() -> None:
    app = bookmaker(sports=1, events=10, markets_per_bookmaker=12, **STEADY)
    still = unchanged = changed = 0
    async with client_of(app) as client:
        before = slots(await pull(client, app))
        for _ in range(40):
            now = slots(await pull(client, app))
            for identity in before.keys() & now.keys():
                (was_stamp, was), (stamp, odds) = before[identity], now[identity]
                assert stamp >= was_stamp
                if odds == was:
                    unchanged += 1
                    still += stamp == was_stamp
                else:
                    changed += 1
                    assert stamp > was_stamp
            before = now
    assert changed > 500
    assert 0 < still / unchanged < 0.01


async def test_change_share_is_what_changes() -> None:
    app = bookmaker(
        sports=1,
        events=10,
        markets_per_bookmaker=60,
        change_share=0.05,
        in_play_change_share=0.05,
        line_move_share=0.0,
        lead_s=1e6,
        **STEADY,
    )
    async with client_of(app) as client:
        bodies = [slots(await pull(client, app)) for _ in range(20)]
    shares = [
        sum(before[key][1] != now[key][1] for key in before) / len(before)
        for before, now in pairwise(bodies)
        if before.keys() == now.keys()
    ]
    assert len(shares) == 19
    assert sum(shares) / len(shares) == pytest.approx(0.05, rel=0.1)


async def test_what_leaves_comes_back_or_ends_and_lines_move() -> None:
    app = bookmaker(
        sports=1,
        events=8,
        markets_per_bookmaker=24,
        lead_s=60.0,
        in_play_s=20.0,
        line_absence_share=0.01,
        outcome_absence_share=0.05,
        flicker_share=1.0,
        empty_share=0.0,
    )
    seen: dict[str, set[Identity]] = {"line": set(), "market": set(), "book": set()}
    draws: set[bool] = set()
    first_ids: set[str] = set()
    async with client_of(app) as client:
        for poll in range(120):
            body = await pull(client, app)
            slots(body)  # no identity twice, at any time
            events = msgspec.json.decode(body, type=list[Event])
            if poll == 0:
                first_ids = {event.id for event in events}
            for event in events:
                age_s = (START + timedelta(seconds=poll + 1) - event.commence_time).total_seconds()
                assert age_s < 20.0
                seen["book"].add((event.id, "", "", len(event.bookmakers), None))
                for book in event.bookmakers:
                    seen["market"].add((event.id, book.key, "", len(book.markets), None))
                    for market in book.markets:
                        if market.key == "alternate_totals":
                            seen["line"].add((event.id, book.key, "", len(market.outcomes), None))
                        if market.key == "h2h":
                            draws.add(any(o.name == "Draw" for o in market.outcomes))
    for kind, counts in seen.items():
        of_one = Counter(identity[:3] for identity in counts)
        assert max(of_one.values()) > 1, kind  # one thing was seen with more and with less
    assert draws == {True, False}
    assert not first_ids & {event.id for event in events}  # all ended, others came
    assert events


async def test_an_empty_body_is_followed_by_the_same_odds() -> None:
    app = bookmaker(sports=1, events=5, empty_share=0.3)
    async with client_of(app) as client:
        bodies = [slots(await pull(client, app)) for _ in range(40)]
    odds = [{key: prices for key, (_, prices) in body.items()} for body in bodies]
    empty = [number for number, body in enumerate(odds) if not body]
    assert len(empty) > 3
    for number in empty:
        if 0 < number < len(odds) - 1 and odds[number - 1]:
            assert odds[number + 1] == odds[number - 1]


async def test_by_clock_a_step_is_due_each_step_s_however_often_one_polls() -> None:
    now = START
    app = SimulatedBookmaker(
        SimulationSettings(sports=1, pace="clock", step_s=2.0, empty_share=0.0), now=lambda: now
    )
    async with client_of(app) as client:
        first = await pull(client, app)
        assert await pull(client, app) == first
        now = START + timedelta(seconds=1.9)
        assert await pull(client, app) == first
        now = START + timedelta(seconds=2)
        second = await pull(client, app)
        assert second != first
        now = START + timedelta(days=30)
        late = msgspec.json.decode(await pull(client, app), type=list[Event])
    # After a long pause all events are new ones of that time.
    assert all(event.commence_time > now - timedelta(hours=1) for event in late)


async def test_filters_restrict() -> None:
    app = bookmaker(sports=1, events=12, bookmakers=4, **STEADY)
    async with client_of(app) as client:
        all_events = msgspec.json.decode(await pull(client, app), type=list[Event])
        starts = [event.commence_time for event in all_events]
        assert starts == sorted(starts)
        ids = {all_events[1].id, all_events[4].id}
        some = msgspec.json.decode(
            await pull(client, app, eventIds=",".join(ids)), type=list[Event]
        )
        assert {event.id for event in some} == ids
        window = {
            "commenceTimeFrom": starts[3].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "commenceTimeTo": starts[6].strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        within = msgspec.json.decode(await pull(client, app, 0, **window), type=list[Event])
        assert {event.commence_time for event in within} == set(starts[3:7])
        uk = msgspec.json.decode(await pull(client, app, regions="uk"), type=list[Event])
        eu = msgspec.json.decode(await pull(client, app, regions="eu"), type=list[Event])
        by_region = [{book.key for book in body[0].bookmakers} for body in (uk, eu)]
        assert [len(keys) for keys in by_region] == [2, 2]
        assert not by_region[0] & by_region[1]
        one = min(by_region[0])
        named = msgspec.json.decode(
            await pull(client, app, bookmakers=f"{one},unknown", regions="eu", markets="totals"),
            type=list[Event],
        )
        assert {book.key for event in named for book in event.bookmakers} == {one}
        assert {m.key for e in named for b in e.bookmakers for m in b.markets} == {"totals"}
        nobody = msgspec.json.decode(await pull(client, app, regions="au"), type=list[Event])
        assert [event.bookmakers for event in nobody] == [[]] * 12


async def test_american_prices_are_those_of_the_decimal_ones() -> None:
    def later(body: bytes) -> dict[Identity, tuple[tuple[str, float], ...]]:
        return {key: prices for key, (_, prices) in slots(body).items()}

    async def body(odds_format: Literal["decimal", "american"]) -> bytes:
        app = bookmaker(sports=1, events=5)
        async with client_of(app) as client:
            await pull(client, app)
            return await pull(client, app, oddsFormat=odds_format)

    decimal, american = later(await body("decimal")), later(await body("american"))
    assert decimal.keys() == american.keys()
    for key, prices in decimal.items():
        assert tuple((name, american_price(price)) for name, price in prices) == american[key]
    assert [american_price(price) for price in (1.01, 1.5, 2.0, 2.5)] == [-10_000, -200, 100, 150]


async def test_one_event_and_the_list_of_events() -> None:
    app = bookmaker(sports=1, events=6, **STEADY)
    (sport,) = app.sport_keys
    async with client_of(app) as client:
        listed = (await client.get(f"/v4/sports/{sport}/events", params={"apiKey": "k"})).json()
        assert len(listed) == 6
        assert {*listed[0]} == {*Event.__struct_fields__} - {"bookmakers"}
        path = f"/v4/sports/{sport}/events/{listed[2]['id']}/odds"
        answer = await client.get(path, params=everything(app))
        event = msgspec.json.decode(answer.content, type=Event)
        assert event.id == listed[2]["id"]
        assert {book.last_update for book in event.bookmakers} == {msgspec.UNSET}
        # It is a poll like any other: the next one has moved on.
        again = await client.get(path, params=everything(app))
        assert again.content != answer.content
        gone = await client.get(f"/v4/sports/{sport}/events/none/odds", params=everything(app))
    assert (gone.status_code, gone.json()["error_code"]) == (404, "EVENT_NOT_FOUND")


async def test_the_quota_is_counted_and_runs_out() -> None:
    app = bookmaker(sports=1, quota=13)
    (sport,) = app.sport_keys
    path = f"/v4/sports/{sport}/odds"
    query = {"apiKey": "k", "regions": "uk,eu", "markets": "h2h,totals"}

    def counted(answer: httpx.Response) -> tuple[str, str, str]:
        headers = answer.headers
        return (
            headers["x-requests-remaining"],
            headers["x-requests-used"],
            headers["x-requests-last"],
        )

    async with client_of(app) as client:
        assert counted(await client.get(path, params=query)) == ("9", "4", "4")
        free = await client.get(f"/v4/sports/{sport}/events", params=query)
        assert counted(free) == ("9", "4", "0")
        named = {"apiKey": "k", "bookmakers": "a,b", "markets": "h2h"}
        assert counted(await client.get(path, params=named)) == ("8", "5", "1")
        empty = {**query, "commenceTimeTo": "2001-01-01T00:00:00Z"}
        assert counted(await client.get(path, params=empty)) == ("8", "5", "0")
        assert counted(await client.get(path, params=query)) == ("4", "9", "4")
        assert counted(await client.get(path, params=query)) == ("0", "13", "4")
        out = await client.get(path, params=query)
    assert (out.status_code, out.json()["error_code"]) == (401, "OUT_OF_USAGE_CREDITS")


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        ("odds", {"apiKey": ""}, 401, "MISSING_KEY"),
        ("odds", {"apiKey": "wrong"}, 401, "INVALID_KEY"),
        ("../nosport/odds", {}, 404, "UNKNOWN_SPORT"),
        ("other", {}, 404, "NOT_FOUND"),
        ("odds", {"regions": ""}, 422, "MISSING_REGION"),
        ("odds", {"regions": "mars"}, 422, "INVALID_REGION"),
        ("odds", {"markets": "h2h;totals"}, 422, "INVALID_MARKET"),
        ("odds", {"oddsFormat": "fractional"}, 422, "INVALID_ODDS_FORMAT"),
        ("odds", {"dateFormat": "unix"}, 422, "INVALID_DATE_FORMAT"),
        ("odds", {"eventIds": "a;b"}, 422, "INVALID_EVENT_IDS"),
        ("odds", {"commenceTimeFrom": "yesterday"}, 422, "INVALID_COMMENCE_TIME_FROM"),
        ("odds", {"commenceTimeTo": "2026-02-30T00:00:00Z"}, 422, "INVALID_COMMENCE_TIME_TO"),
        (
            "odds",
            {
                "commenceTimeFrom": "2026-02-02T00:00:00Z",
                "commenceTimeTo": "2026-02-01T00:00:00Z",
            },
            422,
            "INVALID_COMMENCE_TIME_RANGE",
        ),
    ],
)
async def test_errors_are_objects(path: str, query: dict[str, str], status: int, code: str) -> None:
    app = bookmaker(sports=1, api_key="right")
    good = {"apiKey": "right", "regions": "uk", "markets": "h2h"}
    async with client_of(app) as client:
        answer = await client.get(
            f"/v4/sports/{app.sport_keys[0]}/{path}", params={**good, **query}
        )
        posted = await client.post("/v4/sports", params=good)
    body = answer.json()
    assert (answer.status_code, body["error_code"]) == (status, code)
    assert {*body} == {"message", "error_code", "details_url"}
    assert body["details_url"].endswith("#" + code.lower().replace("_", "-"))
    assert "wrong" not in answer.text
    assert posted.status_code == 405


async def test_too_many_requests_in_a_second() -> None:
    now = START
    app = SimulatedBookmaker(SimulationSettings(sports=1, requests_per_s=2), now=lambda: now)
    async with client_of(app) as client:

        async def ask() -> int:
            return (await client.get("/v4/sports", params={"apiKey": "k"})).status_code

        assert [await ask() for _ in range(3)] == [200, 200, 429]
        now = START + timedelta(seconds=1)
        assert [await ask() for _ in range(3)] == [200, 200, 429]


async def test_the_oracle_hears_what_went_out() -> None:
    served: list[tuple[str, bytes]] = []
    app = SimulatedBookmaker(
        SimulationSettings(sports=1),
        now=lambda: START,
        on_served=lambda path, body: served.append((path, body)),
    )
    async with client_of(app, gzip=True) as client:
        bodies = [await pull(client, app)]
        answer = await client.get(
            f"/v4/sports/{app.sport_keys[0]}/odds",
            params=everything(app),
            headers={"accept-encoding": "gzip"},
        )
        assert answer.headers["content-encoding"] == "gzip"
        bodies.append(answer.content)
        await client.get("/v4/sports", params={"apiKey": "k"})
        await client.get(f"/v4/sports/{app.sport_keys[0]}/odds", params={"apiKey": "k"})
    assert served == [(f"/v4/sports/{app.sport_keys[0]}/odds", body) for body in bodies]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sports", 0),
        ("events", 2),  # fewer than sports
        ("bookmakers", 37),
        ("markets_per_bookmaker", 0),
        ("regions", ()),
        ("step_s", 0.0),
        ("lead_s", float("nan")),
        ("change_share", 1.1),
        ("empty_share", -0.1),
        ("absence_steps", 2),  # fewer than flicker_steps
        ("quota", -1),
        ("requests_per_s", 0),
    ],
)
def test_settings_out_of_range_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        SimulationSettings(**{field: value})  # type: ignore[arg-type]  # that is the test


def test_a_naive_clock_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        SimulatedBookmaker(SimulationSettings(), now=lambda: START.replace(tzinfo=None))
