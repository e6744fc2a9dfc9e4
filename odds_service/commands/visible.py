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
    return "".join(HIDDEN if unicodedata.category(each) in _FOREIGN else each for each in text)
