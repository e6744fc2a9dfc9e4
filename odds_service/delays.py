"""Delays of odds on their way from a source to a client, as histograms by source and tier.

A delay is counted once for each change, or for each bookmaker's odds in an answer. What was
delivered together shares a `Parcel`, so that sending it to one more client costs an addition.

Every histogram has one writing thread: the stages up to detection belong to Trio's, the later ones
to the server's loop. Any thread may read.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from math import inf
from typing import Final, TypeAlias

from odds_service.model.change import Change, ChangeKind, Commit, MarketChange, Timing
from odds_service.status import DELAY_BUCKETS_S, DelayReport

MOST_SOURCE_S: Final = 86_400.0  # a longer one is a wrong clock or date, and no delay
RECENT_MARKS: Final = 10  # the percentiles cover so many marks, one a minute

SOURCE_OBSERVED: Final = "source_observed"
OBSERVED_DETECTED: Final = "observed_detected"
DETECTED_SENT: Final = "detected_sent"
OBSERVED_SENT: Final = "observed_sent"
SOURCE_SENT: Final = "source_sent"
CONFLATED_SENT: Final = "observed_sent_conflated"
CONFIRMED_ANSWERED: Final = "confirmed_answered"
STAGES: Final = (
    SOURCE_OBSERVED, OBSERVED_DETECTED, DETECTED_SENT,
    OBSERVED_SENT, SOURCE_SENT, CONFLATED_SENT, CONFIRMED_ANSWERED,
)  # fmt: skip


class Histogram:
    """Counts by delay, not cumulative; see status.DELAY_BUCKETS_S."""

    __slots__ = ("buckets", "total_s")

    def __init__(self) -> None:
        self.buckets = [0] * (len(DELAY_BUCKETS_S) + 1)
        self.total_s = 0.0

    def add(self, delay_s: float, times: int = 1) -> None:
        """Count a delay in seconds, `times` times."""
        self.buckets[bisect_left(DELAY_BUCKETS_S, delay_s)] += times
        self.total_s += delay_s * times


class TierDelays:
    """The delays of one tier of a source.

    Attributes:
        stages: Stage -> its histogram; see STAGES.
        ahead: The changes whose time by the source was after their observation.
        behind: The changes whose time by the source was over MOST_SOURCE_S earlier.
    """

    def __init__(self) -> None:
        self.stages = {stage: Histogram() for stage in STAGES}
        self.ahead = 0
        self.behind = 0
        # The first mark is the start, without counts.
        self._marks: deque[dict[str, list[int]]] = deque([{}], maxlen=RECENT_MARKS)

    def mark(self) -> None:
        """Remember the counts, as the beginning of a later report's recent ones."""
        self._marks.append({stage: list(each.buckets) for stage, each in self.stages.items()})

    def report(self) -> list[DelayReport]:
        """Return the stages that have counted something."""
        oldest = self._marks[0]
        found = []
        for stage, histogram in self.stages.items():
            buckets = list(histogram.buckets)
            before = oldest.get(stage) or [0] * len(buckets)
            recent = [now - then for now, then in zip(buckets, before, strict=True)]
            if any(buckets):
                found.append(DelayReport(stage, buckets, histogram.total_s, recent))
        return found


_Place: TypeAlias = tuple[Histogram, int, float, int]  # with its bucket, the begin and the times


class Parcel:
    """Delays that end when something is delivered, which may happen many times.

    Attributes:
        shares: A histogram, the time (monotonic, in seconds) at which the delay began, and the
            number of changes or odds.
        begun_s: The earliest time from which the parcel could be delivered.
        until_s: The time until which the buckets of the present count are right.
        times: The deliveries since the last count.
        at_s: The sum of their times.
    """

    __slots__ = ("_places", "at_s", "begun_s", "shares", "times", "until_s")

    def __init__(self, shares: Sequence[tuple[Histogram, float, int]], begun_s: float) -> None:
        self.shares = shares
        self.begun_s = begun_s
        self.until_s = -inf
        self.times = 0
        self.at_s = 0.0
        self._places: list[_Place] = []

    def begin(self, now_s: float) -> None:
        """Count what was delivered, then the first delivery in other buckets."""
        self.count()
        until_s, places = inf, self._places
        for histogram, from_s, times in self.shares:
            bucket = bisect_left(DELAY_BUCKETS_S, now_s - from_s)
            places.append((histogram, bucket, from_s, times))
            if bucket < len(DELAY_BUCKETS_S):
                until_s = min(until_s, from_s + DELAY_BUCKETS_S[bucket])
        self.until_s, self.times, self.at_s = until_s, 1, now_s

    def count(self) -> None:
        """Add the deliveries so far to the histograms."""
        for histogram, bucket, from_s, times in self._places:
            histogram.buckets[bucket] += times * self.times
            histogram.total_s += times * (self.at_s - self.times * from_s)
        self._places = []
        self.until_s, self.times, self.at_s = -inf, 0, 0.0


