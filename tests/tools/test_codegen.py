"""Stale code is named file by file; what breaks old clients is told from what does not."""

import pickle
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from odds_service.rpc.pb.odds.v1 import odds_pb2
from tools import codegen
from tools.compatibility import breaking_changes

RELEASED = """
syntax = "proto3";
package shop.v1;

message Order {
  reserved 9, 20 to 29;
  reserved "colour";
  string id = 1;
  optional double price = 2;
  repeated string tags = 3;
  oneof place { string shop = 4; string web = 5; }
  map<string, uint32> counts = 6;
  Kind kind = 7;
  message Line { uint32 number = 1; }
  repeated Line lines = 8;
}

enum Kind {
  reserved 5 to 6;
  KIND_UNSPECIFIED = 0;
  KIND_BOOK = 1;
  KIND_TOY = 2;
}

service Shop {
  rpc Get(Order) returns (Order);
  rpc Watch(Order) returns (stream Order);
}
"""


def compiled(folder: Path, text: str) -> FileDescriptorSet:
    """Compile one file, as `shop/v1/shop.proto` below a new folder."""
    path = folder / "shop" / "v1" / "shop.proto"
    path.parent.mkdir(parents=True)
    path.write_text(text, "utf-8")
    return codegen.descriptor_set(folder)


def compared(tmp_path: Path, old: str, new: str) -> list[str]:
    """What breaks when, in the proto above, `old` (which must be there, once) becomes `new`."""
    assert RELEASED.count(old) == 1
    return breaking_changes(
        compiled(tmp_path / "released", RELEASED),
        compiled(tmp_path / "present", RELEASED.replace(old, new)),
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        # messages and fields
        ("string id = 1;", "string id = 10;", "field shop.v1.Order.id = 1 is gone"),
        ("string id = 1;", "", "field shop.v1.Order.id = 1 is gone"),
        ("string id = 1;", "reserved 1;", "field shop.v1.Order.id = 1 is gone"),
        ("string id = 1;", 'reserved "id";', "field shop.v1.Order.id = 1 is gone"),
        ("string id = 1;", "string ident = 1;", "its name was id, and is ident"),
        ("string id = 1;", 'string id = 1 [json_name = "key"];', "its JSON name was id"),
        ("string id = 1;", "bytes id = 1;", "its type was TYPE_STRING, and is TYPE_BYTES"),
        ("string id = 1;", "repeated string id = 1;", "its label was LABEL_OPTIONAL"),
        ("optional double price", "double price", "its presence was optional"),
        ("repeated string tags", "string tags", "its label was LABEL_REPEATED"),
        ("oneof place {", "oneof spot {", "its oneof was place, and is spot"),
        ("string web = 5; }", "} string web = 5;", "its oneof was place, and is none"),
        ("map<string, uint32>", "map<string, uint64>", "CountsEntry.value = 2: its type was"),
        ("  Kind kind = 7;", "  Line kind = 7;", "its type was .shop.v1.Kind"),
        ("uint32 number = 1;", "sint32 number = 1;", "Order.Line.number = 1: its type was"),
        ("reserved 9, 20 to 29;", "reserved 9, 20 to 28;", "numbers 20 to 29 are no longer"),
        ("reserved 9, 20 to 29;", "reserved 20 to 29;", "numbers 9 to 9 are no longer reserved"),
        ('reserved "colour";', "string colour = 11;", "the name colour is no longer reserved"),
        # enums
        ("KIND_TOY = 2;", "KIND_TOY = 3;", "enum value shop.v1.Kind.KIND_TOY = 2 is gone"),
        ("KIND_TOY = 2;", "", "enum value shop.v1.Kind.KIND_TOY = 2 is gone"),
        ("KIND_TOY = 2;", "KIND_GAME = 2;", "KIND_TOY = 2: its number has another name"),
        ("reserved 5 to 6;", "reserved 5;", "numbers 5 to 6 are no longer reserved"),
        # calls
        ("rpc Get(Order) returns (Order);", "", "call shop.v1.Shop.Get is gone"),
        ("rpc Get(Order)", "rpc Fetch(Order)", "call shop.v1.Shop.Get is gone"),
        ("rpc Get(Order)", "rpc Get(Order.Line)", "it took .shop.v1.Order, and takes"),
        ("returns (Order);", "returns (Order.Line);", "it answered .shop.v1.Order, and answers"),
        ("returns (stream Order)", "returns (Order)", "whether the server streams differs"),
        ("rpc Watch(Order)", "rpc Watch(stream Order)", "whether the client streams differs"),
        # names of the whole
        ("service Shop {", "service Store {", "service shop.v1.Shop is gone"),
        ("package shop.v1;", "package shop.v2;", "message shop.v1.Order is gone"),
    ],
)
def test_what_breaks_old_clients_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    found = compared(tmp_path, old, new)
    assert any(said in line for line in found), found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("string id = 1;", "string id = 1; // the same in other words"),
        ("string id = 1;", "string id = 1; string note = 10;"),
        ("string id = 1;", 'reserved 1; reserved "id";'),
        ("reserved 9, 20 to 29;", "reserved 9, 20 to 40;"),
        ("string web = 5; }", "string web = 5; string phone = 10; }"),
        ("KIND_TOY = 2;", "KIND_TOY = 2; KIND_GAME = 3;"),
        ("KIND_TOY = 2;", 'reserved 2; reserved "KIND_TOY";'),
        ("rpc Get(Order)", "rpc List(Order) returns (Order);\n  rpc Get(Order)"),
        ("service Shop {", "message Extra {}\nservice Other {}\nservice Shop {"),
    ],
)
def test_additions_and_reserved_removals_break_nothing(tmp_path: Path, old: str, new: str) -> None:
    assert compared(tmp_path, old, new) == []


