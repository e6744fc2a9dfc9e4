"""JSON texts equal those of protobuf's own library, for any message of the contract."""

import json
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odds_service.wire.json_mapping import json_pieces, to_json
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

KINDS = [pb.DESCRIPTOR.message_types_by_name[name] for name in pb.DESCRIPTOR.message_types_by_name]
DEPTH = 5  # of messages in messages; the contract's deepest, an image of odds, has no more
MOST_SECONDS = 315_576_000_000  # of a Duration: 10,000 years
NANOS = st.one_of(
    st.sampled_from([0, 1, 1_000, 999_999_999, 120_000_000, 123_456_000]),
    st.integers(0, 999_999_999),
)
C = FieldDescriptor


def _scalar(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.enum_type is not None:
        numbers = [value.number for value in field.enum_type.values]
        return st.sampled_from([*numbers, 99, -1])  # a newer server knows more values
    return {
        C.CPPTYPE_BOOL: st.booleans(),
        C.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
        C.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
        C.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
        C.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
        C.CPPTYPE_DOUBLE: st.floats(),
        C.CPPTYPE_FLOAT: st.floats(width=32),
        C.CPPTYPE_STRING: st.binary() if field.type == C.TYPE_BYTES else st.text(max_size=8),
    }[field.cpp_type]


@st.composite
def _moments(draw: st.DrawFn) -> tuple[int, int]:
    return draw(st.integers(-62_135_596_800, 253_402_300_799)), draw(NANOS)


@st.composite
def _durations(draw: st.DrawFn) -> tuple[int, int]:
    sign = draw(st.sampled_from([1, -1]))
    return sign * draw(st.integers(0, MOST_SECONDS)), sign * draw(NANOS)


@st.composite
def messages(draw: st.DrawFn, kind: Descriptor, depth: int = DEPTH) -> Message:
    """Return an arbitrary message: any fields present, with any values that a field can hold."""
    message: Any = GetMessageClass(kind)()
    if kind.full_name in ("google.protobuf.Timestamp", "google.protobuf.Duration"):
        pairs = _moments() if kind.name == "Timestamp" else _durations()
        message.seconds, message.nanos = draw(pairs)
        return message  # type: ignore[no-any-return]  # Any is the price of descriptors
    for field in kind.fields:
        if not draw(st.booleans()) or (field.message_type is not None and depth == 0):
            continue
        target = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            keys, values = field.message_type.fields_by_name.values()
            for key in draw(st.lists(_scalar(keys), max_size=2)):
                if values.message_type is None:
                    target[key] = draw(_scalar(values))
                else:
                    target[key].CopyFrom(draw(messages(values.message_type, depth - 1)))
            continue
        for _ in range(draw(st.integers(0, 2)) if field.is_repeated else 1):
            if field.message_type is not None:
                value = draw(messages(field.message_type, depth - 1))
                (target.add() if field.is_repeated else target).CopyFrom(value)
            elif field.is_repeated:
                target.append(draw(_scalar(field)))
            else:
                setattr(message, field.name, draw(_scalar(field)))
    return message  # type: ignore[no-any-return]  # Any is the price of descriptors


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_every_message_has_the_text_of_protobufs_own_library(
    kind: Descriptor, data: st.DataObject
) -> None:
    message = data.draw(messages(kind))
    text = to_json(message)
    assert json.loads(text) == json_format.MessageToDict(message)
    assert b"".join(json_pieces(message, piece_bytes=0)) == text
    assert b"".join(json_pieces(message, piece_bytes=40)) == text


def test_a_large_message_has_small_pieces() -> None:
    """One event of many markets too: a pause between any two pieces is soon."""
    image = pb.Image(events=[pb.EventOdds(event=pb.Event(id="e1"))])
    odds = image.events[0].bookmakers.add(bookmaker="alfa")
    for number in range(5_000):
        odds.markets.add(key=pb.MarketKey(market=f"m{number}"), revision=number)
    pieces = list(json_pieces(image))
    assert len(b"".join(pieces)) > 100_000
    assert max(map(len, pieces)) < 1_000
    assert b"".join(pieces) == to_json(image)