def joined_parcel(parcels: Iterable[Parcel | None]) -> Parcel | None:
    """Return the delays of several deliveries as those of one."""
    known = [parcel for parcel in parcels if parcel is not None]
    if len(known) < 2:
        return known[0] if known else None
    shares = [share for parcel in known for share in parcel.shares]
    return Parcel(shares, min(parcel.begun_s for parcel in known))


class Delays:
    """The delays of all sources."""

    def __init__(self) -> None:
        self._tiers: dict[tuple[str, str], TierDelays] = {}

    def of(self, source: str, tier: str) -> TierDelays:
        """Return the delays of a tier, created by the first call; from any thread."""
        found = self._tiers.get((source, tier))
        return self._tiers.setdefault((source, tier), TierDelays()) if found is None else found

    def mark(self) -> None:
        """Mark the beginning of later reports' recent counts; see TierDelays.mark."""
        for tier in tuple(self._tiers.values()):
            tier.mark()

    def report(self, source: str, tier: str) -> list[DelayReport]:
        """Return the delays of a tier; empty if nothing was counted."""
        found = self._tiers.get((source, tier))
        return [] if found is None else found.report()

    def foreign(self, source: str) -> tuple[int, int]:
        """Return how many of a source's times were ahead of the clock, and too far behind it."""
        own = [tier for (name, _), tier in tuple(self._tiers.items()) if name == source]
        return sum(tier.ahead for tier in own), sum(tier.behind for tier in own)

    def detected(self, commit: Commit) -> None:
        """Count the delays of a commit up to its detection; on Trio's thread only."""
        timing = commit.timing
        if timing is None:
            return
        tier = self.of(timing.source, timing.tier)
        detected, observed = tier.stages[OBSERVED_DETECTED], tier.stages[SOURCE_OBSERVED]
        for _, told_s, times in _runs(commit.changes, (commit,)):
            detected.add(timing.detected_s - timing.observed_s, times)
            if told_s is None:
                continue
            if told_s < 0:
                tier.ahead += times
            elif told_s > MOST_SOURCE_S:
                tier.behind += times
            else:
                observed.add(told_s, times)

    def parcel(
        self, sent: Iterable[Change], commits: Sequence[Commit], *, conflated: bool = False
    ) -> Parcel | None:
        """Return the delays that end when changes are sent; None if none of them has any.

        Args:
            sent: The changes.
            commits: The commits that they come from, in order.
            conflated: True for a window, whose delay is mostly the one that its readers asked for.
        """
        shares: list[tuple[Histogram, float, int]] = []
        begun_s = inf
        for timing, told_s, times in _runs(sent, commits):
            stages = self.of(timing.source, timing.tier).stages
            begun_s = min(begun_s, timing.detected_s)
            if conflated:
                shares.append((stages[CONFLATED_SENT], timing.observed_s, times))
                continue
            shares.append((stages[DETECTED_SENT], timing.detected_s, times))
            shares.append((stages[OBSERVED_SENT], timing.observed_s, times))
            if told_s is not None and 0 <= told_s <= MOST_SOURCE_S:
                shares.append((stages[SOURCE_SENT], timing.observed_s - told_s, times))
        return Parcel(shares, begun_s) if shares else None


def _runs(
    changes: Iterable[Change], commits: Sequence[Commit]
) -> Iterator[tuple[Timing, float | None, int]]:
    """Yield the runs of changes of markets with one timing and one time of the source.

    Each has its timing, the delay from the source's time to the observation (None if the source
    tells none) and its length. Changes without a timing are left out.
    """
    first, last = 1, 0  # the revisions of the present commit; none at first
    timing: Timing | None = None
    source = ""
    told: datetime | None = None
    told_s: float | None = None
    times = 0
    for change in changes:
        if not isinstance(change, MarketChange):
            continue
        at = change.after.source_updated_at
        # A new market's time says when it was priced, perhaps hours before it was shown to us.
        if at is not None and not ChangeKind.PRICES <= change.kind <= ChangeKind.RESUMED:
            at = None
        within = first <= change.revision <= last
        if within and at is told and change.source == source:
            times += 1
            continue
        if timing is not None and timing.source == source:
            yield timing, told_s, times
        if not within:
            first, last, timing = _commit_at(change.revision, commits)
        source, told, times = change.source, at, 1
        told_s = None if at is None else (change.observed_at - at).total_seconds()
    if timing is not None and timing.source == source:  # not moved odds of another source
        yield timing, told_s, times


def _commit_at(revision: int, commits: Sequence[Commit]) -> tuple[int, int, Timing | None]:
    """Return the first and last revision and the timing of a commit; an empty range for none."""
    place = bisect_left(commits, revision, key=_last_revision) if len(commits) > 1 else 0
    if place < len(commits):
        commit = commits[place]
        if commit.first_revision <= revision <= commit.last_revision:
            return commit.first_revision, commit.last_revision, commit.timing
    return 1, 0, None


def _last_revision(commit: Commit) -> int:
    return commit.last_revision
