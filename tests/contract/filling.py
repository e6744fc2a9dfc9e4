"""Messages with every field set, built from the descriptor, so that new fields are included."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

M = TypeVar("M", bound=Message)
Path = tuple[str, ...]
# Descriptors are Any here: the stubs have two unrelated types of them, for Python and for upb.

FIRST_S: Final = 1_790_000_000  # in 2026; each time is a minute after the one before
# A status that differs from a client's reading of an unknown one, and that keeps odds in a map.
_CHOSEN: Final = {"MarketStatus": 1, "AtStart": 1}
_INTEGERS: Final = {
    FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64,
}  # fmt: skip


def filled(kind: type[M], *, without: tuple[str, ...] = ()) -> M:
    """Return a message with every field set, on all levels, each to a different value.

    Args:
        kind: the type of the message.
        without: names of its own fields to leave out, such as the others of a oneof.
    """
    message = kind()
    _fill(message, itertools.count(1), frozenset(without))
    return message


def _fill(message: Message, numbers: Iterator[int], without: frozenset[str]) -> None:
    if isinstance(message, Timestamp):
        message.FromSeconds(FIRST_S + 60 * next(numbers))
        return
    if isinstance(message, Duration):
        message.FromSeconds(next(numbers))
        return
    field: Any
    for field in message.DESCRIPTOR.fields:
        if field.name in without:
            continue
        if is_map(field):
            key, value = field.message_type.fields
            getattr(message, field.name)[_scalar(key, numbers)] = _scalar(value, numbers)
        elif field.message_type is not None and field.is_repeated:
            _fill(getattr(message, field.name).add(), numbers, frozenset())
        elif field.message_type is not None:
            _fill(getattr(message, field.name), numbers, frozenset())
        elif field.is_repeated:
            getattr(message, field.name).append(_scalar(field, numbers))
        else:
            setattr(message, field.name, _scalar(field, numbers))


def _scalar(field: Any, numbers: Iterator[int]) -> Any:
    """Return a value that is neither the default nor an earlier one."""
    if field.enum_type is not None:
        numbered = [value.number for value in field.enum_type.values]
        return _CHOSEN.get(field.enum_type.name, min(3, numbered[-1]))
    if field.cpp_type in _INTEGERS:
        return next(numbers)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return True
    if field.type == FieldDescriptor.TYPE_BYTES:
        return f"bytes_{next(numbers)}".encode()
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return f"word_{next(numbers)}"
    return 1 + next(numbers) / 4  # exact as a double, as a price and as a line


def is_map(field: Any) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def paths(kind: Any) -> Iterator[Path]:
    """Yield the path of every field of a message, on all levels but inside times."""
    for field in kind.fields:
        yield (field.name,)
        inner = field.message_type
        if inner is not None and not is_map(field) and inner.file.package == kind.file.package:
            for rest in paths(inner):
                yield field.name, *rest


def cleared(message: M, path: Path) -> M:
    """Return a copy without one field; all items of a repeated message lose it."""
    copy = type(message)()
    copy.CopyFrom(message)
    holders: list[Any] = [copy]
    for name in path[:-1]:
        inner = [getattr(holder, name) for holder in holders]
        holders = [each for one in inner for each in ([one] if isinstance(one, Message) else one)]
    for holder in holders:
        holder.ClearField(path[-1])
    return copy


def unset(message: Message, path: Path = ()) -> Iterator[Path]:
    """Yield the paths of all unset fields of a message, on all levels."""
    present = {field.name: value for field, value in message.ListFields()}
    for field in message.DESCRIPTOR.fields:
        here = *path, field.name
        value = present.get(field.name)
        if value is None:
            yield here
        elif isinstance(value, Mapping) or field.message_type is None or is_map(field):
            continue
        elif field.message_type.file.package == message.DESCRIPTOR.file.package:
            for each in value if field.is_repeated else [value]:
                yield from unset(each, here)
