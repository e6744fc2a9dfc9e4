"""The proto's options for code in other languages, of the file and of its fields."""

import json
import re
from collections.abc import Iterable, Iterator

from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tools.codegen import PROTO, RELEASED, descriptor_set

FIELDS_OF_64_BITS = {FieldDescriptorProto.TYPE_INT64, FieldDescriptorProto.TYPE_UINT64}
AS_TEXT = 1  # FieldOptions.JS_STRING


def compiled() -> FileDescriptorSet:
    return descriptor_set(PROTO)


def fields(messages: Iterable[DescriptorProto]) -> Iterator[tuple[str, FieldDescriptorProto]]:
    """Yield all fields except those of map entries, which take no options."""
    for message in messages:
        if message.options.map_entry:
            continue
        for field in message.field:
            yield message.name, field
        yield from fields(message.nested_type)


def test_modules_of_other_languages_can_be_imported() -> None:
    file = compiled().file[-1]
    assert file.name == "odds/v1/odds.proto"
    options = file.options
    # Go rejects import paths whose first element has no dot; the package follows the semicolon.
    path, _, package = options.go_package.partition(";")
    assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+(/[a-z0-9_.-]+)+/odds/v1", path)
    assert package == "oddsv1"
    # Java wants a reversed domain, and no outer class with the name of a message.
    assert re.fullmatch(r"[a-z]+(\.[a-z][a-z0-9_]*){2,}\.odds\.v1", options.java_package)
    assert options.java_multiple_files
    assert options.java_outer_classname not in {message.name for message in file.message_type}
    assert options.csharp_namespace == "Odds.V1"


def test_64_bit_integers_are_text_in_javascript_and_in_json() -> None:
    (file,) = [file for file in compiled().file if file.package == "odds.v1"]
    found = {
        f"{message}.{field.name}": field.options.jstype
        for message, field in fields(file.message_type)
        if field.type in FIELDS_OF_64_BITS
    }
    assert len(found) > 40
    assert {name for name, jstype in found.items() if jstype != AS_TEXT} == set()
    above = 2**53 + 1  # the first integer that JavaScript's Number cannot hold
    text = json_format.MessageToJson(pb.Cursor(epoch="e", revision=above))
    assert json.loads(text)["revision"] == str(above)
    assert json_format.Parse(text, pb.Cursor()).revision == above


def test_the_released_contract_has_the_present_options() -> None:
    """Options name modules of generated code, so they never change after a release."""
    (released,) = [
        file
        for file in FileDescriptorSet.FromString(RELEASED.read_bytes()).file
        if file.package == "odds.v1"
    ]
    assert released.options == compiled().file[-1].options
