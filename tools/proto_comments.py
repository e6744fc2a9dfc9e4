"""Take the comments of the proto into the package; `python -m tools.codegen` runs it.

Generated code has none, and proto/ is not in the wheel. The OpenAPI document and the reference page
show them.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

ROOT: Final = Path(__file__).resolve().parent.parent
FILE: Final = ROOT / "odds_service" / "http" / "comments.json"
_SYNTAX: Final = (12,)  # the place of the `syntax` line, which follows the file's own comment


def comments(files: FileDescriptorSet, package: str) -> dict[str, str]:
    """Return the comments of a package: full name -> text; the package's own name -> its file's.

    Args:
        files: Files compiled with their comments.
        package: The package, such as `odds.v1`; other files are left out.
    """
    found = {}
    for file in files.file:
        if file.package != package:
            continue
        names = dict(_places(file))
        for location in file.source_code_info.location:
            place = tuple(location.path)
            if place == _SYNTAX:
                text = "\n\n".join(location.leading_detached_comments)
                name = package
            else:
                text, name = location.leading_comments, names.get(place, "")
            if name and text.strip():
                found[name] = _text(text)
    return found


def as_json(found: dict[str, str]) -> str:
    """Return comments as the text of the file."""
    return json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def problems(files: FileDescriptorSet, package: str, path: Path = FILE) -> list[str]:
    """Return a line if the committed file is stale or missing."""
    there = path.read_text("utf-8") if path.exists() else ""
    stale = there != as_json(comments(files, package))
    return [f"{path.name} is stale: run `make proto`"] if stale else []


def write(files: FileDescriptorSet, package: str, path: Path = FILE) -> list[str]:
    """Bring the file up to date; return its name if it was written."""
    if not problems(files, package, path):
        return []
    path.write_text(as_json(comments(files, package)), "utf-8")
    return [path.name]


def _text(comment: str) -> str:
    """Return a comment without the space after its slashes."""
    return "\n".join(line.removeprefix(" ").rstrip() for line in comment.splitlines()).strip()


def _places(file: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    """Yield the place of each definition, as source code info has it, with its full name."""
    for n, message in enumerate(file.message_type):
        yield from _of_message((4, n), f"{file.package}.{message.name}", message)
    yield from _of_enums((5,), file.package, file.enum_type)
    for n, service in enumerate(file.service):
        yield from _of_service((6, n), f"{file.package}.{service.name}", service)


def _of_message(
    place: tuple[int, ...], name: str, message: DescriptorProto
) -> Iterator[tuple[tuple[int, ...], str]]:
    yield place, name
    for n, field in enumerate(message.field):
        yield (*place, 2, n), f"{name}.{field.name}"
    for n, nested in enumerate(message.nested_type):
        yield from _of_message((*place, 3, n), f"{name}.{nested.name}", nested)
    yield from _of_enums((*place, 4), name, message.enum_type)
    for n, oneof in enumerate(message.oneof_decl):
        yield (*place, 8, n), f"{name}.{oneof.name}"


def _of_enums(
    place: tuple[int, ...], name: str, enums: Sequence[EnumDescriptorProto]
) -> Iterator[tuple[tuple[int, ...], str]]:
    for n, enum in enumerate(enums):
        yield (*place, n), f"{name}.{enum.name}"
        for number, value in enumerate(enum.value):
            yield (*place, n, 2, number), f"{name}.{enum.name}.{value.name}"


def _of_service(
    place: tuple[int, ...], name: str, service: ServiceDescriptorProto
) -> Iterator[tuple[tuple[int, ...], str]]:
    yield place, name
    for n, method in enumerate(service.method):
        yield (*place, 2, n), f"{name}.{method.name}"
