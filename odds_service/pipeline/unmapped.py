"""The markets of a source that its table does not know, by the source's own names; bounded."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from odds_service.model.text import as_text

OTHER: Final = "other"
MOST_NAMES: Final = 1_000  # kept of one source; the three known ones show some hundreds
NAMES_TOLD: Final = 50
_NAME_CHARS: Final = 100


class Unmapped:
    """How often each was met. Names past MOST_NAMES count as `other`: they may be made up."""

    def __init__(self) -> None:
        self.total = 0
        self._names: dict[str, int] = {}

    def add(self, found: Mapping[str, int]) -> None:
        """Count what one fetch met."""
        names = self._names
        for name, times in found.items():
            key = name
            if key not in names:
                key = _told(name)
                if key not in names and len(names) >= MOST_NAMES:
                    key = OTHER
            names[key] = names.get(key, 0) + times
            self.total += times

    def commonest(self) -> dict[str, int]:
        """The NAMES_TOLD names met most often, the most frequent first."""
        return dict(Counter(self._names).most_common(NAMES_TOLD))


def _told(name: str) -> str:
    """A name that can be shown: neither long, nor with what is not text."""
    return as_text(name[:_NAME_CHARS])
