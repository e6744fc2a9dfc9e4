"""Decoding of JSON that others wrote.

msgspec checks no text that it skips, and raises UnicodeDecodeError, which is none of its own
errors, for a text that is not UTF-8. For an escape that is half a character (`\\ud800`) it refuses
the whole document, although the escape is JSON's grammar and most libraries write it. Here both are
the fault of one text, so a reader that decodes part by part loses the smallest part that has it.
"""

import re
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar, overload

import msgspec

from odds_service.model.text import told

T = TypeVar("T")

REPLACED: Final = "\N{REPLACEMENT CHARACTER}"  # see with_replacements
_MOST_DEPTH: Final = 32  # of the path in an error's text
_MOST_KEY_CHARS: Final = 40
# Half a character in the bytes that UTF-8 would have for it, and thus no UTF-8; as long as the
# escape, so that offsets stay.
_HALF: Final = b"\xed\xa0\x80" * 2
_MAY_HAVE_HALVES: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_parts_by_key: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_parts: Final = msgspec.json.Decoder(list[msgspec.Raw])
_text: Final = msgspec.json.Decoder(str)


class UndecodableText(msgspec.ValidationError):
    """A text is not UTF-8, or has half a character.

    Its own text names the path and the byte offset in the decoded JSON. They are looked for only
    when it is shown: most readers go on with a smaller part, and never show it.
    """

    def __init__(self, json: bytes, error: UnicodeDecodeError) -> None:
        super().__init__()
        self._json = json
        self._text = error.object
        self._start = error.start

    def __str__(self) -> str:
        path = _path(self._json, self._text, _MOST_DEPTH)
        place = "" if path is None else f" - at `${path}`"
        start = self._json.find(b'"%b"' % self._text)  # -1 if it is written with escapes
        offset = "" if start < 0 else f" (byte {start + 1 + self._start})"
        return f"Text that is not UTF-8, or has half a character{place}{offset}"


class JsonDecoder(Generic[T]):
    """A decoder that raises msgspec.MsgspecError and nothing else.

    Args:
        kind: A type that msgspec can decode.
    """

    @overload
    def __init__(self, kind: type[T]) -> None: ...
    @overload  # for unions, which are no types to mypy
    def __init__(self: "JsonDecoder[Any]", kind: Any) -> None: ...
    def __init__(self, kind: Any) -> None:
        self._decode: Callable[[bytes | msgspec.Raw], T] = msgspec.json.Decoder(kind).decode

    def decode(self, json: bytes | msgspec.Raw) -> T:
        """Decode JSON.

        Raises:
            UndecodableText: A text of the decoded parts is not UTF-8, or has half a character.
            msgspec.ValidationError: It has another shape, or is nested too deeply.
            msgspec.DecodeError: It is not JSON.
        """
        try:
            return self._decode(json)
        except UnicodeDecodeError as error:
            raise UndecodableText(bytes(json), error) from None
        except RecursionError:
            raise msgspec.ValidationError("JSON nested too deeply") from None
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            written = bytes(json)
            marked = _with_marked_halves(written)
            if marked == written:
                raise
        return self.decode(marked)


_by_key: Final = JsonDecoder(dict[str, msgspec.Raw])


def decode_as(kind: type[T], json: bytes | msgspec.Raw) -> T:
    """Decode JSON of a shape that is decoded rarely; see JsonDecoder.decode."""
    return JsonDecoder(kind).decode(json)


def by_key(json: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """Return the parts of an object by key; what is undecodable in a key is U+FFFD there.

    Raises:
        msgspec.MsgspecError: See JsonDecoder.decode; never for a text.
    """
    try:
        return _by_key.decode(json)
    except UndecodableText:  # a key: the others are readable
        return _by_key.decode(with_replacements(json))


def with_replacements(json: bytes | msgspec.Raw) -> bytes:
    """Return JSON with U+FFFD in place of everything that is not UTF-8.

    An object with an undecodable key can be decoded then. Half characters have to be marked, as
    they are in a Raw part that JsonDecoder gave.
    """
    return bytes(json).decode("utf-8", "replace").encode()


def _with_marked_halves(json: bytes) -> bytes:
    """Return JSON with bytes that are not UTF-8 in place of each escape of half a character."""
    if _MAY_HAVE_HALVES.search(json) is None:
        return json
    return _ESCAPE.sub(lambda found: found[0] if found["half"] is None else _HALF, json)


def _path(json: bytes, text: bytes, depth: int) -> str | None:
    """Return the path of the first such text that is not UTF-8; None if it is not found."""
    kind = json.lstrip()[:1]
    if depth == 0:
        return None
    try:
        if kind == b'"':
            _text.decode(json)
        elif kind == b"[":
            for place, part in enumerate(_parts.decode(json)):
                path = _path(bytes(part), text, depth - 1)
                if path is not None:
                    return f"[{place}]{path}"
        elif kind == b"{":
            for key, part in _parts_by_key.decode(json).items():
                path = _path(bytes(part), text, depth - 1)
                if path is not None:
                    return f".{told(key, _MOST_KEY_CHARS)}{path}"
    except UnicodeDecodeError as error:  # the text itself, or a key
        return "" if error.object == text else None
    except (msgspec.MsgspecError, RecursionError):
        pass
    return None
