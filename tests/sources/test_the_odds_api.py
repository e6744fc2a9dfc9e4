"""The Odds API over real HTTP: settings, requests, quota, errors."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from starlette.requests import Request
from starlette.responses import Response

from odds_service.demo.bookmaker import SimulatedBookmaker
from odds_service.demo.settings import SimulationSettings
from odds_service.errors import SettingsError, SourceError
from odds_service.model.observation import ANY, Completeness, Observation
from odds_service.sources import key_file
from odds_service.sources.base import Offer, Pull
from odds_service.sources.registry import open_source
from odds_service.sources.the_odds_api import TheOddsApi
from tests.sources.serving import Scripted, json_of, listening
from tests.support.recorded import ODDS_API, bodies_of, needs_recorded
from tests.support.sites import Site

KEY: Final = "key-of-the-test"
RECORDED_ERRORS: Final = sorted(set(bodies_of(ODDS_API / "errors"))) if ODDS_API.is_dir() else [b""]
PULL: Final = Pull(key="soccer_epl")


@asynccontextmanager
async def source_of(app: Site, **table: Any) -> AsyncIterator[TheOddsApi]:
    """Open a source that fetches from `app`."""
    settings = {"sports": ["soccer_epl"], "api_key": KEY, "http": {"attempts": 1}} | table
    async with listening(app) as url:
        async with TheOddsApi.open("toa", {"url": url} | settings) as source:
            yield source


def listed(**fields: Any) -> dict[str, Any]:
    return {
        "id": "e1",
        "sport_key": "soccer_epl",
        "commence_time": "2026-08-04T12:00:00Z",
        "home_team": "A",
        "away_team": "B",
        "bookmakers": [
            {
                "key": "b",
                "markets": [
                    {
                        "key": "h2h",
                        "outcomes": [{"name": "A", "price": 150}, {"name": "B", "price": 2.5}],
                    }
                ],
            }
        ],
    } | fields


def prices(observation: Observation) -> list[float | None]:
    return [
        outcome.price
        for event in observation.events
        for bookmaker in event.bookmakers
        for market in bookmaker.markets.values()
        for outcome in market.outcomes
    ]


async def test_a_sport_is_pulled_whole() -> None:
    bookmaker = SimulatedBookmaker(SimulationSettings(sports=1, events=12, empty_share=0.0))
    (sport,) = bookmaker.sport_keys
    table: dict[str, Any] = {
        "sports": [sport], "markets": bookmaker.market_keys, "interval_s": 5.0
    }  # fmt: skip
    async with source_of(bookmaker, **table) as source:
        (pull,) = (await source.discover()).pulls
        before = datetime.now(UTC)
        seen = await source.fetch(pull)
        assert source.pace.tiers[0].interval_s == 5.0
    assert pull == Pull(key=sport, cost=2.0 * len(bookmaker.market_keys))
    assert (seen.source, seen.completeness, seen.problems) == ("toa", Completeness.COMPLETE, {})
    assert seen.scope.listing == sport
    assert seen.scope.events is None
    assert seen.scope.bookmakers is None
    assert seen.scope.markets == frozenset(bookmaker.market_keys)
    assert seen.scope.elsewhere == frozenset()
    assert before <= seen.started_at <= seen.observed_at
    assert len(seen.events) > 6
    assert {event.competition for event in seen.events} == {sport}
    assert len(prices(seen)) > 100
    assert seen.quota_left is not None
    assert seen.quota_left < 100_000_000
    assert seen.cost == pull.cost  # as the answer says


async def test_one_event_on_demand_and_one_that_has_gone() -> None:
    bookmaker = SimulatedBookmaker(
        SimulationSettings(sports=1, events=4, event_absence_share=0.0, empty_share=0.0)
    )
    (sport,) = bookmaker.sport_keys
    async with source_of(bookmaker, sports=[sport]) as source:
        whole = await source.fetch(Pull(key=sport))
        event_id = whole.events[0].source_event_id
        seen = await source.fetch_event(event_id, sport)
        gone = await source.fetch_event("0" * 32, sport)
    assert [event.source_event_id for event in seen.events] == [event_id]
    assert (seen.scope.events, seen.scope.listing) == (frozenset({event_id}), sport)
    assert (gone.completeness, gone.events) == (Completeness.COMPLETE, ())


async def test_what_is_asked() -> None:
    app = Scripted(json_of([]))
    async with source_of(app, markets=["totals"], bookmakers=["x", "y"]) as source:
        seen = await source.fetch(PULL)
        with pytest.raises(SourceError):
            await source.fetch_event("e1", None)
    (request,) = app.requests
    assert request.url.path == "/v4/sports/soccer_epl/odds"
    assert sorted(request.query_params.multi_items()) == [
        ("apiKey", KEY), ("bookmakers", "x,y"), ("dateFormat", "iso"), ("markets", "totals"),
        ("oddsFormat", "decimal"),
    ]  # fmt: skip
    assert (seen.scope.bookmakers, seen.scope.markets) == (
        frozenset({"x", "y"}),
        frozenset({"totals"}),
    )
    assert (seen.completeness, seen.events) == (Completeness.COMPLETE, ())


async def test_upcoming_never_says_that_something_is_missing() -> None:
    async with source_of(Scripted(json_of([])), sports=["upcoming"]) as source:
        seen = await source.fetch(Pull(key="upcoming"))
    assert (seen.completeness, seen.scope.listing) == (Completeness.PARTIAL, None)


async def test_an_event_without_a_name_makes_it_partial() -> None:
    async with source_of(Scripted(json_of([listed(), listed(id=7)]))) as source:
        seen = await source.fetch(PULL)
    assert (seen.completeness, seen.unreadable) == (Completeness.PARTIAL, frozenset({ANY}))
    assert len(seen.events) == 1


@pytest.mark.parametrize(
    ("header", "expected"),
    [("american", [2.5, None]), ("decimal", [150.0, 2.5]), (None, [150.0, 2.5])],
)
async def test_the_answer_says_what_its_prices_are(
    header: str | None, expected: list[float]
) -> None:
    headers = {} if header is None else {"X-Odds-Format": header}
    async with source_of(Scripted(json_of([listed()], headers=headers))) as source:
        assert prices(await source.fetch(PULL)) == expected


async def test_american_prices_are_not_taken_for_decimal_ones() -> None:
    body = json.dumps([listed()]).replace("2.5", "-170").encode()
    async with source_of(Scripted(Response(body))) as source:
        with pytest.raises(SourceError) as caught:
            await source.fetch(PULL)
    assert caught.value.kind == "wrong_format"
    async with source_of(Scripted(Response(body)), odds_format="american") as source:
        assert prices(await source.fetch(PULL)) == pytest.approx([2.5, 1 + 100 / 170])


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (401, "MISSING_KEY", "ODDS_API_KEY"),
        (401, "INVALID_KEY", "check `api_key`"),
        (401, "OUT_OF_USAGE_CREDITS", "interval_s"),
        (404, "UNKNOWN_SPORT", "/v4/sports"),
        (422, "INVALID_MARKET_COMBO", "`markets`"),
        (422, "INVALID_REGION", "`regions`"),
        (422, "SOMETHING_NEW", "answered 422"),
    ],
)
async def test_a_refusal_says_what_to_do(status: int, code: str, advice: str) -> None:
    app = Scripted(json_of({"message": f"no, {KEY}", "error_code": code}, status))
    async with source_of(app) as source:
        with pytest.raises(SourceError) as caught:
            await source.fetch(PULL)
    assert caught.value.kind == code.lower()
    assert advice in str(caught.value)
    assert KEY not in str(caught.value)


async def test_too_many_calls_a_second() -> None:
    bookmaker = SimulatedBookmaker(SimulationSettings(sports=1, requests_per_s=1))
    (sport,) = bookmaker.sport_keys
    async with source_of(bookmaker, sports=[sport]) as source:
        await source.fetch(Pull(key=sport))
        with pytest.raises(SourceError) as caught:
            await source.fetch(Pull(key=sport))
    assert caught.value.kind == "rate_limited"
    assert "limited to 1 a second" in str(caught.value)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>Access denied</html>", "html"),
        (b"[{]", "truncated"),
        (b'[{"id": "e1"', "truncated"),
        (b'{"message": "m", "error_code": "X"}', "error_body"),
        (b"nothing", "not_json"),
    ],
)
async def test_a_body_that_is_none_is_a_failure_and_not_an_empty_list(
    body: bytes, kind: str
) -> None:
    async with source_of(Scripted(Response(body))) as source:
        with pytest.raises(SourceError) as caught:
            await source.fetch(PULL)
    assert caught.value.kind == kind


@needs_recorded
@pytest.mark.parametrize("body", RECORDED_ERRORS)
async def test_recorded_errors(body: bytes) -> None:
    status = 401 if b"KEY" in body else 422
    async with source_of(Scripted(Response(body, status))) as source:
        with pytest.raises(SourceError) as caught:
            await source.fetch(PULL)
    assert caught.value.kind in {"missing_key", "invalid_market_combo"}
    assert "(" in str(caught.value)  # the advice


@needs_recorded
async def test_recorded_upcoming_events_and_player_markets() -> None:
    upcoming = (ODDS_API / "upcoming_odds.json").read_bytes()
    async with source_of(Scripted(Response(upcoming)), sports=["upcoming"]) as source:
        seen = await source.fetch(Pull(key="upcoming"))
    assert len(seen.events) == 10
    assert len({event.sport for event in seen.events}) > 1
    players = (ODDS_API / "event_odds_player_points.json").read_bytes()
    table: dict[str, Any] = {"odds_format": "american", "markets": ["player_points"]}
    async with source_of(Scripted(Response(players)), **table) as source:
        one = await source.fetch_event(json.loads(players)["id"], "basketball_nba")
    (event,) = one.events
    keys = {key for bookmaker in event.bookmakers for key in bookmaker.markets}
    assert {key.market for key in keys} == {"player_points"}
    assert all(key.participant and key.line for key in keys)
    assert len(keys) > 20


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"regoins": ["uk"]}, "regoins: unknown key"),
        ({"interval_s": 0}, "interval_s"),
        ({"sports": []}, "sports"),
        ({"http": {"atempts": 1}}, "http.atempts: unknown key"),
    ],
)
async def test_wrong_settings_are_named(table: dict[str, Any], said: str) -> None:
    whole = {"kind": "the-odds-api", "name": "mine", "sports": ["x"], "api_key": KEY} | table
    with pytest.raises(SettingsError) as caught:
        async with open_source(whole):
            pass
    assert said in str(caught.value)
    assert "mine" in str(caught.value)
    assert KEY not in str(caught.value)


async def test_a_key_file_that_changes_is_used_by_the_next_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_file, "LOOK_S", 0.0)
    path = tmp_path / "key"
    path.write_text("first-key")
    app = Scripted(json_of([]), json_of([]), Response(b'{"message": "no: second-key"}', 401))
    async with source_of(app, api_key=None, api_key_file=path) as source:
        await source.fetch(PULL)
        path.write_text("second-key")
        await source.fetch(PULL)
        with pytest.raises(SourceError) as caught:
            await source.fetch(PULL)
    assert [each.query_params.get("apiKey") for each in app.requests] == [
        "first-key", "second-key", "second-key",
    ]  # fmt: skip
    assert "second-key" not in str(caught.value)


async def test_where_the_key_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def key_of(**table: Any) -> str:
        app = Scripted(json_of([]))
        async with source_of(app, api_key=None, **table) as source:
            await source.fetch(PULL)
        return app.requests[0].query_params.get("apiKey") or ""

    async def refused(**table: Any) -> str:
        with pytest.raises(SettingsError) as caught:
            async with TheOddsApi.open("toa", {"sports": ["x"]} | table):
                pass
        return str(caught.value)

    monkeypatch.delenv("ODDS_API_KEY", raising=False)
    assert "ODDS_API_KEY" in await refused()
    monkeypatch.setenv("ODDS_API_KEY", "from-environment")
    assert await key_of() == "from-environment"
    (tmp_path / "key").write_text("from-file\n")
    assert await key_of(api_key_file=tmp_path / "key") == "from-file"
    assert "none" in await refused(api_key_file=tmp_path / "none")


@pytest.mark.parametrize("table", [{}, {"kind": "nope"}])
def test_an_unknown_kind_is_named_with_the_known_ones(table: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="the-odds-api"):
        open_source(table)


async def test_by_event_each_event_is_a_pull_and_a_sport_that_fails_keeps_its_own() -> None:
    settings = SimulationSettings(sports=2, events=12, event_absence_share=0.0, empty_share=0.0)
    bookmaker = SimulatedBookmaker(settings)
    one, other = bookmaker.sport_keys
    broken: set[str] = set()

    async def app(request: Request) -> Response:
        if any(sport in request.url.path for sport in broken):
            return Response(b"<html>Just a moment</html>")
        return await bookmaker(request)

    async with source_of(app, sports=[one, other], by_event=True, markets=["h2h"]) as source:
        offer = await source.discover()
        seen = await source.fetch(offer.pulls[0])
        broken.add(one)
        part = await source.discover()
        broken.add(other)
        with pytest.raises(SourceError, match="a page came"):
            await source.discover()
    assert source.pace.by_event
    assert len(offer.pulls) == 12
    assert {pull.listing for pull in offer.pulls} == {one, other}
    assert all(pull.event and pull.start_time and pull.cost == 2.0 for pull in offer.pulls)
    assert seen.scope.events == frozenset({offer.pulls[0].key})
    assert [event.source_event_id for event in seen.events] == [offer.pulls[0].key]
    assert part == Offer(offer.pulls, {"html": 1})


async def test_a_listed_event_that_cannot_be_read_is_left_out_and_counted() -> None:
    good = {"id": "e", "commence_time": "2026-08-04T20:00:00Z"}
    odd = [{"id": "f", "commence_time": 1_700_000_000}, {"id": 7}, good]
    async with source_of(Scripted(json_of(odd)), by_event=True) as source:
        offer = await source.discover()
    assert [pull.key for pull in offer.pulls] == ["e"]
    assert offer.problems == {"bad_event": 2}
    async with source_of(Scripted(json_of(odd[:2])), by_event=True) as source:
        with pytest.raises(SourceError, match="none of its events") as caught:
            await source.discover()
    assert caught.value.kind == "wrong_shape"
