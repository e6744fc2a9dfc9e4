"""The access policy: scraper and HTTP client keep to one budget, one Retry-After, one breaker."""

import pytest
import trio
from starlette.responses import Response

from odds_service.errors import SourceError
from odds_service.sources.access import (
    MAX_RETRY_WAIT_S,
    Access,
    AccessPolicy,
    SharesAccess,
    access_of,
    backoff,
    discovery_wait_s,
)
from odds_service.sources.base import Pace
from odds_service.sources.http import HttpSettings, open_http
from odds_service.sources.registry import open_source
from tests.sources.serving import Scripted, listening

LATER = SourceError("rate_limited", "429", retry_after_s=60.0)
DOWN = SourceError("connection", "refused")


def access_with(policy: AccessPolicy = AccessPolicy(), **pace: float) -> Access:  # immutable
    access = Access(policy)
    access.keep_to(
        Pace.steady(1.0, **pace),  # type: ignore[arg-type]  # as the test wrote them
        day_offset_s=0.0,
    )
    return access


def refused_s(access: Access, now: float) -> float | None:
    """Return the seconds to wait for a request that is refused; None if it is admitted."""
    try:
        access.admit(now)
    except SourceError as error:
        return error.retry_after_s
    access.given_up()
    return None


# -- Retry-After -----------------------------------------------------------------------------------


def test_a_plug_ins_retry_after_holds_pulls_and_requests() -> None:
    access = access_with()
    assert access.pull_failed(100.0, LATER).wait_s == 60.0
    assert access.opens_at(100.0, 1.0) == 160.0
    assert refused_s(access, 101.0) == pytest.approx(59.0)
    assert refused_s(access, 160.0) is None


def test_a_refusal_by_the_breaker_holds_pulls_but_not_the_trial() -> None:
    access = access_with(AccessPolicy(breaker_failures=1, breaker_cool_s=10.0))
    access.admit(0.0)
    access.request_failed(0.0, DOWN)
    with pytest.raises(SourceError) as refused:
        access.admit(4.0)
    access.pull_failed(4.0, refused.value)
    assert access.opens_at(4.0, 1.0) == pytest.approx(10.0)
    access.admit(10.0)  # the trial
    with pytest.raises(SourceError) as refused:
        access.admit(10.0)
    access.pull_failed(10.0, refused.value)
    access.answered()
    access.admit(10.1)  # what the trial found out holds for all


@pytest.mark.parametrize(("of_service_s", "wait_s"), [(None, 40.0), (30.0, 30.0), (50.0, 40.0)])
def test_the_lower_bound_of_a_retry_after_holds(of_service_s: float | None, wait_s: float) -> None:
    access = Access(AccessPolicy(max_retry_after_s=40.0))
    access.keep_to(Pace.steady(1.0), day_offset_s=0.0, most_wait_s=of_service_s)
    assert access.pull_failed(0.0, LATER).wait_s == wait_s
    access.request_failed(0.0, LATER)
    assert refused_s(access, 0.0) == wait_s


def test_a_sleep_of_the_machine_counts_towards_a_retry_after() -> None:
    access = access_with()
    access.pull_failed(0.0, LATER)
    access.moved(1.0, day_offset_s=0.0, slept_s=60.0)
    assert access.opens_at(1.0, 1.0) <= 1.0
    assert refused_s(access, 1.0) is None


# -- retries ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (DOWN, True),
        (SourceError("server_error", "503", retry_after_s=2.0), 2.0),
        (SourceError("rate_limited", "429", retry_after_s=MAX_RETRY_WAIT_S), MAX_RETRY_WAIT_S),
        (SourceError("rate_limited", "429", retry_after_s=MAX_RETRY_WAIT_S + 1), False),
        (SourceError("unauthorized", "401"), False),
        (SourceError("circuit_open", "left alone", retry_after_s=1.0), False),
        (ValueError("a bug"), False),
    ],
)
def test_trouble_is_retried_and_a_refusal_is_not(error: Exception, again: bool | float) -> None:
    assert Access().again(error) == again


def test_pulls_and_discovery_back_off_to_a_bound() -> None:
    assert [backoff(failures) for failures in (0, 1, 2, 3, 4, 5, 99)] == [1, 1, 2, 4, 8, 8, 8]
    assert backoff(10_000) == 8  # days of failures; a power of two of so many overflows
    assert [backoff(failures, 60) for failures in (1, 6, 7, 10_000)] == [1, 32, 60, 60]
    waits = [discovery_wait_s(failures, 60.0) for failures in (0, 1, 2, 3, 4, 99)]
    assert waits == [60, 10, 20, 40, 60, 60]


# -- one object for both sides ---------------------------------------------------------------------


async def test_the_scrapers_policy_is_that_of_the_http_client() -> None:
    """A 429 that the HTTP client met holds the pulls too, within the service's own bound."""
    app = Scripted(Response(status_code=429, headers={"Retry-After": "600"}))
    async with listening(app) as url, open_http(url, HttpSettings(attempts=1)) as http:
        source = Sharing(http.access)
        access = access_of(source)  # type: ignore[arg-type]  # a part of one
        access.keep_to(Pace.steady(1.0), day_offset_s=0.0, most_wait_s=300.0)
        with pytest.raises(SourceError, match="429") as limited:
            await http.get("/odds", {})
        assert limited.value.retry_after_s == pytest.approx(300.0)
        now = trio.current_time()
        assert access.opens_at(now, 1.0) == pytest.approx(now + 300.0, abs=5.0)
        with pytest.raises(SourceError, match="left alone"):
            await http.get("/odds", {})
    assert len(app.requests) == 1


class Sharing:
    """The part of a source that the test needs."""

    def __init__(self, access: Access) -> None:
        self.access = access


def test_a_source_without_a_policy_gets_one_of_its_own() -> None:
    class Plain:
        pass

    one, other = access_of(Plain()), access_of(Plain())  # type: ignore[arg-type]  # parts of one
    assert one is not other


@pytest.mark.parametrize("kind", ["the-odds-api", "sportybet", "betpawa", "bet9ja"])
async def test_the_built_in_sources_share_their_policy(kind: str) -> None:
    keys = {"api_key": "k", "sports": ["soccer_epl"]} if kind == "the-odds-api" else {}
    table = {"kind": kind, "url": "http://127.0.0.1:9", "http": {"breaker_failures": 3}} | keys
    async with open_source(table) as source:
        assert isinstance(source, SharesAccess)
        assert access_of(source) is source.access
        assert source.access.policy.breaker_failures == 3
