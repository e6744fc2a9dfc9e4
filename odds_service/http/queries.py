"""Requests of the contract from the path, the query and the body of an HTTP request."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest

from odds_service.serving.errors import Refused, bad_request
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

_FLATTENED: Final = "odds.v1.Filter"  # its fields are parameters of their own
# As the document has them: Python's own parsers take spaces, underscores and other digits too.
_WHOLE: Final = re.compile(r"-?[0-9]{1,20}")
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_SECONDS: Final = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,9})?s?")
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_TRUTH: Final = {"true": True, "1": True, "": True, "false": False, "0": False}


def cursor_text(cursor: pb.Cursor) -> str:
    """Return a cursor as text: `epoch:revision`."""
    return f"{cursor.epoch}:{cursor.revision}"


def parse_cursor(name: str, text: str) -> pb.Cursor:
    """Parse `epoch:revision`. Raises Refused, naming the parameter."""
    epoch, _, revision = text.rpartition(":")
    if not epoch or not (revision.isascii() and revision.isdigit()) or len(revision) > 19:
        raise bad_request(name, "is not a cursor, EPOCH:REVISION")
    return pb.Cursor(epoch=epoch, revision=int(revision))


def parameters_of(message: Any) -> dict[str, tuple[str, FieldDescriptor]]:
    """Return the query parameters of a request: name -> (path of the field, field).

    The fields of a filter are parameters themselves; names are those of JSON.
    """
    found: dict[str, tuple[str, FieldDescriptor]] = {}
    for field in message.fields:
        if field.message_type is not None and field.message_type.full_name == _FLATTENED:
            for inner in field.message_type.fields:
                found[inner.json_name] = (f"{field.name}.{inner.name}", inner)
        else:
            found[field.json_name] = (field.name, field)
    return found


def can_be_given(field: FieldDescriptor) -> bool:
    """Return whether a field of a request can be a query parameter."""
    return field.message_type is None or field.message_type.full_name in _MESSAGES


def in_parameters(refusal: Refused, kind: Descriptor) -> Refused:
    """Return a refusal that names parameters where it names fields of the request.

    Args:
        refusal: The refusal of a call, which knows the request's fields alone.
        kind: The type of the request.
    """
    names = {path: name for name, (path, _) in parameters_of(kind).items()}
    for detail in refusal.details:
        if isinstance(detail, BadRequest):
            for violation in detail.field_violations:
                if violation.field in names:
                    return bad_request(names[violation.field], violation.description)
    return refusal


def fill(
    request: Message, given: Iterable[tuple[str, str]], aliases: Mapping[str, str] | None = None
) -> None:
    """Set fields of a request from query parameters.

    Args:
        request: The request, changed in place.
        given: The parameters in order; those of repeated fields may occur several times.
        aliases: Other names of parameters.

    Raises:
        Refused: A parameter is unknown, occurs twice or is malformed; the refusal names it.
    """
    known = parameters_of(request.DESCRIPTOR)
    seen: set[str] = set()
    for name, text in given:
        chosen = (aliases or {}).get(name, name)
        if chosen not in known:
            raise bad_request(name, "is not a parameter of this call")
        path, field = known[chosen]
        owner, _, _ = path.rpartition(".")
        target: Any = getattr(request, owner) if owner else request
        if field.is_repeated:
            getattr(target, field.name).append(_parsed(name, text, field))
            continue
        if chosen in seen:
            raise bad_request(name, "is given twice")
        seen.add(chosen)
        if (others := field.containing_oneof) is not None:
            for other in others.fields:
                if other is not field and other.json_name in seen:
                    raise bad_request(name, f"is given beside {other.json_name}")
        value = _parsed(name, text, field)
        if isinstance(value, Message):
            getattr(target, field.name).CopyFrom(value)
        else:
            setattr(target, field.name, value)


def from_body(request: Message, body: bytes) -> None:
    """Set fields of a request from a JSON object. Raises Refused, naming the body."""
    if not body.strip():
        return
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise bad_request("body", "is not JSON") from None
    if not isinstance(value, dict):
        raise bad_request("body", "is not a JSON object")
    try:
        json_format.ParseDict(value, request)
    except json_format.ParseError as error:
        raise bad_request("body", str(error).partition("\n")[0]) from None


def _parsed(name: str, text: str, field: FieldDescriptor) -> Any:
    if field.message_type is not None:
        parse = _MESSAGES.get(field.message_type.full_name)
        if parse is None:
            raise bad_request(name, "cannot be given as a parameter")
        return parse(name, text)
    if field.enum_type is not None:
        return _enum(name, text, field.enum_type)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        if text.lower() not in _TRUTH:
            raise bad_request(name, "is neither true nor false")
        return _TRUTH[text.lower()]
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return text
    if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        if _NUMBER.fullmatch(text) is None:
            raise bad_request(name, "is not a number")
        return float(text)
    return _integer(name, text, field)


def short_names(kind: EnumDescriptor) -> dict[str, int]:
    """Return the values of an enum by their short names: `only` of IMAGE_MODE_ONLY."""
    prefix = _prefix(kind)
    return {value.name.removeprefix(prefix).lower(): value.number for value in kind.values}


def _prefix(kind: EnumDescriptor) -> str:
    return kind.values[0].name.removesuffix("UNSPECIFIED")


def _enum(name: str, text: str, kind: EnumDescriptor) -> int:
    numbers = short_names(kind)
    found = numbers.get(text.removeprefix(_prefix(kind)).lower())
    if found is None:
        raise bad_request(name, f"is none of {', '.join(list(numbers)[1:])}")
    return found


def _integer(name: str, text: str, field: FieldDescriptor) -> int:
    signed = field.cpp_type in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64)
    wide = field.cpp_type in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)
    bits = (64 if wide else 32) - signed
    value = int(text) if _WHOLE.fullmatch(text) else None
    if value is None or not (-(2**bits) if signed else 0) <= value < 2**bits:
        raise bad_request(name, "is not a whole number in range")
    return value


def _timestamp(name: str, text: str) -> Timestamp:
    found = Timestamp()
    try:
        if _TIME.fullmatch(text) is None:
            raise ValueError
        found.FromJsonString(text)
    except ValueError:
        text = "is not a time, such as 2026-11-26T20:00:00Z"
        raise bad_request(name, text) from None
    return found


def _duration(name: str, text: str) -> Duration:
    found = Duration()
    try:
        if _SECONDS.fullmatch(text) is None:
            raise ValueError
        found.FromJsonString(text if text.endswith("s") else f"{text}s")
    except ValueError:
        raise bad_request(name, "is not a duration in seconds, such as 0.5s") from None
    return found


_MESSAGES: Final[Mapping[str, Callable[[str, str], Message]]] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    "odds.v1.Cursor": parse_cursor,
}
