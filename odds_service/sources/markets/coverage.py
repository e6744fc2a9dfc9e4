"""How much of the payloads the table knew."""

from collections import Counter


class Coverage:
    """Counts of a provider's markets, as the provider shows them: one id and specifier each.

    A market is mapped when each of its outcomes is; else it is unmapped under its own name, also
    when some of its outcomes were read.
    """

    def __init__(self) -> None:
        self.mapped = 0
        self.unmapped: Counter[str] = Counter()

    @property
    def markets(self) -> int:
        """How many there were."""
        return self.mapped + self.unmapped.total()

    @property
    def share(self) -> float:
        """The share that was mapped; of nothing, all."""
        return self.mapped / self.markets if self.markets else 1.0
