"""Due times of a source's pulls: earliest deadline first, no pull overlapping itself.

A pull is *due* one interval of its tier after its last start. Its *deadline* is the time at which
its odds become older than the tier's target. The due pull with the earliest deadline goes first;
within the same second, the event with more bookmakers goes first. So events in play precede distant
ones, but nothing starves: pulls that become due later never overtake one near its deadline.
"""

import heapq
import random
from collections.abc import Iterable, Sequence
from math import inf
from typing import Final

from msgspec import Struct

from odds_service.sources.access import Access, backoff
from odds_service.sources.base import Tier
from odds_service.status import TierFreshness

JITTER: Final = 0.05  # as a share of the interval; keeps pulls from aligning
EQUAL_S: Final = 1.0  # deadlines within this are equal; then the number of bookmakers decides


class Job(Struct, frozen=True, kw_only=True):
    """A pull as the schedule sees it.

    `starts_at` is the start of the event on the schedule's clock, None if it has none. `in_play` is
    true if the source reports the event as in play. `priced` is true if the source last showed
    odds, so that the event counts as in play from its start. `bookmakers` is the number of
    bookmakers with odds, and `cost` the cost of the pull in credits.
    """

    key: str
    starts_at: float | None = None
    in_play: bool = False
    priced: bool = False
    bookmakers: int = 0
    cost: float = 1.0


class _Entry:
    """The state of a job; `ticket` invalidates its old entries in the heaps."""

    __slots__ = ("due", "failures", "fresh_at", "job", "out", "started", "ticket")

    def __init__(self, job: Job, now: float) -> None:
        self.job = job
        self.fresh_at = now
        self.started: float | None = None
        self.failures = 0
        self.out = False
        self.due = now
        self.ticket = 0


