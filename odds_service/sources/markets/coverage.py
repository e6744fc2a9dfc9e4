"""Counts of the markets in payloads that the table knows, and of the others."""

from collections import Counter


class Coverage:
    """Counts of a provider's markets, one per id and specifier.

    A market is mapped if all its outcomes are. Otherwise it is unmapped under its own name, even if
    some of its outcomes were read.
    """

    def __init__(self) -> None:
        self.mapped = 0
        self.unmapped: Counter[str] = Counter()

    @property
    def markets(self) -> int:
        """Return the number of all markets."""
        return self.mapped + self.unmapped.total()

    @property
    def share(self) -> float:
        """Return the mapped share; 1 if there were no markets."""
        return self.mapped / self.markets if self.markets else 1.0
