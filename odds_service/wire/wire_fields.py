"""The bytes of single protobuf fields, for joining encoded pieces.

Concatenated protobuf fields form a serialised message. So a reply is joined from encoded pieces
instead of being built as objects and serialised as a whole.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import Struct
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

VARINT: Final = 0
_FIXED64: Final = 1
_DELIMITED: Final = 2
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = datetime.min.replace(tzinfo=UTC) - _EPOCH
_LAST: Final = datetime.max.replace(tzinfo=UTC) - _EPOCH
_ONE_BYTE: Final = tuple(bytes((number,)) for number in range(0x80))

pack_double: Final = Struct("<d").pack


def varint(number: int) -> bytes:
    """Return a number from 0 to 2**64 - 1 as a varint, with seven bits per byte."""
    if number < 0x80:
        return _ONE_BYTE[number]
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    if number < 0x20_0000:  # most lengths and revisions; the loop takes three times as long
        return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14))
    packed = bytearray()
    while number >= 0x80:
        packed.append(number & 0x7F | 0x80)
        number >>= 7
    packed.append(number)
    return bytes(packed)


def number_tag(field: int) -> bytes:
    """Return the tag of a varint field: integers, enums, booleans."""
    return varint(field << 3 | VARINT)


def double_tag(field: int) -> bytes:
    """Return the tag of a field that holds a double."""
    return varint(field << 3 | _FIXED64)


def bytes_tag(field: int) -> bytes:
    """Return the tag of a length-delimited field: texts and messages."""
    return varint(field << 3 | _DELIMITED)


def delimited(payload: bytes) -> bytes:
    """Return a payload with its length in front."""
    return varint(len(payload)) + payload


def number(tag: bytes, value: int) -> bytes:
    """Return a varint field, or no bytes for 0, the default."""
    return tag + varint(value) if value else b""


def text(tag: bytes, value: str) -> bytes:
    """Return a text field, or no bytes for an empty text."""
    if not value:
        return b""
    try:
        return tag + delimited(value.encode())
    except UnicodeEncodeError:  # half a surrogate pair, stored by an older version
        return tag + delimited(value.encode("utf-8", "replace"))


@lru_cache(maxsize=16_384)  # one poll has only a handful of times
def moment(at: datetime) -> bytes:
    """Return an aware time as a delimited google.protobuf.Timestamp."""
    return delimited(timestamp(at).SerializeToString())


def timestamp(at: datetime) -> Timestamp:
    """Return an aware time as a message, exact to the microsecond.

    Bad times stored by an older version do not raise: a time without a zone counts as UTC, and one
    outside protobuf's range is clamped.
    """
    since = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - _EPOCH
    since = min(max(since, _FIRST), _LAST)
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1_000)


def utc_time(message: Timestamp) -> datetime:
    """Return a message as an aware time, to the microsecond. Raises ValueError if out of range."""
    if not 0 <= message.nanos < 1_000_000_000:
        raise ValueError("nanos are out of range")
    try:
        return _EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1_000)
    except OverflowError as error:
        raise ValueError("the time is out of range") from error