def test_a_message_and_an_enum_that_are_gone_are_named(tmp_path: Path) -> None:
    found = breaking_changes(
        compiled(tmp_path / "released", RELEASED),
        compiled(tmp_path / "present", 'syntax = "proto3";\npackage shop.v1;\n'),
    )
    assert found == [
        "message shop.v1.Order is gone",
        "message shop.v1.Order.CountsEntry is gone",
        "message shop.v1.Order.Line is gone",
        "enum shop.v1.Kind is gone",
        "service shop.v1.Shop is gone",
    ]


def test_the_committed_code_and_contract_are_current() -> None:
    assert codegen.problems(codegen.PROTO, codegen.GENERATED, codegen.RELEASED) == []


def test_code_that_differs_is_missing_or_left_over_is_stale(tmp_path: Path) -> None:
    proto, generated = tmp_path / "proto", tmp_path / "pb"
    released = tmp_path / "released.binpb"
    released.write_bytes(compiled(proto, RELEASED).SerializeToString())
    generated.mkdir()
    (generated / "__init__.py").write_text('"""Written by hand."""\n', "utf-8")

    written = codegen.write(codegen.generate(proto), generated)
    assert "shop/v1/shop_pb2.pyi" in written
    assert codegen.problems(proto, generated, released) == []
    assert codegen.write(codegen.generate(proto), generated) == []

    (generated / "shop" / "v1" / "shop_pb2.py").write_text("edited = True\n", "utf-8")
    (generated / "shop" / "v1" / "shop_pb2_grpc.pyi").unlink()
    (generated / "shop" / "v1" / "toys_pb2.py").write_text("", "utf-8")
    stale = ["shop/v1/shop_pb2.py", "shop/v1/shop_pb2_grpc.pyi", "shop/v1/toys_pb2.py"]
    assert codegen.problems(proto, generated, released) == [
        f"{name} is stale: run `make proto`" for name in stale
    ]
    assert codegen.write(codegen.generate(proto), generated) == stale
    assert codegen.problems(proto, generated, released) == []
    assert (generated / "__init__.py").read_text("utf-8") == '"""Written by hand."""\n'


def test_a_proto_without_a_released_one_fails_the_check(tmp_path: Path) -> None:
    compiled(tmp_path / "proto", RELEASED)
    codegen.write(codegen.generate(tmp_path / "proto"), tmp_path / "pb")
    missing = tmp_path / "shop.binpb"
    assert codegen.problems(tmp_path / "proto", tmp_path / "pb", missing) == [
        "shop.binpb is missing: nothing to hold the proto against"
    ]


def test_a_proto_that_does_not_compile_stops_the_tool(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="protoc failed"):
        compiled(tmp_path, "this is no proto")


def test_messages_are_found_again_by_the_name_of_their_module() -> None:
    cursor = odds_pb2.Cursor(epoch="e", revision=7)
    assert pickle.loads(pickle.dumps(cursor)) == cursor  # noqa: S301 - our own bytes
