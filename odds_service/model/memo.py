"""A slot in which a value keeps its encoded bytes."""

from collections.abc import Callable
from typing import Final, cast


class Memo:
    """A base class with a slot for a value's encoded bytes, which only `wire/` fills and reads.

    The slot is not a field. It takes no part in equality, hashing, repr and copies, so a value
    copied from another never inherits its bytes. The bytes live as long as the value, unless they
    are released before. The slot takes eight bytes, as a field would.
    """

    __slots__ = ("encoded",)

    encoded: bytes


# Fills the slot of a frozen value, which refuses ordinary assignment.
keep: Final = cast("Callable[[Memo, bytes], None]", Memo.__dict__["encoded"].__set__)


def release(value: Memo) -> None:
    """Drop a value's bytes, for good: from now on they are made at each use, and not kept."""
    keep(value, b"")  # no value is encoded as nothing
