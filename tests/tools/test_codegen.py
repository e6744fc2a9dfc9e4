"""The tool names each stale file, and recognises breaking changes of the proto."""

import pickle
from pathlib import Path

import pytest

from odds_service.wire.pb.odds.v1 import odds_pb2
from tools import codegen, proto_comments

RELEASED = """
syntax = "proto3";
package shop.v1;

// An order.
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

message GetRequest {}
message GetResponse {}
message WatchRequest {}
message WatchResponse {}

service ShopService {
  rpc Get(GetRequest) returns (GetResponse);
  rpc Watch(WatchRequest) returns (stream WatchResponse);
}
"""


def written(folder: Path, text: str) -> Path:
    """Write `shop/v1/shop.proto` below a new folder; return the folder."""
    path = folder / "shop" / "v1" / "shop.proto"
    path.parent.mkdir(parents=True)
    path.write_text(text, "utf-8")
    return folder


def released_set(folder: Path) -> Path:
    """Write the descriptor set of RELEASED to a file, as a release does; return its path."""
    released = folder / "released.binpb"
    compiled = codegen.descriptor_set(written(folder / "released", RELEASED))
    released.write_bytes(compiled.SerializeToString())
    return released


def compared(tmp_path: Path, old: str, new: str) -> list[str]:
    """Replace the only `old` in RELEASED by `new`, and return the breaking changes."""
    assert RELEASED.count(old) == 1
    present = written(tmp_path / "present", RELEASED.replace(old, new))
    return codegen.breaking_changes(released_set(tmp_path), present)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("string id = 1;", "", 'field "1" with name "id"'),
        ("string id = 1;", "string ident = 1;", 'Field "1"'),
        ("string id = 1;", "bytes id = 1;", 'Field "1"'),
        ("string id = 1;", "repeated string id = 1;", 'Field "1"'),
        ("string web = 5; }", "} string web = 5;", "oneof"),
        ("map<string, uint32>", "map<string, string>", "CountsEntry"),
        ("reserved 9, 20 to 29;", "reserved 9, 20 to 28;", "reserved"),
        ("KIND_TOY = 2;", "KIND_TOY = 3;", "enum value"),
        ("KIND_TOY = 2;", "KIND_GAME = 2;", "Enum value"),
        ("rpc Get(GetRequest) returns (GetResponse);", "", '"Get"'),
        ("rpc Get(GetRequest)", "rpc Get(WatchRequest)", '"Get"'),
        ("returns (stream WatchResponse)", "returns (WatchResponse)", "streaming"),
        ("service ShopService {", "service Store {", '"ShopService"'),
        ("package shop.v1;", "package shop.v2;", "package"),
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
        ("KIND_TOY = 2;", "KIND_TOY = 2; KIND_GAME = 3;"),
        ("service ShopService {", "message Extra {}\nservice ShopService {"),
    ],
)
def test_additions_and_reserved_removals_break_nothing(tmp_path: Path, old: str, new: str) -> None:
    assert compared(tmp_path, old, new) == []


def test_an_unusual_name_is_told(tmp_path: Path) -> None:
    (line,) = codegen.style_faults(
        written(tmp_path, RELEASED.replace("string id = 1;", "string orderId = 1;"))
    )
    assert "order_id" in line


@pytest.mark.slow  # starts the protoc of the other environment
def test_the_committed_code_and_contract_are_current() -> None:
    assert codegen.problems(codegen.PROTO, codegen.GENERATED, codegen.RELEASED) == []


@pytest.mark.slow  # starts the protoc of the other environment
def test_code_that_differs_is_missing_or_left_over_is_stale(tmp_path: Path) -> None:
    proto, generated = tmp_path / "proto", tmp_path / "pb"
    released = released_set(tmp_path)
    written(proto, RELEASED)
    generated.mkdir()
    (generated / "__init__.py").write_text('"""Written by hand."""\n', "utf-8")

    made = codegen.write(codegen.generate(proto), generated)
    assert "shop/v1/shop_pb2.pyi" in made
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


def test_comments_are_taken_by_the_full_names_of_what_they_describe(tmp_path: Path) -> None:
    text = (
        RELEASED.replace('syntax = "proto3";', '// A shop.\n\nsyntax = "proto3";')
        .replace("string id = 1;", "// Its number,\n  // as text.\n  string id = 1;")
        .replace("message Line {", "// A line.\n  message Line {")
        .replace("KIND_TOY = 2;", "// To play.\n  KIND_TOY = 2;")
        .replace("rpc Get(", "// Gets it.\n  rpc Get(")
    )
    files = codegen.descriptor_set(written(tmp_path, text), with_comments=True)
    assert proto_comments.comments(files, "shop.v1") == {
        "shop.v1": "A shop.",
        "shop.v1.Order": "An order.",
        "shop.v1.Order.id": "Its number,\nas text.",
        "shop.v1.Order.Line": "A line.",
        "shop.v1.Kind.KIND_TOY": "To play.",
        "shop.v1.ShopService.Get": "Gets it.",
    }
    path = tmp_path / "comments.json"
    stale = ["comments.json is stale: run `make proto`"]
    assert proto_comments.problems(files, "shop.v1", path) == stale
    assert proto_comments.write(files, "shop.v1", path) == ["comments.json"]
    assert proto_comments.problems(files, "shop.v1", path) == []
    assert proto_comments.write(files, "shop.v1", path) == []
    path.write_text(path.read_text("utf-8").replace("To play", "To sell"), "utf-8")
    assert proto_comments.problems(files, "shop.v1", path) == stale


def test_the_committed_comments_are_current() -> None:
    files = codegen.descriptor_set(codegen.PROTO, with_comments=True)
    assert proto_comments.problems(files, codegen.CONTRACT) == []


@pytest.mark.slow  # starts the protoc of the other environment
def test_a_proto_without_a_released_one_fails_the_check(tmp_path: Path) -> None:
    written(tmp_path / "proto", RELEASED)
    codegen.write(codegen.generate(tmp_path / "proto"), tmp_path / "pb")
    missing = tmp_path / "shop.binpb"
    assert codegen.problems(tmp_path / "proto", tmp_path / "pb", missing) == [
        "shop.binpb is missing: nothing to hold the proto against"
    ]


def test_a_proto_that_does_not_compile_stops_the_tool(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"does not compile:\n.*shop.proto:1:1:"):
        codegen.descriptor_set(written(tmp_path, "this is no proto"))


@pytest.mark.slow  # starts the protoc of the other environment
def test_a_proto_that_protoc_refuses_stops_the_tool(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="protoc failed"):
        codegen.generate(written(tmp_path, "this is no proto"))


def test_messages_are_found_again_by_the_name_of_their_module() -> None:
    cursor = odds_pb2.Cursor(epoch="e", revision=7)
    assert pickle.loads(pickle.dumps(cursor)) == cursor  # noqa: S301 - our own bytes
