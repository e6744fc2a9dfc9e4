"""Bounded counts of a source's unmapped markets, by the source's names."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from odds_service.model.text import as_text

OTHER: Final = "other"
MOST_NAMES: Final = 1_000  # per source; the three known sources have some hundreds
NAMES_TOLD: Final = 50
_NAME_CHARS: Final = 100


class Unmapped:
    """Counts of unmapped markets by name; beyond MOST_NAMES, new names count as `other`."""

    def __init__(self) -> None:
        self.total = 0
        self._names: dict[str, int] = {}

    def add(self, found: Mapping[str, int]) -> None:
        """Add the counts of one fetch."""
        names = self._names
        for name, times in found.items():
            key = name
            if key not in names:
                key = _printable(name)
                if key not in names and len(names) >= MOST_NAMES:
                    key = OTHER
            names[key] = names.get(key, 0) + times
            self.total += times

    def commonest(self) -> dict[str, int]:
        """Return the NAMES_TOLD most frequent names, the most frequent first."""
        return dict(Counter(self._names).most_common(NAMES_TOLD))


def _printable(name: str) -> str:
    return as_text(name[:_NAME_CHARS])
