"""Filters of requests, read and checked."""

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest

from odds_service.filters.selection import EVERYTHING
from odds_service.serving.errors import Refused
from odds_service.serving.selection import selection
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb


def bad_filter(field: str) -> pb.Filter:
    request = pb.Filter()
    if field == "start_to":
        request.start_from.seconds, request.start_to.seconds = 10, 10
    elif field == "start_from":
        request.start_from.nanos = -1
    elif field == "event_ids":
        request.event_ids.extend(str(number) for number in range(10_001))
    elif field == "markets":
        request.markets.append("m" * 257)
    elif field == "sports":
        request.sports.append("soc\0cer")  # PostgreSQL takes no such text
    else:
        request.bookmakers.extend(["pinnacle", ""])
    return request


@pytest.mark.parametrize(
    "field", ["start_to", "start_from", "event_ids", "markets", "sports", "bookmakers"]
)
def test_a_malformed_filter_names_its_field(field: str) -> None:
    with pytest.raises(Refused) as refused:
        selection(bad_filter(field))
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
    (detail,) = refused.value.details
    assert isinstance(detail, BadRequest)
    assert detail.field_violations[0].field == f"filter.{field}"


def test_an_empty_filter_selects_everything_and_unknown_values_nothing_wrong() -> None:
    assert selection(pb.Filter()) is EVERYTHING
    assert selection(pb.Filter(sports=["quidditch"])).sports == frozenset({"quidditch"})
