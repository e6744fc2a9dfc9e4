"""Each sentence of the proto has a test, and each test in the table exists."""

import ast
from collections import Counter
from functools import cache
from pathlib import Path

from tests.contract.sentences import PROTO, ROOT, TABLE, Sentence, promises, sentences

# The largest share of sentences, such as headings, that promise nothing.
MOST_UNTESTABLE = 0.1


def told() -> dict[Sentence, tuple[tuple[str, ...], str]]:
    return {key: (each.tests, each.untestable)
            for key, each in promises(TABLE.read_text("utf-8")).items()}  # fmt: skip


@cache
def names_in(path: Path) -> frozenset[str]:
    """Return the names of the functions in a file, methods as `Class::name`."""
    names = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{inner.name}" for inner in node.body
                      if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)}  # fmt: skip
    return frozenset(names)


def test_every_sentence_of_the_proto_is_in_the_table() -> None:
    missing = [each for each in sentences(PROTO.read_text("utf-8")) if each not in told()]
    assert missing == [], "`python -m tests.contract.sentences` prints them"


def test_every_sentence_of_the_table_is_in_the_proto() -> None:
    spoken = set(sentences(PROTO.read_text("utf-8")))
    assert [each for each in told() if each not in spoken] == []


def test_every_sentence_has_a_test_or_the_reason_why_it_has_none() -> None:
    bare = [each for each, (tests, why) in told().items() if not tests and not why]
    both = [each for each, (tests, why) in told().items() if tests and why]
    assert (bare, both) == ([], [])
    untestable = sum(not tests for tests, _ in told().values())
    assert untestable <= MOST_UNTESTABLE * len(told())


def test_every_test_that_is_named_is_there() -> None:
    gone = []
    for sentence, (tests, _) in told().items():
        for test in tests:
            file, _, name = test.partition("::")
            path = ROOT / file
            found = path.is_file() and name.startswith("test_") and name in names_in(path)
            if not found:
                gone.append((test, sentence))
    assert gone == []


def test_places_are_told_apart_and_sentences_end_where_they_do() -> None:
    proto = """
// The file.
//  - One rule: it holds.
//  - Another, over
//    two lines.

syntax = "proto3";

// A service.
service S {
  // Answers. At once; `x` helps.
  // OUT_OF_RANGE when not.
  rpc Call(A) returns (stream B);
}

// ------
// Heading
// ------

message A {
  // First 2.5 (e.g. of home). Second.
  map<string, string> f = 1;
  oneof which {
    // Inside.
    b.C g = 2;
  }
  optional double plain = 3;
  // After the oneof.
  repeated b.C h = 4;
}
"""
    assert [tuple(each) for each in sentences(proto)] == [
        ("odds.proto", "The file."),
        ("odds.proto", "One rule: it holds."),
        ("odds.proto", "Another, over two lines."),
        ("S", "A service."),
        ("S.Call", "Answers."),
        ("S.Call", "At once; `x` helps."),
        ("S.Call", "OUT_OF_RANGE when not."),
        ("A.f", "First 2.5 (e.g. of home)."),
        ("A.f", "Second."),
        ("A.g", "Inside."),
        ("A.h", "After the oneof."),
    ]


def test_nothing_of_the_proto_s_comments_is_lost() -> None:
    """Every word above a declaration is in a sentence."""
    text = PROTO.read_text("utf-8")
    words = Counter(word for each in sentences(text) for word in each.text.split())
    headings = ("Shapes", "GetOdds", "WatchChanges", "ListEvents", "GetHistory", "GetClosingOdds",
                "RefreshEvent", "GetStatus", "GetSeries", "ListMarkets", "GetCoverage",
                "ListUnmapped", "ListRuns", "Reload", "Replay")  # fmt: skip
    lines = [line.strip()[2:].strip() for line in text.splitlines() if line.strip()[:2] == "//"]
    kept = [line.removeprefix("- ") for line in lines
            if line not in headings and set(line) != {"-"}]  # fmt: skip
    assert words == Counter(word for line in kept for word in line.split())
