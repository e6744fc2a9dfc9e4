"""Several keys of one source: the next one pays when a quota is used up."""

import json
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
import trio
from starlette.requests import Request
from starlette.responses import Response

from odds_service.errors import SettingsError, SourceError
from odds_service.sources.base import Pull
from odds_service.sources.budget import RENEWAL_S
from odds_service.sources.key_ring import KeyRing
from odds_service.sources.the_odds_api import TheOddsApi
from tests.sources.serving import json_of, listening

PULL = Pull(key="soccer_epl")
FIRST, SECOND, THIRD = "key-the-first", "key-the-second", "key-the-third"


class Account:
    """An API whose keys have credits; a pull costs 6 (two regions, three markets)."""

    def __init__(self, status: int = 401, **lefts: int | None) -> None:
        self.credits: dict[str, int | None] = {
            name.replace("_", "-"): left for name, left in lefts.items()
        }
        self.asked: list[str] = []
        self.status = status

    async def __call__(self, request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        key = request.query_params.get("apiKey") or ""
        self.asked.append(key)
        left = self.credits.get(key)
        if left is None:
            said = {"message": f"no key {key}", "error_code": "INVALID_KEY"}
            return json_of(said, 401)
        if left < 6:
            said = {"message": "used up", "error_code": "OUT_OF_USAGE_CREDITS"}
            return json_of(said, self.status, {"x-requests-remaining": str(left)})
        self.credits[key] = left - 6
        headers = {"x-requests-remaining": str(left - 6), "x-requests-last": "6"}
        return json_of([], headers=headers)


def table_of(url: str, **keys: Any) -> dict[str, Any]:
    return {"url": url, "sports": ["soccer_epl"], "http": {"attempts": 1}} | keys


@pytest.mark.parametrize("status", [401, 429])
async def test_the_next_key_is_used_when_the_quota_of_one_is_used_up(status: int) -> None:
    app = Account(status, key_the_first=7, key_the_second=12)
    async with listening(app) as url:
        table = table_of(url, api_keys=[FIRST, SECOND])
        async with TheOddsApi.open("toa", table) as source:
            lefts = [(await source.fetch(PULL)).quota_left for _ in range(3)]
            with pytest.raises(SourceError) as caught:
                await source.fetch(PULL)
    assert app.asked[:3] == [FIRST, SECOND, SECOND]
    # Of the first 1 is left, which pays for no pull; the second has not told its balance yet.
    assert lefts == [None, 6, 1]
    assert caught.value.kind == "out_of_usage_credits"
    assert "key-the" not in str(caught.value)


async def test_a_refused_key_is_passed_over_and_named_by_its_number_alone(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{THIRD}\n")
    app = Account(key_the_third=60)
    async with listening(app) as url:
        table = table_of(url, api_key=FIRST, api_keys=[SECOND], api_key_files=[file])
        async with TheOddsApi.open("toa", table) as source:
            with structlog.testing.capture_logs() as logs:
                observation = await source.fetch(PULL)
                await source.fetch(PULL)
    assert app.asked == [FIRST, SECOND, THIRD, THIRD]
    assert observation.quota_left == 54
    refused = [entry["key"] for entry in logs if entry["event"] == "api_key_refused"]
    assert refused == [1, 2]
    assert "key-the" not in json.dumps(logs)


async def test_a_limit_of_calls_a_second_changes_no_key() -> None:
    said = {"message": "slow down", "error_code": "EXCEEDED_FREQ_LIMIT"}
    asked = []

    async def app(request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        asked.append(request.query_params.get("apiKey"))
        return json_of(said, 429)

    async with listening(app) as url:
        async with TheOddsApi.open("toa", table_of(url, api_keys=[FIRST, SECOND])) as source:
            with pytest.raises(SourceError) as caught:
                await source.fetch(PULL)
    assert caught.value.kind == "rate_limited"
    assert asked == [FIRST]


def test_a_used_up_key_is_tried_again_after_its_renewal() -> None:
    ring = KeyRing("toa", [FIRST, SECOND])
    first = ring.choose(0.0, 6)
    ring.told(first, 0.0, 5, 6)
    second = ring.choose(1.0, 6)
    assert (first.secret, second.secret) == (FIRST, SECOND)
    ring.refused(second, 2.0)
    assert ring.choose(3.0, 6) is second, "there is none: the source says why"
    assert ring.left(3.0, 6) == 5, "less than a pull costs, so the budget pauses the source"
    assert ring.choose(RENEWAL_S + 1, 6) is first
    ring.told(first, RENEWAL_S + 1, 500, 6)
    assert ring.choose(RENEWAL_S + 5, 6) is first
    ring.told(second, RENEWAL_S + 6, 100, 6)
    assert ring.left(RENEWAL_S + 6, 6) == 600
    assert "key-the" not in repr(first)


@pytest.mark.parametrize("table", [{"api_keys": [""]}, {"api_key_files": ["no-such-file"]}])
async def test_keys_that_cannot_be_read_are_refused_at_the_start(table: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="api_key"):
        async with TheOddsApi.open("toa", table_of("http://127.0.0.1:1", **table)):
            pass
