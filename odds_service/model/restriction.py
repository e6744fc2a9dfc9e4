"""Restrictions: the sources and bookmakers that a caller may see."""

from hashlib import sha256
from typing import Final

from msgspec import Struct

_MARK_CHARS: Final = 8


class Restriction(Struct, frozen=True):
    """The only sources and bookmakers that a caller may see; None restricts nothing."""

    sources: frozenset[str] | None = None
    bookmakers: frozenset[str] | None = None

    @property
    def restricts(self) -> bool:
        return not (self.sources is None and self.bookmakers is None)

    @property
    def mark(self) -> str:
        """Return a short text that differs between restrictions; empty without one."""
        if not self.restricts:
            return ""
        named = [
            None if names is None else sorted(names) for names in (self.sources, self.bookmakers)
        ]
        return sha256(repr(named).encode()).hexdigest()[:_MARK_CHARS]
