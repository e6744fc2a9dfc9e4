"""The standard services: reflection as generic clients use it, and their share of streams."""

import grpc
import pytest
import trio
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc.status_pb2 import Status
from grpc import Channel
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2 as messages
from pydantic import SecretStr

from odds_service.client import Address
from odds_service.config import ServerSettings
from odds_service.rpc import standard
from odds_service.rpc.standard import REFLECTION_V1
from tests.support.odds_builders import Bookkeeping, connected, serving
from tests.support.refusals import details, odds_of, quota, small_book

VERSIONS = ("grpc.reflection.v1alpha.ServerReflection", REFLECTION_V1)


def reflected(
    channel: Channel, version: str, *requests: messages.ServerReflectionRequest
) -> list[messages.ServerReflectionResponse]:
    """Return the answers to several requests over one stream."""
    call = channel.stream_stream(
        f"/{version}/ServerReflectionInfo",
        request_serializer=messages.ServerReflectionRequest.SerializeToString,
        response_deserializer=messages.ServerReflectionResponse.FromString,
    )
    return list(call(iter(requests), timeout=20))


async def answers(
    version: str, *requests: messages.ServerReflectionRequest
) -> list[messages.ServerReflectionResponse]:
    async with serving(Bookkeeping()) as server:
        with connected(server.address) as client:
            return await trio.to_thread.run_sync(reflected, client.channel, version, *requests)


@pytest.mark.parametrize("version", VERSIONS)
async def test_reflection_names_the_services(version: str) -> None:
    (reply,) = await answers(version, messages.ServerReflectionRequest(list_services=""))
    names = {service.name for service in reply.list_services_response.service}
    assert names == {"odds.v1.OddsService", "grpc.health.v1.Health", *VERSIONS}


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_service_and_the_details_of_errors_are_described_whole(version: str) -> None:
    """A client can build each service from the files that it receives."""
    methods = {
        "odds.v1.OddsService": "GetOdds",
        "grpc.health.v1.Health": "Check",
        **dict.fromkeys(VERSIONS, "ServerReflectionInfo"),
    }
    asked = [*methods, "google.rpc.ErrorInfo"]
    replies = await answers(
        version,
        *(messages.ServerReflectionRequest(file_containing_symbol=name) for name in asked),
    )
    for name, reply in zip(asked, replies, strict=True):
        pool = DescriptorPool()
        files = reply.file_descriptor_response.file_descriptor_proto
        for file in reversed([FileDescriptorProto.FromString(each) for each in files]):
            pool.Add(file)
        if name in methods:
            service = pool.FindServiceByName(name)
            method = service.FindMethodByName(methods[name])
            assert method.input_type.full_name.startswith(name.rpartition(".")[0])
        else:
            assert pool.FindMessageTypeByName(name).full_name == name


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_unknown_name_is_not_found(version: str) -> None:
    (reply,) = await answers(
        version, messages.ServerReflectionRequest(file_containing_symbol="odds.v1.Nothing")
    )
    assert reply.error_response.error_code == 5


async def test_health_and_reflection_need_no_token_and_cannot_take_all_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(standard, "PLACES", 3)
    settings = ServerSettings(listen="127.0.0.1:0", tokens=[SecretStr("t")])
    request = health_pb2.HealthCheckRequest()
    async with serving(small_book(), settings=settings) as server:
        with connected(server.address) as client:
            stub = health_pb2_grpc.HealthStub(client.channel)

            def watch_all() -> Status:
                watches = [stub.Watch(request, timeout=20) for _ in range(3)]
                for watch in watches:
                    next(watch)
                with pytest.raises(grpc.RpcError) as caught:
                    next(stub.Watch(request, timeout=20))
                assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert quota(details(caught.value)) == "health and reflection"
                reply = stub.Check(request, timeout=20)
                for watch in watches:
                    watch.cancel()
                return reply  # type: ignore[no-any-return]  # grpc's stub of it says Any

            reply = await trio.to_thread.run_sync(watch_all)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING  # type: ignore[attr-defined]  # of health

            def watch_again() -> None:
                while True:  # the places come back a moment after the cancelling
                    try:
                        next(stub.Watch(request, timeout=20))
                    except grpc.RpcError:
                        continue
                    return

            with trio.fail_after(20):
                await trio.to_thread.run_sync(watch_again, abandon_on_cancel=True)
        assert await odds_of(Address(server.address, token="t")) == 1
