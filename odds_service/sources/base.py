"""What a source is: the protocol that the scrapers know, and what all providers share."""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Protocol, Self

from msgspec import Struct

from odds_service.model.market import Outcome
from odds_service.model.observation import Observation


class Pull(Struct, frozen=True):
    """One unit of regular work: a part of the offer, fetched every `interval_s` seconds."""

    key: str
    interval_s: float


class Source(Protocol):
    """A place that odds are fetched from; one source may carry many bookmakers.

    name: unique among the configured sources; interval_s: the pace of its slowest pull.
    """

    kind: ClassVar[str]
    name: str
    interval_s: float

    @classmethod
    def open(cls, name: str, table: dict[str, Any]) -> AbstractAsyncContextManager[Self]:
        """Make one from its settings table (without `kind` and `name`), with its HTTP client.

        Raises SettingsError naming the key that is wrong; unknown keys are wrong.
        """
        ...

    async def pulls(self) -> Sequence[Pull]:
        """What to fetch regularly. Raises SourceError when that cannot be found out now."""
        ...

    async def fetch(self, pull: Pull) -> Observation:
        """Fetch one part whole.

        Raises SourceError when it failed as a whole: an empty observation says that there is
        nothing. What cannot be decoded is counted in `problems`, named in `unreadable`, skipped.
        """
        ...

    async def fetch_event(self, source_event_id: str, listing: str | None) -> Observation:
        """Fetch one event on demand, with a scope of that event. Raises as `fetch`."""
        ...


def distinct_outcomes(outcomes: Iterable[Outcome], problems: Counter[str]) -> list[Outcome]:
    """The outcomes with unique keys: where one repeats, the lowest price stands.

    Repeats with another price are counted as `repeated_outcome`.
    """
    kept: dict[str, Outcome] = {}
    for outcome in outcomes:
        other = kept.setdefault(outcome.key, outcome)
        if other is outcome:
            continue
        if other.price != outcome.price:
            problems["repeated_outcome"] += 1
        if outcome.price is not None and (other.price is None or outcome.price < other.price):
            kept[outcome.key] = outcome
    return list(kept.values())
