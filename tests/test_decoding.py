"""Decoding of JSON from outside: one family of errors, and the place of a bad text."""

import ast
from typing import Any, Final

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from odds_service.decoding import JsonDecoder, UndecodableText, decode_as, with_replacements
from odds_service.model.text import is_plain
from tests.test_imports import package_sources, within

# Own texts, which come back as `str` from a database, or as they were made a moment ago.
OF_OWN_TEXTS: Final = ("storage.rows", "storage.asks", "storage.migrations", "columns", "wire")
OF_OWN_TEXTS_ALONE: Final = ("sources.opened",)


class Named(msgspec.Struct):
    name: str
    count: int = 0


_named: Final = JsonDecoder(Named)
_parts: Final = JsonDecoder(list[msgspec.Raw])


@pytest.mark.parametrize(
    ("json", "place"),
    [
        (b'{"name":"\xff"}', "at `$.name` (byte 9)"),
        (b'{"name":"ab\xe9"}', "at `$.name` (byte 11)"),
        (b'{"count":1,"name":"\xed\xa0\x80"}', "at `$.name` (byte 19)"),
        (rb'{"name":"\ud800"}', "at `$.name` (byte 9)"),
        (rb'{"name":"\uDFFF"}', "at `$.name` (byte 9)"),
        (rb'{"name":"x\ud83dy"}', "at `$.name` (byte 10)"),
        (rb'{"name":"\ud83d\ud83d\ude00"}', "at `$.name`"),
        (b'{"name":"\\n\xff"}', "at `$.name`"),
        (b'{"more":[1,{"name":"\xff"}],"name":"x\xff"}', "at `$.name` (byte 34)"),
    ],
)
def test_a_bad_text_is_an_error_with_its_place(json: bytes, place: str) -> None:
    with pytest.raises(UndecodableText) as caught:
        _named.decode(json)
    assert str(caught.value).endswith(f"Text that is not UTF-8, or has half a character - {place}")


def test_the_path_leads_through_lists_and_objects() -> None:
    json = b'{"a":[{"b":{}},{"b":{"c":[null,"\xff"]}}]}'
    with pytest.raises(UndecodableText, match=r"at `\$\.a\[1\]\.b\.c\[1\]` \(byte 32\)"):
        decode_as(Any, json)


def test_a_bad_key_has_the_place_of_its_object() -> None:
    with pytest.raises(UndecodableText, match=r"at `\$\.a` \(byte 7\)"):
        decode_as(Any, b'{"a":{"\xff":1}}')


@pytest.mark.parametrize("key", ["k" * 10_000, "\x1b[2J"])
def test_a_place_is_short_and_plain(key: str) -> None:
    json = msgspec.json.encode({key: "@"}).replace(b"@", b"\xff")
    with pytest.raises(UndecodableText) as caught:
        decode_as(Any, json)
    assert len(str(caught.value)) < 150
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "json",
    [
        b'{"name":"x","more":"\xff"}',
        b'{"name":"x","\xff":1}',
        rb'{"name":"x","more":"\ud800"}',
        rb'{"name":"x","\udfff":["\ud800"]}',
        rb'{"more":"\\\ud800","name":"x"}',
    ],
)
def test_a_bad_text_that_is_skipped_is_no_error(json: bytes) -> None:
    assert _named.decode(json) == Named("x")


@pytest.mark.parametrize("bad", [b"\xff", b"\xed\xa0\x80", rb"\ud800", rb"\udc00"])
def test_the_parts_beside_a_bad_text_are_decoded(bad: bytes) -> None:
    bodies = _parts.decode(b'[{"name":"a"},{"name":"%b"},{"name":"c"}]' % bad)
    found: list[Named | None] = []
    for body in bodies:
        try:
            found.append(_named.decode(body))
        except msgspec.MsgspecError:
            found.append(None)
    assert found == [Named("a"), None, Named("c")]


@pytest.mark.parametrize(
    ("json", "name"),
    [
        (rb'{"name":"\ud83d\ude00"}', "\N{GRINNING FACE}"),
        (rb'{"name":"\\ud800"}', r"\ud800"),
        (rb'{"x":"\ud800","name":"\ud83d\ude00\\ud800"}', "\N{GRINNING FACE}\\ud800"),
        ('{"name":"é\u2028"}'.encode(), "é\u2028"),
    ],
)
def test_whole_characters_stay(json: bytes, name: str) -> None:
    assert _named.decode(json).name == name


@pytest.mark.parametrize(
    ("json", "error"),
    [
        (b'{"name":1}', msgspec.ValidationError),
        # Too deep for Python 3.11; later ones may come to its end, which is missing.
        (b'{"more":' + b"[" * 100_000, msgspec.MsgspecError),
        (b'{"name":"x"', msgspec.DecodeError),
        (rb'{"name":"\ud800"} x', msgspec.DecodeError),
        (rb'{"name":"\u12', msgspec.DecodeError),
        (b"", msgspec.DecodeError),
    ],
)
def test_other_errors_are_msgspecs(json: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        _named.decode(json)


def test_replacements_make_bad_keys_decodable() -> None:
    (raw,) = _parts.decode(b'[{"a\xff":1,"b":2,"\\ud800":3}]')
    marked = decode_as(dict[str, int], with_replacements(raw))
    assert (marked["a\ufffd"], marked["b"], len(marked)) == (1, 2, 3)


@given(
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3),
    st.lists(st.tuples(st.integers(0), st.binary(max_size=3)), max_size=4),
)
@example({"\U0002ebe1": "0\U00010000"}, [(204, b" ")])  # newer than Python 3.11: not "printable"
def test_any_bytes_are_decoded_or_refused(
    written: dict[str, str], damages: list[tuple[int, bytes]]
) -> None:
    json = msgspec.json.encode([{"name": "x"}, written, {"name": "y"}])
    for place, damage in damages:
        at = place % (len(json) + 1)
        json = json[:at] + damage + json[at + len(damage) :]
    words = []
    for kind in (Any, Named, list[msgspec.Raw], list[Named], dict[str, msgspec.Raw], str | float):
        try:
            JsonDecoder(kind).decode(json)
        except msgspec.MsgspecError as error:
            words.append(str(error))
    assert all(map(is_plain, words))


def json_from_outside(sources: dict[str, str]) -> list[str]:
    """Return the modules that decode JSON with msgspec's own decoder."""
    found = []
    for module, text in sources.items():
        names = {
            ast.unparse(node)
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Attribute) and node.attr in {"decode", "Decoder"}
        }
        if names & {"msgspec.json.decode", "msgspec.json.Decoder"}:
            found.append(module)
    return sorted(found)


def test_json_from_outside_has_one_decoder() -> None:
    found = json_from_outside(package_sources())
    assert "decoding" in found
    allowed = ("decoding", *OF_OWN_TEXTS, *OF_OWN_TEXTS_ALONE)
    assert [each for each in found if not any(within(each, place) for place in allowed)] == []


@pytest.mark.parametrize(
    "text", ["x = msgspec.json.Decoder(int)", "def f():\n    return msgspec.json.decode(b'')"]
)
def test_another_decoder_is_found(text: str) -> None:
    assert json_from_outside({"sources.new": text, "sources.other": "x.decode()"}) == [
        "sources.new"
    ]
