"""Single fields as bytes: numbers and times equal those written by protobuf itself."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from odds_service.wire import wire_fields
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.observations import NOON

TIMES = st.datetimes(timezones=st.just(UTC), min_value=datetime(1900, 1, 1))  # noqa: DTZ001  # naive bounds, as hypothesis wants them
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@given(st.integers(0, 2**64 - 1))
def test_varints_are_protobufs(number: int) -> None:
    assert (
        wire_fields.varint(number) == pb.Cursor(revision=number).SerializeToString()[1:]
        or not number
    )


@given(TIMES)
def test_times_are_exact_to_the_microsecond_both_ways(at: datetime) -> None:
    message = Timestamp()
    message.FromDatetime(at)
    assert wire_fields.timestamp(at) == message
    assert wire_fields.utc_time(message) == at
    assert wire_fields.moment(at) == wire_fields.delimited(message.SerializeToString())


@pytest.mark.parametrize(
    "message",
    [Timestamp(seconds=2**62), Timestamp(seconds=-(2**62)), Timestamp(nanos=-1)],
)
def test_what_is_no_time_is_refused(message: Timestamp) -> None:
    with pytest.raises(ValueError, match="out of range"):
        wire_fields.utc_time(message)


@pytest.mark.parametrize(
    ("at", "told"),
    [
        (NOON.replace(tzinfo=None), NOON),
        (FIRST.replace(tzinfo=timezone(timedelta(hours=14))), FIRST),
        (LAST.replace(tzinfo=timezone(timedelta(hours=-12))), LAST),
    ],
    ids=["without a zone", "before year 1", "after year 9999"],
)
def test_a_time_that_was_stored_badly_is_encoded_within_what_can_be_told(
    at: datetime, told: datetime
) -> None:
    message = wire_fields.timestamp(at)
    assert wire_fields.utc_time(message) == told
    assert wire_fields.moment(at) == wire_fields.delimited(message.SerializeToString())
