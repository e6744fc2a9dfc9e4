"""Limits of requests, streams, refreshes and sizes, alone and over the wire."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
import pytest
import structlog.testing
import trio
from google.rpc.error_details_pb2 import RetryInfo
from pydantic import SecretStr

from odds_service.client import Address
from odds_service.config import ServerSettings
from odds_service.model.market import MarketKey
from odds_service.rpc.server import MAX_RECEIVED_BYTES
from odds_service.serving.admission import MAX_REQUEST_BYTES
from odds_service.serving.errors import Refused
from odds_service.serving.limits import ClientLimits
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.observations import observe, offered
from tests.support.odds_builders import Bookkeeping, Client, connected, serving
from tests.support.refusals import details, exhausted, quota, refreshing, refusal_of, small_book
from tests.support.serving import wait_until

LIMITS = ServerSettings(
    max_streams=3, max_streams_per_client=2, max_requests_per_s=4, max_refreshes=1
)


def test_requests_are_refused_past_one_second_s_worth_and_let_in_again_with_time() -> None:
    now = [0.0]
    limits = ClientLimits(LIMITS, lambda: now[0])
    for _ in range(4):
        limits.request("a")
    with pytest.raises(Refused) as refused:
        limits.request("a")
    assert refused.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    (retry,) = [detail for detail in refused.value.details if isinstance(detail, RetryInfo)]
    assert retry.retry_delay.ToTimedelta().total_seconds() == pytest.approx(0.25)
    limits.request("b")
    now[0] += 0.25
    limits.request("a")
    with pytest.raises(Refused):
        limits.request("a")


def test_streams_are_limited_per_client_and_in_all_and_given_back() -> None:
    limits = ClientLimits(LIMITS)
    with limits.stream("a"), limits.stream("a"):
        with pytest.raises(Refused, match="this client has 2 streams"), limits.stream("a"):
            pass
        with limits.stream("b"):
            with pytest.raises(Refused, match="all 3 streams"), limits.stream("c"):
                pass
    assert limits.streams == 0
    with limits.refresh():
        with pytest.raises(Refused, match="all 1 concurrent refreshes"), limits.refresh():
            pass
    assert limits.refreshes == 0


@contextmanager
def open_streams(client: Client, count: int) -> Iterator[list[Any]]:
    with ExitStack() as opened:
        yield [opened.enter_context(client.watch()) for _ in range(count)]


async def test_streams_are_limited_per_client_and_in_all() -> None:
    settings = ServerSettings(
        listen="127.0.0.1:0",
        tokens=[SecretStr(name) for name in ("a", "b", "c")],
        max_streams=3,
        max_streams_per_client=2,
    )

    def client_of(channel: grpc.Channel, token: str) -> Client:
        return Client(channel, [("authorization", f"Bearer {token}")])

    async with serving(small_book(), settings=settings) as server:
        with connected(server.address) as connection:
            a, b, c = (client_of(connection.channel, token) for token in "abc")
            with open_streams(a, 2) as first, open_streams(b, 1) as second:
                for stream in first + second:
                    await stream.until("image_end")
                with c.watch() as refused:
                    found = details(await refused.error())
                assert quota(found) == "streams"
                assert "RetryInfo" in found
                assert len((await c.call("GetOdds", pb.GetOddsRequest())).events) == 1
            await wait_until(lambda: server.subscribers == 0, "the streams to end")
            with open_streams(c, 2) as third:
                for stream in third:
                    await stream.until("image_end")
                with c.watch() as refused:
                    found = details(await refused.error())
                assert quota(found) == "streams per client"
                assert "RetryInfo" not in found  # it has to end one of its own
                with a.watch() as other:
                    await other.until("image_end")


async def test_requests_per_second_are_limited_and_the_client_is_told_how_long_to_wait() -> None:
    settings = ServerSettings(listen="127.0.0.1:0", max_requests_per_s=0.5)
    async with serving(small_book(), settings=settings) as server:
        with connected(server.address) as client:
            await client.call("GetOdds", pb.GetOddsRequest())
            found = await exhausted(client, "GetOdds", pb.GetOddsRequest())
        assert quota(found) == "requests per second"
        assert 0 < found["RetryInfo"].retry_delay.ToTimedelta().total_seconds() <= 2
        error = await refusal_of(Address(server.address))
    assert error.code == "RESOURCE_EXHAUSTED"
    assert error.retry_after_s is not None
    assert error.passing


async def test_the_size_of_a_request_is_limited() -> None:
    async with serving(small_book()) as server:
        with connected(server.address) as client:
            long = pb.GetOddsRequest(filter=pb.Filter(event_ids=["e" * MAX_REQUEST_BYTES]))
            assert quota(await exhausted(client, "GetOdds", long)) == "request size"
            with client.watch(filter=long.filter) as stream:
                assert quota(details(await stream.error())) == "request size"
            too_long = pb.GetOddsRequest(filter=pb.Filter(event_ids=["e" * MAX_RECEIVED_BYTES]))
            with pytest.raises(grpc.RpcError) as caught:  # gRPC's own limit: it is not even read
                await client.call("GetOdds", too_long)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert len((await client.call("GetOdds", pb.GetOddsRequest())).events) == 1


async def test_the_size_of_a_reply_is_limited() -> None:
    book = Bookkeeping()
    shown = {"b": {MarketKey("h2h"): {f"{n}{'n' * 500}": 1.5 for n in range(20)}}}
    book.see(observe(offered({f"e{number}": shown for number in range(450)})))
    async with serving(book) as server:
        with connected(server.address) as client:
            found = await exhausted(client, "GetOdds", pb.GetOddsRequest())
    assert quota(found) == "reply size"
    assert "image" in found["QuotaFailure"].violations[0].description
    assert "RetryInfo" not in found  # waiting does not help


async def test_refreshes_at_once_are_limited_and_a_crash_is_internal_with_the_log_s_id() -> None:
    entered, go_on = trio.Event(), trio.Event()
    settings = ServerSettings(listen="127.0.0.1:0", max_refreshes=1)
    codes = []

    async def first(client: Client) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            await client.call("RefreshEvent", pb.RefreshEventRequest(event_id="e"))
        codes.append((caught.value.code(), str(caught.value.details()), details(caught.value)))

    with structlog.testing.capture_logs() as logs:
        async with refreshing(small_book(), settings, entered, go_on) as address:
            with connected(address) as client:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(first, client)
                    await entered.wait()
                    second = pb.RefreshEventRequest(event_id="e")
                    found = await exhausted(client, "RefreshEvent", second)
                    go_on.set()
    assert quota(found) == "concurrent refreshes"
    assert "RetryInfo" in found
    ((code, text, internal),) = codes
    assert code is grpc.StatusCode.INTERNAL
    assert "library" not in text
    error_id = internal["ErrorInfo"].metadata["error_id"]
    assert error_id in text
    (logged,) = [entry for entry in logs if entry["event"] == "rpc_crashed"]
    assert logged["error_id"] == error_id
    assert isinstance(logged["exc_info"], LookupError)
