"""Counts of the markets in payloads, known and unknown to the table."""

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Final

MOST_OUTCOMES: Final = 10  # kept of a sample


class Coverage:
    """Counts of a provider's markets, by id and specifier.

    A market is mapped if all its outcomes are. Otherwise it is counted as unmapped under its own
    name, even if some of its outcomes were decoded.
    """

    def __init__(self) -> None:
        self.mapped = 0
        self.unmapped: Counter[str] = Counter()
        self.outcomes: dict[str, tuple[str, ...]] = {}  # the first unmapped market's, by name

    def miss(self, name: str, outcomes: Iterable[str]) -> None:
        """Count an unmapped market.

        Args:
            name: The provider's name for it.
            outcomes: The texts of its outcomes.
        """
        self.unmapped[name] += 1
        if name not in self.outcomes:
            self.outcomes[name] = tuple(islice(outcomes, MOST_OUTCOMES))

    @property
    def markets(self) -> int:
        """The number of all markets."""
        return self.mapped + self.unmapped.total()

    @property
    def share(self) -> float:
        """The mapped share; 1 if there were no markets."""
        return self.mapped / self.markets if self.markets else 1.0
