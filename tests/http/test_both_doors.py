"""A caller gets the same at both doors: its part of the odds, and the same refusals."""

import json
from contextlib import suppress
from typing import Final

import httpx
import pytest
from google.protobuf.json_format import Parse
from google.protobuf.message import Message
from pydantic import SecretStr

from odds_service.config import AccessSettings, HttpSettings, Right, ServerSettings
from odds_service.http.errors import HTTP_STATUS
from odds_service.serving.errors import StatusCode
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.serving.test_restricted import assert_hides, client_of, settings, two_sources
from tests.support.odds_builders import Client, refusal, serving
from tests.support.refusals import small_book

LOCAL: Final = HttpSettings(listen="127.0.0.1:0")
# A call, its request, its path at the HTTP door, and its reply. Those that hold an age are left to
# the tests of their calls.
SHARED: Final[tuple[tuple[str, Message, str, type[Message]], ...]] = (
    ("GetOdds", pb.GetOddsRequest(), "/v1/odds", pb.GetOddsResponse),
    ("ListEvents", pb.ListEventsRequest(), "/v1/events", pb.ListEventsResponse),
    ("GetCoverage", pb.GetCoverageRequest(), "/v1/coverage", pb.GetCoverageResponse),
    ("ListMarkets", pb.ListMarketsRequest(), "/v1/markets", pb.ListMarketsResponse),
)


@pytest.mark.parametrize("name", ["ours", "b1", "ours-b1", "nobody"])
async def test_a_restricted_token_gets_the_same_part_at_both_doors(name: str) -> None:
    token = f"token-of-{name}"
    async with (
        serving(two_sources(1, 60), settings=settings(), http=LOCAL) as server,
        httpx.AsyncClient(
            base_url=f"http://{server.addresses[1]}",
            headers={"authorization": f"Bearer {token}"},
            timeout=60,
        ) as http,
    ):
        with client_of(server.address, token) as client:
            for call, request, path, kind in SHARED:
                theirs = await client.call(call, request)
                answer = await http.get(path)
                assert Parse(answer.text, kind()) == theirs, call
                assert_hides(theirs, name)
            changes = await history_of(client)
        *lines, end = (await http.get("/v1/history")).text.splitlines()
        assert [Parse(line, pb.Change()) for line in lines] == changes
        assert json.loads(end)["end"].get("changes", "0") == str(len(changes))
        assert bool(changes) == (name != "nobody")


async def history_of(client: Client) -> list[pb.Change]:
    changes: list[pb.Change] = []
    with client.stream("GetHistory", pb.GetHistoryRequest()) as pages, suppress(EOFError):
        while True:
            changes += (await pages.next()).changes
    return changes


def other() -> pb.Cursor:
    return pb.Cursor(epoch="other", revision=1)


ASKED: Final[tuple[tuple[str, Message, str, StatusCode], ...]] = (
    (
        "GetOdds",
        pb.GetOddsRequest(filter=pb.Filter(event_ids=["x" * 10_000])),
        "/v1/odds?eventIds=" + "x" * 10_000,
        StatusCode.INVALID_ARGUMENT,
    ),
    (
        "GetOdds",
        pb.GetOddsRequest(min_cursor=other()),
        "/v1/odds?minCursor=other:1",
        StatusCode.FAILED_PRECONDITION,
    ),
    (
        "ListEvents",
        pb.ListEventsRequest(page_token="wrong"),
        "/v1/events?pageToken=wrong",
        StatusCode.INVALID_ARGUMENT,
    ),
    (
        "GetHistory",
        pb.GetHistoryRequest(from_cursor=other()),
        "/v1/history?fromCursor=other:1",
        StatusCode.FAILED_PRECONDITION,
    ),
    (
        "GetSeries",
        pb.GetSeriesRequest(event_id="e", market="h2h"),
        "/v1/series?eventId=e&market=h2h",
        StatusCode.OUT_OF_RANGE,
    ),
    (
        "RefreshEvent",
        pb.RefreshEventRequest(event_id="nothing"),
        "POST /v1/events/nothing:refresh",
        StatusCode.UNIMPLEMENTED,
    ),
)


@pytest.mark.parametrize(
    ("call", "request_", "path", "code"), ASKED, ids=lambda value: str(value)[:40]
)
async def test_both_doors_refuse_alike(
    call: str, request_: Message, path: str, code: StatusCode
) -> None:
    async with (
        serving(small_book(), http=LOCAL) as server,
        httpx.AsyncClient(base_url=f"http://{server.addresses[1]}", timeout=60) as http,
    ):
        with client_of(server.address, "any") as client:
            if path.startswith("/v1/history"):
                with client.stream(call, request_) as stream:
                    error = await stream.error()
            else:
                error = await refusal(client, call, request_)
        verb, _, place = path.rpartition(" ")
        answer = await http.request(verb or "GET", place)
    assert error.code().value[0] == code.value[0]
    assert answer.status_code == HTTP_STATUS[code]
    told = json.loads(answer.text)
    assert told["code"] == code.value[0]
    if code is not StatusCode.INVALID_ARGUMENT:  # which names the parameter, not the field
        assert told["message"] == error.details()


async def test_too_many_requests_are_refused_alike() -> None:
    """RESOURCE_EXHAUSTED: the limits count a caller's requests at both doors together."""
    limited = ServerSettings(
        listen="127.0.0.1:0",
        max_requests_per_s=1.0,
        access=[AccessSettings(name="one", token=SecretStr("token"), rights=[Right.READ])],
    )
    headers = {"authorization": "Bearer token"}
    async with (
        serving(small_book(), settings=limited, http=LOCAL) as server,
        httpx.AsyncClient(
            base_url=f"http://{server.addresses[1]}", headers=headers, timeout=60
        ) as http,
    ):
        answers = [await http.get("/v1/events") for _ in range(200)]
        (refused, *_) = [answer for answer in answers if answer.status_code != 200]
        assert refused.status_code == HTTP_STATUS[StatusCode.RESOURCE_EXHAUSTED]
        assert "retry-after" in refused.headers
        with client_of(server.address, "token") as client:
            error = await refusal(client, "ListEvents", pb.ListEventsRequest())
        assert error.details() == refused.json()["message"]