class Schedule:
    """Due times of one source's pulls, in seconds on a monotonic clock; pure except for jitter.

    A pull that `take` returned is scheduled again only after `finished`, so it never overlaps
    itself, and the access policy is never exceeded. New pulls are due at once.
    """

    def __init__(
        self, tiers: Sequence[Tier], access: Access, rng: random.Random | None = None
    ) -> None:
        self.access = access
        self._tiers = tuple(tiers)
        self._rng = rng or random.Random()  # noqa: S311  # spreads load, guards nothing
        self._entries: dict[str, _Entry] = {}
        self._dropped: set[str] = set()
        self._waiting: list[tuple[float, int, str]] = []
        self._ready: list[tuple[float, int, float, int, str]] = []
        self._tickets = 0
        self._in_time = dict.fromkeys((tier.name for tier in tiers), 0)
        self._late = dict.fromkeys((tier.name for tier in tiers), 0)

    def update(self, jobs: Iterable[Job], now: float) -> None:
        """Replace the source's jobs: new ones are due now, missing ones are dropped.

        A job that is dropped while it runs is kept until it has finished, so it does not overlap
        itself if it returns in the meantime.
        """
        current = {job.key: job for job in jobs}
        for key, job in current.items():
            entry = self._entries.get(key)
            if entry is None:
                self._entries[key] = entry = _Entry(job, now)
                self._wait(entry, now)
            elif entry.job != job:
                entry.job = job
                if not entry.out:
                    self._wait(entry, self._due(entry))
        for key in self._entries.keys() - current.keys():
            if not self._entries[key].out:
                del self._entries[key]
        self._dropped = self._entries.keys() - current.keys()

    def next_due(self, now: float) -> float | None:
        """Return the time of the next `take`, or None if `finished` or `update` must come first."""
        if self.access.full:
            return None
        self._release(now)
        first = self._first_ready()
        if first is not None:
            return max(now, self.access.opens_at(now, first.job.cost))
        return self._waiting[0][0] if self._waiting else None

    def take(self, now: float) -> Job | None:
        """Start the most urgent due job, if the policy allows it; call `finished` at its end."""
        if self.access.full:
            return None
        self._release(now)
        entry = self._first_ready()
        if entry is None or self.access.opens_at(now, entry.job.cost) > now:
            return None
        heapq.heappop(self._ready)
        entry.out = True
        entry.started = now
        self._tickets += 1
        entry.ticket = self._tickets
        self.access.start(now, entry.job.cost)
        return entry.job

    def finished(self, key: str, now: float, *, ok: bool) -> None:
        """Reschedule a job: one interval after its start, or later after consecutive failures.

        Args:
            key: the key of the job.
            now: the time on the schedule's clock, in seconds.
            ok: True if the fetch succeeded.
        """
        self.access.end()
        entry = self._entries[key]
        entry.out = False
        if key in self._dropped:
            del self._entries[key]
            return
        if ok:
            self._freshen(entry, now)
        else:
            entry.failures += 1
        self._wait(entry, self._due(entry))

    def refreshed(self, key: str, started: float, now: float) -> None:
        """Postpone a job whose odds were just fetched outside the schedule.

        Args:
            key: the key of the job, which may be unknown.
            started: the time at which that fetch began, in seconds.
            now: the time at which it ended, in seconds.
        """
        entry = self._entries.get(key)
        if entry is None:
            return
        self._freshen(entry, now)
        if not entry.out:
            entry.started = started
            self._wait(entry, self._due(entry))

    def hurry(self, now: float) -> None:
        """Make every job due, the most urgent first, after the clock has stood still."""
        for entry in self._entries.values():
            if not entry.out:
                entry.started = None
                self._wait(entry, now)

    def freshness(self, now: float) -> list[TierFreshness]:
        """Return the tiers' adherence to their targets, the most urgent tier first."""
        pulls = dict.fromkeys(self._in_time, 0)
        fresh = dict.fromkeys(self._in_time, 0)
        for entry in self._entries.values():
            tier = self.tier_at(entry.job, now)
            pulls[tier.name] += 1
            fresh[tier.name] += now - entry.fresh_at <= tier.target_s
        return [
            TierFreshness(
                tier=tier.name,
                target_s=tier.target_s,
                pulls=pulls[tier.name],
                fresh=fresh[tier.name],
                in_time=self._in_time[tier.name],
                late=self._late[tier.name],
            )
            for tier in self._tiers
        ]

    def tier_of(self, key: str, now: float) -> str:
        """Return the name of a job's tier; that of the least urgent one for an unknown job."""
        entry = self._entries.get(key)
        return (self._tiers[-1] if entry is None else self.tier_at(entry.job, now)).name

    def tier_at(self, job: Job, at: float) -> Tier:
        """Return the tier of a job at a time.

        A started event without odds becomes less urgent with time, just as an event becomes more
        urgent before its start: it may be paused or over.
        """
        past_s = _unpriced_since(job, at)
        if past_s is not None:
            for tier in self._tiers:
                if tier.within_s is not None and past_s <= tier.within_s:
                    return tier
            return self._tiers[-1]
        for tier in self._tiers:
            if at >= self._enters_at(job, tier):
                return tier
        return self._tiers[-1]

    def _freshen(self, entry: _Entry, now: float) -> None:
        tier = self.tier_at(entry.job, now)
        kept = now - entry.fresh_at <= tier.target_s
        (self._in_time if kept else self._late)[tier.name] += 1
        entry.fresh_at = now
        entry.failures = 0

    def _enters_at(self, job: Job, tier: Tier) -> float:
        """Return the time from which a tier applies to a job; more urgent tiers take precedence."""
        if tier.within_s is None:
            return -inf
        if job.in_play:
            return -inf if tier is self._tiers[0] else inf
        if job.starts_at is None:
            return inf
        return job.starts_at - tier.within_s

    def _due(self, entry: _Entry) -> float:
        """Return the time at which a job is due again, considering that its tier may change first.

        A job is due once the interval of the tier at that time has passed. More urgent tiers have
        shorter intervals, so the result is the minimum over all tiers.
        """
        if entry.started is None:
            return entry.due
        factor = backoff(entry.failures)
        factor *= 1 + JITTER * (self._rng.random() - 0.5)
        job, started = entry.job, entry.started
        if _unpriced_since(job, started) is not None:
            return started + self.tier_at(job, started).interval_s * factor
        return min(
            max(started + tier.interval_s * factor, self._enters_at(job, tier))
            for tier in self._tiers
        )

    def _wait(self, entry: _Entry, due: float) -> None:
        self._tickets += 1
        entry.ticket = self._tickets
        entry.due = due
        heapq.heappush(self._waiting, (due, entry.ticket, entry.job.key))

    def _release(self, now: float) -> None:
        """Move due jobs to the heap of ready jobs, and drop invalid entries."""
        while self._waiting:
            due, ticket, key = self._waiting[0]
            entry = self._entries.get(key)
            valid = entry is not None and entry.ticket == ticket
            if valid and due > now:
                return
            heapq.heappop(self._waiting)
            if entry is None or not valid:
                continue
            tier = self.tier_at(entry.job, due)
            deadline = due + max(0.0, tier.target_s - tier.interval_s)
            rank = deadline // EQUAL_S, -entry.job.bookmakers, deadline, ticket, key
            heapq.heappush(self._ready, rank)

    def _first_ready(self) -> _Entry | None:
        while self._ready:
            *_, ticket, key = self._ready[0]
            entry = self._entries.get(key)
            if entry is not None and entry.ticket == ticket:
                return entry
            heapq.heappop(self._ready)
        return None


def _unpriced_since(job: Job, at: float) -> float | None:
    """Return the seconds since the start of an event without odds, None for other events."""
    if job.starts_at is None or job.in_play or job.priced or at < job.starts_at:
        return None
    return at - job.starts_at
