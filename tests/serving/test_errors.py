"""Refusals: the status of each error, and the field of a wrong request."""

from typing import Any

import grpc
import pytest
import trio

from odds_service.client import Filter, ServiceError, open_client
from odds_service.config import ServerSettings
from odds_service.errors import (
    NotDurableYet,
    OddsServiceError,
    SourceError,
    StorageError,
    StorageUnavailable,
    UnknownEvent,
)
from odds_service.serving.errors import as_refusal
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.odds_builders import connected, serving
from tests.support.refusals import details, refreshing, small_book

LOCAL = ServerSettings(listen="127.0.0.1:0")


@pytest.mark.logs_errors
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnknownEvent("x"), grpc.StatusCode.NOT_FOUND),
        (NotDurableYet("e1", 7), grpc.StatusCode.UNAVAILABLE),
        (StorageUnavailable("password=secret"), grpc.StatusCode.UNAVAILABLE),
        (StorageError("/srv/secret.db"), grpc.StatusCode.INTERNAL),
        (SourceError("quota", "used up"), grpc.StatusCode.UNAVAILABLE),
        (OddsServiceError("x"), grpc.StatusCode.FAILED_PRECONDITION),
        (ConnectionAbortedError(), grpc.StatusCode.UNAVAILABLE),
        (ZeroDivisionError("secret"), grpc.StatusCode.INTERNAL),
    ],
)
def test_errors_have_their_codes_and_no_library_s_words(
    error: Exception, code: grpc.StatusCode
) -> None:
    refusal = as_refusal(error)
    assert refusal.code is code
    assert refusal.details
    assert "secret" not in str(refusal)


@pytest.mark.parametrize(
    ("call", "request_", "field"),
    [
        ("GetOdds", pb.GetOddsRequest(filter=pb.Filter(sports=[""])), "filter.sports"),
        ("ListEvents", pb.ListEventsRequest(page_size=-1), "page_size"),
        ("ListEvents", pb.ListEventsRequest(page_token="?"), "page_token"),
        ("RefreshEvent", pb.RefreshEventRequest(), "event_id"),
    ],
)
async def test_a_wrong_request_names_its_field(call: str, request_: Any, field: str) -> None:
    async with refreshing(small_book(), LOCAL, trio.Event(), trio.Event()) as address:
        with connected(address) as client:
            with pytest.raises(grpc.RpcError) as caught:
                await client.call(call, request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    (violation,) = details(caught.value)["BadRequest"].field_violations
    assert violation.field == field
    assert violation.description


async def test_the_library_hands_the_field_on() -> None:
    async with serving(small_book()) as server:
        async with open_client(server.address) as client:
            with pytest.raises(ServiceError) as caught:
                await client.get_odds(Filter(sports=[""]))
    assert list(caught.value.fields) == ["filter.sports"]
    assert not caught.value.passing
