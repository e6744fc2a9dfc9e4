"""ListMarkets, GetCoverage, ListUnmapped and ListRuns at the HTTP door: gRPC's messages as JSON."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import trio
from google.protobuf import json_format
from google.protobuf.message import Message

from odds_service.bridge import TrioGate
from odds_service.config import HttpSettings, ServerSettings
from odds_service.http.door import open_http
from odds_service.model.market import MarketKey
from odds_service.rpc.server import GrpcDoor
from odds_service.serving.parts import ServingParts
from odds_service.serving.server import Server, serve
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.serving.test_markets import TABLE
from tests.serving.test_restricted import ALL, settings
from tests.serving.test_runs import THREE, store_of
from tests.serving.test_unmapped import FOUR
from tests.support.observations import observe, offered
from tests.support.odds_builders import Bookkeeping, connected

OWNER = {"authorization": f"Bearer {ALL}"}
OURS = {"authorization": "Bearer token-of-ours"}


@asynccontextmanager
async def both_doors(served: ServerSettings) -> AsyncIterator[tuple[str, str]]:
    """Serve a small book at both doors; yield the addresses of gRPC and of HTTP."""
    book = Bookkeeping(sources=("ours", "hidden"))
    offer = {"e": {"b1": {MarketKey("h2h"): {"home": 1.5}}, "b2": {MarketKey("new"): {"yes": 2.0}}}}
    for source in ("ours", "hidden"):
        book.see(observe(offered(offer), source=source))
    async with trio.open_nursery() as nursery:
        parts = ServingParts(
            cache=book.cache,
            feed=book.feed,
            gate=TrioGate(nursery),
            settings=served,
            status=book.status,
            now=lambda: book.now,
            market_types=TABLE,
            unmapped=lambda: FOUR,
            store=store_of(*THREE),
        )
        doors = [GrpcDoor, open_http(HttpSettings(listen="127.0.0.1:0"))]
        server = await nursery.start(serve, parts, doors)
        assert isinstance(server, Server)
        await server.set_serving(True)
        grpc_address, http_address = server.addresses
        yield grpc_address, f"http://{http_address}"
        await server.stop(2.0)


async def got(
    base: str, path: str, headers: dict[str, str], *query: tuple[str, str]
) -> httpx.Response:
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=20.0) as client:
        return await client.get(path, params=httpx.QueryParams(query))


async def test_the_json_is_that_of_the_same_call_over_grpc() -> None:
    asks: list[tuple[str, str, Message, Message, list[tuple[str, str]]]] = [
        ("/v1/markets", "ListMarkets", pb.ListMarketsRequest(), pb.ListMarketsResponse(), []),
        ("/v1/markets", "ListMarkets", pb.ListMarketsRequest(markets=["h2h", "h2h_m15"]),
         pb.ListMarketsResponse(), [("markets", "h2h"), ("markets", "h2h_m15")]),
        ("/v1/coverage", "GetCoverage", pb.GetCoverageRequest(), pb.GetCoverageResponse(), []),
        ("/v1/coverage", "GetCoverage", pb.GetCoverageRequest(filter=pb.Filter(bookmakers=["b1"])),
         pb.GetCoverageResponse(), [("bookmakers", "b1")]),
        ("/v1/unmapped", "ListUnmapped", pb.ListUnmappedRequest(), pb.ListUnmappedResponse(), []),
        ("/v1/unmapped", "ListUnmapped",
         pb.ListUnmappedRequest(sources=["ours", "hidden"], sports=["tennis"]),
         pb.ListUnmappedResponse(),
         [("sources", "ours"), ("sources", "hidden"), ("sports", "tennis")]),
        ("/v1/runs", "ListRuns", pb.ListRunsRequest(), pb.ListRunsResponse(), []),
        ("/v1/runs", "ListRuns", pb.ListRunsRequest(sources=["hidden"], page_size=1),
         pb.ListRunsResponse(), [("sources", "hidden"), ("pageSize", "1")]),
    ]  # fmt: skip
    async with both_doors(settings()) as (grpc_address, base):
        for headers in (OWNER, OURS):
            with connected(grpc_address, **headers) as client:
                for path, call, request, message, query in asks:
                    reply = await got(base, path, headers, *query)
                    assert reply.status_code == 200
                    told = json_format.Parse(reply.text, type(message)())
                    assert told == await client.call(call, request)
        everything = (await got(base, "/v1/unmapped", OWNER)).json()["markets"]
        ours = (await got(base, "/v1/unmapped", OURS)).json()["markets"]
    assert {each["source"] for each in everything} == {"ours", "hidden"}
    assert {each["source"] for each in ours} == {"ours"}
    assert everything[0]["count"] == "9"  # 64 bits are text in JSON
    assert ours[0]["samples"][0]["outcomes"] == ["1", "<b>X</b>"]


async def test_runs_are_read_page_by_page() -> None:
    span = [("fromTime", "2026-08-04T12:00:00Z"), ("toTime", "2026-08-04T14:02:00+02:00")]
    async with both_doors(settings()) as (_, base):
        first = (await got(base, "/v1/runs", OWNER, *span, ("pageSize", "1"))).json()
        token = first["nextPageToken"]
        second = (await got(base, "/v1/runs", OWNER, *span, ("pageToken", token))).json()
        foreign = await got(base, "/v1/runs", OWNER, ("pageToken", "x"))
    (failed,), (good,) = first["runs"], second["runs"]
    assert failed == {
        "source": "hidden", "listing": "soccer_epl", "startedAt": "2026-08-04T12:01:00Z",
        "duration": "10s", "outcome": "RUN_OUTCOME_FAILED", "reason": "no answer in 10 s",
        "changes": 1, "problems": {"timeout": "1"},
    }  # fmt: skip
    assert (good["source"], good["outcome"]) == ("ours", "RUN_OUTCOME_COMPLETE")
    assert "nextPageToken" not in second
    assert (foreign.status_code, foreign.json()["code"]) == (400, 3)
    assert "pageToken" in foreign.text


async def test_refusals_are_a_status_in_json() -> None:
    async with both_doors(settings()) as (_, base):
        for path in ("/v1/markets", "/v1/coverage", "/v1/unmapped", "/v1/runs"):
            reply = await got(base, path, {})
            assert (reply.status_code, reply.json()["code"]) == (401, 16)
        fields = [("/v1/markets", "markets"), ("/v1/unmapped", "sources"), ("/v1/runs", "sources")]
        for path, name in fields:
            reply = await got(base, path, OWNER, (name, ""))
            assert (reply.status_code, reply.json()["code"]) == (400, 3)
            assert name in reply.text
