"""Sanitising of external text, so that it can be stored, sent and shown.

PostgreSQL refuses NUL but SQLite does not, so their logs would differ. A lone surrogate (half a
character, which Python's `str` can hold) can be neither encoded nor sent. Control characters and
overrides of the writing direction alter the display of a terminal.
"""

import re
from typing import Final

MOST_CHARS: Final = 256  # in a name, an id or a key

# Marks that only help right-to-left scripts (U+200E, U+200F, U+061C) are not barred.
_BARRED: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_SPACES: Final = re.compile("[\t\n\v\f\r\x85\u2028\u2029]+")


def is_text(*parts: str) -> bool:
    """Return whether all parts can be stored and sent unchanged."""
    whole = "".join(parts)
    if "\0" in whole:
        return False
    if whole.isascii():
        return True
    try:
        whole.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_text(shown: str) -> str:
    """Return a text with `?` in place of each character that cannot be stored or sent."""
    return shown.replace("\0", "?").encode("utf-8", "replace").decode()


def is_plain(text: str) -> bool:
    """Return whether a text, such as an id, is free of control and override characters."""
    return text.isprintable() or _BARRED.search(text) is None


def plain_name(name: str) -> str:
    """Return a name without control and override characters; line breaks become spaces."""
    if is_plain(name):
        return name
    return _BARRED.sub("", _SPACES.sub(" ", name))


def told(text: object, most_chars: int) -> str:
    """Return an object as text for people, shortened and safe to store, send and show."""
    try:
        words = text if isinstance(text, str) else str(text)
    except Exception:  # a plug-in's object may refuse to describe itself
        words = type(text).__name__
    return plain_name(as_text(words[:most_chars]))


def counted(number: float, one: str) -> str:
    """Return a number with a noun: `1 event`, `2 events`, `0.5 requests`."""
    shown = int(number) if number == int(number) else number
    return f"{shown:,} {one}{'' if number == 1 else 's'}"
