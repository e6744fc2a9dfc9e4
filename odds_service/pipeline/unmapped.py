"""Bounded counts of a source's unmapped markets, by sport and the source's names, with samples."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from odds_service.model.observation import UnmappedSample
from odds_service.model.text import as_text
from odds_service.status import UnmappedReport

OTHER: Final = "other"
MOST_NAMES: Final = 1_000  # per source; the three known sources have some hundreds
MOST_SAMPLES: Final = 3  # per name
NAMES_TOLD: Final = 50
_NAME_CHARS: Final = 100


class _Named:
    """The markets of one name: their number, the last time and the latest samples by event."""

    __slots__ = ("count", "last_seen_at", "samples")

    def __init__(self, at: datetime) -> None:
        self.count = 0
        self.last_seen_at = at
        self.samples: dict[str, UnmappedSample] = {}  # the latest last

    def add(self, times: int, at: datetime, sample: UnmappedSample | None) -> None:
        self.count += times
        self.last_seen_at = max(self.last_seen_at, at)
        if sample is not None:
            samples = self.samples
            samples.pop(sample.event_id, None)
            samples[sample.event_id] = sample
            if len(samples) > MOST_SAMPLES:
                del samples[next(iter(samples))]


class Unmapped:
    """Counts of unmapped markets by sport and name; beyond MOST_NAMES, new ones are `other`."""

    def __init__(self) -> None:
        self.total = 0
        self._named: dict[tuple[str, str], _Named] = {}

    def add(
        self,
        found: Mapping[str, int],
        at: datetime,
        sport: str = "",
        samples: Mapping[str, UnmappedSample] | None = None,
    ) -> None:
        """Add the counts of one fetch.

        Args:
            found: Name -> number of markets.
            at: The time of the fetch.
            sport: The sport of the markets that have no sample; empty if unknown.
            samples: Name -> a sample, which also tells the sport.
        """
        named = self._named
        for name, times in found.items():
            sample = None if samples is None else samples.get(name)
            key = (sport if sample is None else sample.sport, name)
            if key not in named:
                key = (key[0], _printable(name))
                if key not in named and len(named) >= MOST_NAMES:
                    key, sample = ("", OTHER), None
            known = named.get(key)
            if known is None:
                known = named[key] = _Named(at)
            known.add(times, at, sample)
            self.total += times

    def commonest(self) -> dict[str, int]:
        """Return the NAMES_TOLD most frequent names, the most frequent first."""
        counts: Counter[str] = Counter()
        for (_, name), known in self._named.items():
            counts[name] += known.count
        return dict(counts.most_common(NAMES_TOLD))

    def report(self, source: str) -> list[UnmappedReport]:
        """Return all names with their latest samples, under the name of the source."""
        return [
            UnmappedReport(
                source=source,
                sport=sport,
                name=name,
                count=known.count,
                last_seen_at=known.last_seen_at,
                samples=tuple(reversed(known.samples.values())),
            )
            for (sport, name), known in self._named.items()
        ]


def _printable(name: str) -> str:
    return as_text(name[:_NAME_CHARS])
