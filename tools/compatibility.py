"""What a change of the proto would break for clients that were built from the released one.

Old clients talk to new servers and the other way round, in binary and in JSON: so numbers, names,
types, presence and streaming must stay. Adding is free. A field or enum value may go when its
number and its name are reserved, so that nothing else can ever stand in its place.
"""

from collections.abc import Iterable, Iterator

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)


def breaking_changes(released: FileDescriptorSet, present: FileDescriptorSet) -> list[str]:
    """Say, a line each, what of `released` does not hold in `present`; empty when all does."""
    return [
        *_message_breaks(dict(_messages(released)), dict(_messages(present))),
        *_enum_breaks(dict(_enums(released)), dict(_enums(present))),
        *_service_breaks(dict(_services(released)), dict(_services(present))),
    ]


def _messages(files: FileDescriptorSet) -> Iterator[tuple[str, DescriptorProto]]:
    """All messages by full name, nested ones (and so the entries of maps) too."""
    waiting = [(file.package, message) for file in files.file for message in file.message_type]
    while waiting:
        scope, message = waiting.pop()
        name = f"{scope}.{message.name}"
        yield name, message
        waiting.extend((name, nested) for nested in message.nested_type)


def _enums(files: FileDescriptorSet) -> Iterator[tuple[str, EnumDescriptorProto]]:
    """All enums by full name."""
    for file in files.file:
        for enum in file.enum_type:
            yield f"{file.package}.{enum.name}", enum
    for name, message in _messages(files):
        for enum in message.enum_type:
            yield f"{name}.{enum.name}", enum


def _services(files: FileDescriptorSet) -> Iterator[tuple[str, ServiceDescriptorProto]]:
    """All services by full name."""
    for file in files.file:
        for service in file.service:
            yield f"{file.package}.{service.name}", service


def _message_breaks(
    released: dict[str, DescriptorProto], present: dict[str, DescriptorProto]
) -> Iterator[str]:
    for name, old in sorted(released.items()):
        new = present.get(name)
        if new is None:
            yield f"message {name} is gone"
            continue
        old_ranges = _fields_reserved(old)
        new_ranges = _fields_reserved(new)
        yield from _unreserved(f"message {name}", old, new, old_ranges, new_ranges)
        fields = {field.number: field for field in new.field}
        for field in old.field:
            what = f"field {name}.{field.name} = {field.number}"
            now = fields.get(field.number)
            if now is not None:
                yield from _field_breaks(what, _traits(old, field), _traits(new, now))
            elif not _is_reserved(field.number, field.name, new_ranges, new.reserved_name):
                yield f"{what} is gone, and its number and name are not both reserved"


def _field_breaks(what: str, old: dict[str, object], new: dict[str, object]) -> Iterator[str]:
    for trait, value in old.items():
        if new[trait] != value:
            yield f"{what}: its {trait} was {value}, and is {new[trait]}"


def _traits(message: DescriptorProto, field: FieldDescriptorProto) -> dict[str, object]:
    """What must stay as it is, with the words to say it."""
    in_oneof = field.HasField("oneof_index") and not field.proto3_optional
    return {
        "name": field.name,
        "JSON name": field.json_name,
        "type": field.type_name or FieldDescriptorProto.Type.Name(field.type),
        "label": FieldDescriptorProto.Label.Name(field.label),
        "presence": "optional" if field.proto3_optional else "not optional",
        "oneof": message.oneof_decl[field.oneof_index].name if in_oneof else "none",
    }


def _enum_breaks(
    released: dict[str, EnumDescriptorProto], present: dict[str, EnumDescriptorProto]
) -> Iterator[str]:
    for name, old in sorted(released.items()):
        new = present.get(name)
        if new is None:
            yield f"enum {name} is gone"
            continue
        old_ranges = _values_reserved(old)
        new_ranges = _values_reserved(new)
        yield from _unreserved(f"enum {name}", old, new, old_ranges, new_ranges)
        there = {(value.number, value.name) for value in new.value}
        numbers = {value.number for value in new.value}
        for value in old.value:
            what = f"enum value {name}.{value.name} = {value.number}"
            if (value.number, value.name) in there:
                continue
            if value.number in numbers:
                yield f"{what}: its number has another name"
            elif not _is_reserved(value.number, value.name, new_ranges, new.reserved_name):
                yield f"{what} is gone, and its number and name are not both reserved"


def _service_breaks(
    released: dict[str, ServiceDescriptorProto], present: dict[str, ServiceDescriptorProto]
) -> Iterator[str]:
    for name, old in sorted(released.items()):
        new = present.get(name)
        if new is None:
            yield f"service {name} is gone"
            continue
        methods = {method.name: method for method in new.method}
        for method in old.method:
            what = f"call {name}.{method.name}"
            now = methods.get(method.name)
            if now is None:
                yield f"{what} is gone"
                continue
            if now.input_type != method.input_type:
                yield f"{what}: it took {method.input_type}, and takes {now.input_type}"
            if now.output_type != method.output_type:
                yield f"{what}: it answered {method.output_type}, and answers {now.output_type}"
            if now.client_streaming != method.client_streaming:
                yield f"{what}: whether the client streams differs"
            if now.server_streaming != method.server_streaming:
                yield f"{what}: whether the server streams differs"


def _fields_reserved(message: DescriptorProto) -> list[range]:
    """In messages, descriptors name the number after the last one reserved."""
    return [range(reserved.start, reserved.end) for reserved in message.reserved_range]


def _values_reserved(enum: EnumDescriptorProto) -> list[range]:
    """In enums, they name the last number itself."""
    return [range(reserved.start, reserved.end + 1) for reserved in enum.reserved_range]


def _is_reserved(number: int, name: str, numbers: Iterable[range], names: Iterable[str]) -> bool:
    return any(number in reserved for reserved in numbers) and name in names


def _unreserved(
    what: str,
    old: DescriptorProto | EnumDescriptorProto,
    new: DescriptorProto | EnumDescriptorProto,
    old_ranges: list[range],
    new_ranges: list[range],
) -> Iterator[str]:
    """What was reserved once stays so; a reserved range may only be covered by another one."""
    for reserved in old_ranges:
        inside = (
            wider.start <= reserved.start and reserved.stop <= wider.stop for wider in new_ranges
        )
        if not any(inside):
            yield f"{what}: numbers {reserved.start} to {reserved.stop - 1} are no longer reserved"
    for name in old.reserved_name:
        if name not in new.reserved_name:
            yield f"{what}: the name {name} is no longer reserved"
