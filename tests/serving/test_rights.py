"""Every call of the contract has a right, and nobody makes it without."""

import grpc
from google.protobuf.message_factory import GetMessageClass
from pydantic import SecretStr

from odds_service.config import AccessSettings, Right, ServerSettings
from odds_service.serving.auth import RIGHTS, is_closed
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.odds_builders import connected, refusal, serving
from tests.support.refusals import details, small_book

METHODS = {method.name: method for method in pb.DESCRIPTOR.services_by_name["OddsService"].methods}


def test_every_call_has_a_right() -> None:
    assert set(RIGHTS) == set(METHODS)


async def test_no_call_is_made_without_its_right() -> None:
    access = [
        AccessSettings(
            name=f"not-{right}",
            token=SecretStr(f"token-not-{right}"),
            rights=[other for other in Right if other is not right],
        )
        for right in Right
    ]
    settings = ServerSettings(listen="127.0.0.1:0", access=access)
    async with serving(small_book(), settings=settings) as server:
        for name, right in RIGHTS.items():
            token = f"Bearer token-not-{right}"
            with connected(server.address, authorization=token) as client:
                request = GetMessageClass(METHODS[name].input_type)()
                if METHODS[name].server_streaming:
                    with client.stream(name, request) as stream:
                        error = await stream.error()
                else:
                    error = await refusal(client, name, request)
            assert error.code() is grpc.StatusCode.PERMISSION_DENIED
            assert dict(details(error)["ErrorInfo"].metadata) == {"right": right.value}


def test_a_port_is_closed_on_loopback_or_with_client_certificates() -> None:
    assert is_closed(ServerSettings(listen="127.0.0.1:1"), "127.0.0.1:1")
    assert is_closed(ServerSettings(listen="localhost:1"), "localhost:1")
    assert not is_closed(ServerSettings(listen="0.0.0.0:1", insecure_public=True), "0.0.0.0:1")
