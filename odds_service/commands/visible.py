"""The one function that makes text from outside harmless to a terminal."""

import unicodedata
from typing import Final

HIDDEN: Final = "\ufffd"  # shown in place of what a terminal would obey

_FOREIGN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # Unicode's categories of control


def visible(text: str) -> str:
    """Return text from outside with every character that a terminal would obey replaced.

    Control characters (so line breaks too), bidirectional overrides, characters without a form
    and unpaired surrogates are replaced one by one.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(HIDDEN if is_foreign(each) else each for each in text)


def escaped(text: str) -> str:
    r"""Return JSON with the same characters as JSON's own escapes: `\u202e`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(each) if is_foreign(each) else each for each in text)


def is_foreign(character: str) -> bool:
    """Return whether a terminal would obey a character, or shows nothing for it."""
    return unicodedata.category(character) in _FOREIGN


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    pairs = zip(units[::2], units[1::2], strict=True)
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in pairs)
