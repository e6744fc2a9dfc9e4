"""The table of calls matches the proto: each name, its request and its kind of reply."""

import inspect
from typing import get_args, get_origin, get_type_hints

import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from odds_service.serving.replies import Asked
from odds_service.serving.servicer import Servicer, Streaming, Unary
from odds_service.serving.table import SERVICER
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

METHODS = list(pb.DESCRIPTOR.services_by_name["OddsService"].methods)


def request_of(method: MethodDescriptor) -> type:
    """Return the type of a call's request; GetOdds parses it in a cache of its own."""
    return Asked if method.name == "GetOdds" else GetMessageClass(method.input_type)


def test_every_call_of_the_contract_has_a_function() -> None:
    assert sorted(Servicer._fields) == sorted(method.name for method in METHODS)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_call_is_typed_as_in_the_contract(method: MethodDescriptor) -> None:
    declared = get_type_hints(Servicer)[method.name]
    assert get_origin(declared) is (Streaming if method.server_streaming else Unary)
    assert get_args(declared) == (request_of(method),)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_the_function_of_a_call_takes_its_request(method: MethodDescriptor) -> None:
    function = getattr(SERVICER, method.name)
    _, request, _ = inspect.signature(function).parameters.values()
    assert request.annotation is request_of(method)


def test_a_servicer_without_a_call_cannot_be_made() -> None:
    calls = SERVICER._asdict()
    del calls["GetStatus"]
    with pytest.raises(TypeError, match="GetStatus"):
        Servicer(**calls)
