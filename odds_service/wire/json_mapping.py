"""Messages in protobuf's JSON mapping: camelCase, RFC 3339, enums by name, 64-bit numbers as text.

google.protobuf.json_format gives the same values, and a test compares the two. Streams need more
speed: here each message type is looked at once, and msgspec writes the text. Compare with
`python -m tests.wire.json_speed`.
"""

import base64
import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

# The name of a field in JSON, and the function of its value; None for a value that stays as it is.
_Field: TypeAlias = tuple[str, Callable[[Any], Any] | None]

_TEXT_NUMBERS: Final = frozenset({
    FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64,
})  # fmt: skip
_encode: Final = msgspec.json.Encoder().encode


def to_json(message: Message) -> bytes:
    """Return a message as JSON text in UTF-8; fields without a value are left out."""
    return _encode(to_value(message))


def to_value(message: Message) -> dict[str, Any]:
    """Return a message as the value that its JSON text stands for."""
    fields = _fields(message.DESCRIPTOR)
    found = {}
    for descriptor, value in message.ListFields():
        name, convert = fields[descriptor.number]
        found[name] = value if convert is None else convert(value)
    return found


def json_pieces(message: Message, piece_bytes: int = 16_384) -> Iterator[bytes]:
    """Yield the text of to_json() in pieces, so that a caller can pause between two.

    Args:
        message: The message; it must not change meanwhile.
        piece_bytes: Messages whose protobuf form is not larger are one piece.
    """
    if message.ByteSize() <= piece_bytes:
        yield to_json(message)
        return
    fields = _fields(message.DESCRIPTOR)
    between = b"{"
    for descriptor, value in message.ListFields():
        name, convert = fields[descriptor.number]
        yield between + _encode(name) + b":"
        between = b","
        if descriptor.message_type is None or descriptor.message_type.GetOptions().map_entry:
            yield _encode(value if convert is None else convert(value))
        elif not descriptor.is_repeated:
            yield from _inner_pieces(value, convert, piece_bytes)
        else:
            opening = b"["
            one = _single(descriptor)
            for each in value:
                yield opening
                yield from _inner_pieces(each, one, piece_bytes)
                opening = b","
            yield b"]"
    yield b"}"


def _inner_pieces(
    value: Message, convert: Callable[[Any], Any] | None, piece_bytes: int
) -> Iterator[bytes]:
    if convert is to_value:
        yield from json_pieces(value, piece_bytes)
    else:
        yield _encode(value if convert is None else convert(value))


@lru_cache(maxsize=256)
def _fields(descriptor: Descriptor) -> dict[int, _Field]:
    return {field.number: (field.json_name, _converter(field)) for field in descriptor.fields}


def _converter(field: FieldDescriptor) -> Callable[[Any], Any] | None:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        key, convert = _map_key(kind.fields_by_name["key"]), _single(kind.fields_by_name["value"])
        if convert is None:
            return lambda value: {key(name): each for name, each in value.items()}
        return lambda value: {key(name): convert(each) for name, each in value.items()}
    one = _single(field)
    if not field.is_repeated:
        return one
    if one is None:
        return list
    return lambda value: [one(each) for each in value]


def _single(field: FieldDescriptor) -> Callable[[Any], Any] | None:
    if field.message_type is not None:
        return _of_message(field.message_type)
    if field.enum_type is not None:
        return _of_enum(field.enum_type)
    if field.cpp_type in _TEXT_NUMBERS:
        return str
    if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return _number
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value: base64.b64encode(value).decode("ascii")
    return None


def _map_key(field: FieldDescriptor) -> Callable[[Any], str]:
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return lambda value: "true" if value else "false"
    return str


def _of_message(kind: Descriptor) -> Callable[[Any], Any]:
    if kind.full_name == "google.protobuf.Timestamp":
        return lambda value: _moment(value.seconds, value.nanos)
    if kind.full_name == "google.protobuf.Duration":
        return lambda value: _duration(value.seconds, value.nanos)
    if kind.full_name.startswith("google.protobuf."):
        return json_format.MessageToDict
    return to_value


def _of_enum(kind: EnumDescriptor) -> Callable[[int], str | int]:
    names = {value.number: value.name for value in reversed(kind.values)}
    return lambda value: names.get(value, value)


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


@lru_cache(maxsize=16_384)
def _moment(seconds: int, nanos: int) -> str:
    return Timestamp(seconds=seconds, nanos=nanos).ToJsonString()


@lru_cache(maxsize=4_096)
def _duration(seconds: int, nanos: int) -> str:
    return Duration(seconds=seconds, nanos=nanos).ToJsonString()
