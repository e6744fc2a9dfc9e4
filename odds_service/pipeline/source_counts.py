"""Counts of each source since the start, for status and metrics."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from odds_service.model.observation import Observation
from odds_service.pipeline.unmapped import Unmapped

MOST_PROBLEMS: Final = 500  # names kept per source, which may make up names; the rest are `other`
OTHER: Final = "other"


class SourceCounts:
    """The counts of one source.

    `problems` maps names to numbers, from readers, the gate, failed fetches and stale answers.
    `late_events` were discarded because a newer observation was applied before. `duplicate_events`
    occurred more than once in an observation. `mapped` and `unmapped` count the markets read with
    and without a canonical counterpart. `latency_s` is the duration of the last pull in seconds.
    `new_events` and `changes` (those of known events) are bounded, see pipeline.churn; beyond the
    bounds, `new_events_left_out` and `answers_left_out` count what was not applied.
    """

    def __init__(self) -> None:
        self.pulls = 0
        self.failures = 0
        self.latency_s: float | None = None
        self.problems: Counter[str] = Counter()
        self.late_events = 0
        self.duplicate_events = 0
        self.new_events = 0
        self.new_events_left_out = 0
        self.changes = 0
        self.answers_left_out = 0
        self.mapped = 0
        self.unmapped = Unmapped()

    def add_problems(self, problems: Mapping[str, int]) -> None:
        """Add problems by name."""
        for name, times in problems.items():
            if not times:
                continue
            known = name in self.problems or len(self.problems) < MOST_PROBLEMS
            self.problems[name if known else OTHER] += times

    def add_observation(self, observation: Observation) -> None:
        """Add the problems and the markets of an observation that was read."""
        self.add_problems(observation.problems)
        self.mapped += observation.mapped
        if observation.unmapped:
            sports = {event.sport for event in observation.events}
            self.unmapped.add(
                observation.unmapped,
                observation.observed_at,
                sports.pop() if len(sports) == 1 else "",
                observation.unmapped_samples,
            )


class Counts:
    """The counts of all sources."""

    def __init__(self) -> None:
        self._sources: dict[str, SourceCounts] = {}

    def of(self, source: str) -> SourceCounts:
        """Return the counts of a source, created by the first call."""
        counts = self._sources.get(source)
        if counts is None:
            counts = self._sources[source] = SourceCounts()
        return counts

    @property
    def late_events(self) -> int:
        """Return the number of late events of all sources."""
        return sum(counts.late_events for counts in self._sources.values())

    @property
    def duplicate_events(self) -> int:
        """Return the number of duplicate events of all sources."""
        return sum(counts.duplicate_events for counts in self._sources.values())
