"""The server's start, stop, crash, health and authentication."""

import asyncio
import threading

import grpc
import pytest
import trio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import SecretStr

from odds_service.bridge import TrioGate, open_bridge
from odds_service.config import ServerSettings
from odds_service.errors import OddsServiceError
from odds_service.loop_thread import LoopThread
from odds_service.rpc.server import GrpcDoor
from odds_service.serving.parts import ServingParts
from odds_service.serving.server import Server, serve
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.odds_builders import Bookkeeping, connected, serving
from tests.support.refusals import small_book

LOCAL = ServerSettings(listen="127.0.0.1:0")


def parts_of(book: Bookkeeping, nursery: trio.Nursery, settings: ServerSettings) -> ServingParts:
    return ServingParts(
        cache=book.cache,
        feed=book.feed,
        gate=TrioGate(nursery),
        settings=settings,
        status=book.status,
        store=book,
    )


async def test_thirty_starts_and_stops_leave_no_thread_and_no_listener() -> None:
    before = threading.active_count()
    async with open_bridge():  # asyncio's policy is trio_asyncio's here, as in the service
        for round_ in range(30):
            book = small_book()
            async with serving(book) as server:
                assert type(server.loop) is asyncio.SelectorEventLoop
                with connected(server.address) as client:
                    reply = await client.call("GetOdds", pb.GetOddsRequest())
                    assert len(reply.events) == 1
                    if round_ % 3 == 0:
                        with client.watch() as stream:
                            await stream.until("image_end")
                            await server.stop(1.0)
                            assert (await stream.error()).code() is grpc.StatusCode.UNAVAILABLE
            assert book.feed._listeners == []
            assert server.loop is None
    # Trio keeps idle worker threads for a while, the server's among them.
    assert threading.active_count() <= before + 6


async def test_cancelling_stops_it_within_its_deadline() -> None:
    book = small_book()
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, parts_of(book, nursery, LOCAL), [GrpcDoor])
        assert isinstance(server, Server)
        with connected(server.address) as client, client.watch() as stream:
            await stream.until("image_end")
            with trio.fail_after(30):
                nursery.cancel_scope.cancel()
                await trio.lowlevel.checkpoint_if_cancelled()


async def test_a_taken_port_is_said_before_anything_is_served() -> None:
    book = small_book()
    async with serving(book) as server:
        settings = ServerSettings(listen=server.address)
        with pytest.RaisesGroup(
            pytest.RaisesExc(OddsServiceError, match="cannot listen"), flatten_subgroups=True
        ):
            async with trio.open_nursery() as nursery:
                await nursery.start(serve, parts_of(book, nursery, settings), [GrpcDoor])


async def test_a_crash_in_the_thread_is_raised_in_the_nursery() -> None:
    async def crash(stop: asyncio.Event) -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        await LoopThread("crashing").run(crash)


async def test_calls_into_a_thread_that_ended_fail_at_once() -> None:
    thread = LoopThread("ended")

    async def main(stop: asyncio.Event) -> None:
        stop.set()
        await stop.wait()

    await thread.run(main)

    async def work() -> None:
        await asyncio.sleep(0)
        raise AssertionError("runs nowhere")

    with pytest.raises(ConnectionAbortedError):
        await thread.call(work)
    thread.request_stop()


async def test_health_follows_the_service_and_can_be_watched() -> None:
    status = health_pb2.HealthCheckResponse
    async with serving(small_book()) as server:
        with connected(server.address) as client:
            stub = health_pb2_grpc.HealthStub(client.channel)
            request = health_pb2.HealthCheckRequest(service="odds.v1.OddsService")
            seen: list[int] = []
            watching = trio.Event()
            token = trio.lowlevel.current_trio_token()

            def watch() -> None:
                for reply in stub.Watch(request, timeout=20):
                    seen.append(reply.status)
                    token.run_sync_soon(watching.set)
                    if len(seen) == 2:
                        return

            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.to_thread.run_sync, watch)
                await watching.wait()
                await server.set_serving(False)
            assert seen == [status.SERVING, status.NOT_SERVING]


async def test_only_a_known_token_is_let_in() -> None:
    settings = ServerSettings(
        listen="127.0.0.1:0", tokens=[SecretStr("first"), SecretStr("second")]
    )
    async with serving(small_book(), settings=settings) as server:
        for header in ("Bearer first", "bearer second"):
            with connected(server.address, authorization=header) as client:
                assert (await client.call("GetOdds", pb.GetOddsRequest())).events
        for metadata in ({}, {"authorization": "Bearer third"}, {"authorization": "first"}):
            with connected(server.address, **metadata) as client:
                with pytest.raises(grpc.RpcError) as refused:
                    await client.call("GetOdds", pb.GetOddsRequest())
                assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
                assert "third" not in str(refused.value)
                with client.watch() as stream:
                    error = await stream.error()
                assert error.code() is grpc.StatusCode.UNAUTHENTICATED
