"""The scrape stage: one supervised scraper per source, with back-pressure from later stages."""

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

import structlog
import trio
from msgspec.structs import replace

from odds_service.clock import Clock, later
from odds_service.errors import SourceError
from odds_service.model.observation import Completeness, Observation, Scope
from odds_service.model.source import SourceState
from odds_service.pipeline.channels import Fetched
from odds_service.pipeline.listings import Listings
from odds_service.pipeline.schedule import Job, Schedule
from odds_service.pipeline.source_counts import SourceCounts
from odds_service.sources.access import Access, discovery_wait_s
from odds_service.sources.base import Offer, Pull
from odds_service.sources.boundary import Limits
from odds_service.sources.calls import SourceCalls
from odds_service.sources.containment import SourceFailed
from odds_service.sources.failures import OVER_BUDGET
from odds_service.status import SourceReport

REFRESH_WAIT_S: Final = 10.0  # the longest wait of a refresh for the budget; then it fails
_PLAN_S: Final = 15.0  # between updates of the schedule from the cache and all offers
_DISCOVERY: Final = "discovery"
_LONGEST_WAIT_S: Final = 366 * 86_400.0  # the cap of the wait shown in status

log = structlog.get_logger(__name__)


class ScraperRetired(Exception):
    """The end of a fetch whose scraper was retired by a reload."""


class Scraper:
    """A scraper that pulls one source by its schedule and passes on every result, also failures.

    A crash in the source is contained here: it is logged with its traceback, counted as a failure
    and backed off. A pull keeps its place in the budget until its result is passed on, so a slow
    later stage slows the fetches. The service's clock numbers every observation.

    Args:
        source: the calls into the source; what they return has passed the gate.
        send: the scraper's own end of the channel; `run` closes it.
        clock: the clock that dates the observations.
        listings: the offers of all sources, shared by all scrapers.
        counts: the counts of this source's pulls and problems; None for private ones.
        limits: the limits for the source's answers.
    """

    def __init__(
        self,
        source: SourceCalls,
        send: trio.MemorySendChannel[Fetched],
        clock: Clock,
        listings: Listings,
        counts: SourceCounts | None = None,
        limits: Limits = Limits(),  # immutable
    ) -> None:
        self.source = source
        self.counts = SourceCounts() if counts is None else counts
        self._limits = limits
        self._send = send
        self._clock = clock
        self._offer = Offer(())
        self._slept = trio.Event()
        self._listings = listings
        self._schedule: Schedule | None = None
        self._planned: dict[str, Pull] = {}
        self._changed = trio.Event()
        self._waiting_refreshes = 0
        self._refreshes: set[trio.CancelScope] = set()
        self._retired = False
        self._predecessor: Access | None = None

    async def run(self) -> None:
        """Scrape until cancelled, then close this end of the channel.

        Cancellation:
            Loses the fetches under way; none of them has been applied.
        """
        with self._send:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._look_regularly)
                while True:
                    pull = await self._next_pull()
                    nursery.start_soon(self._pull_on, pull, name=f"pull of {self.source.name}")

    def take_over(self, other: "Scraper") -> None:
        """Go on with the budget of a scraper of the same account, before the first fetch."""
        self._predecessor = other.schedule.access

    async def retire(self) -> None:
        """End the refreshes under way, and refuse others; `run` ends by its own cancel scope."""
        self._retired = True
        for scope in tuple(self._refreshes):
            scope.cancel()
        while self._refreshes:
            await self._changed.wait()

    def sending(self) -> trio.MemorySendChannel[Fetched]:
        """Return this scraper's end of the channel, to close it even if `run` never begins."""
        return self._send

    def report(self, state: SourceState) -> SourceReport:
        """Return the source's part of GetStatus."""
        counts = self.counts
        now = trio.current_time()
        due = self.schedule.next_due(now)
        wait_s = None if due is None else min(max(0.0, due - now), _LONGEST_WAIT_S)
        return SourceReport(
            state=state,
            kind=self.source.kind,
            next_due_at=None if wait_s is None else later(self._clock.wall(), wait_s),
            pulls=counts.pulls,
            failures=counts.failures,
            problems=dict(counts.problems),
            mapped=counts.mapped,
            unmapped=counts.unmapped.total,
            unmapped_names=counts.unmapped.commonest(),
            new_events=counts.new_events,
            new_events_left_out=counts.new_events_left_out,
            changes=counts.changes,
            answers_left_out=counts.answers_left_out,
            latency_s=counts.latency_s,
            success_age_s=(
                None
                if state.success_boot_s is None
                else max(0.0, self._clock.boot_s() - state.success_boot_s)
            ),
            freshness=self.schedule.freshness(now),
        )

    @property
    def schedule(self) -> Schedule:
        """The schedule of the pulls, created on first use since it reads Trio's clock."""
        if self._schedule is None:
            pace = self.source.pace
            self.source.access.keep_to(
                pace,
                day_offset_s=self._day_offset_s(),
                most_wait_s=self._limits.max_retry_after_s,
            )
            if self._predecessor is not None:
                self.source.access.take_over(self._predecessor, trio.current_time())
            self._schedule = Schedule(pace.tiers, self.source.access)
        return self._schedule

    def _day_offset_s(self) -> float:
        """Return the offset from Trio's clock to seconds since 1970, for the start of UTC days."""
        return self._clock.wall().timestamp() - trio.current_time()

    def clock_moved(self, slept_s: float) -> None:
        """Replan after the wall clock has moved; after a sleep, everything is due at once.

        Args:
            slept_s: the seconds of sleep, during which Trio's clock stood still; 0 for none.
        """
        self.schedule.access.moved(trio.current_time(), self._day_offset_s(), slept_s)
        self.source.clock_moved(self._day_offset_s(), slept_s)
        self._plan(self._offer)
        if slept_s:
            self.schedule.hurry(trio.current_time())
            self._slept.set()
            self._slept = trio.Event()
        self._wake()

    async def fetch_event(self, source_event_id: str, listing: str | None) -> Observation:
        """Fetch an event now, outside the schedule; a failure gives an observation too.

        The fetch precedes due pulls, but waits for a place in the source's budget.

        Raises:
            SourceError: Of kind over_budget, without a request, if the wait would exceed
                REFRESH_WAIT_S (because of an exhausted quota or a Retry-After).
            ScraperRetired: A reload has replaced this scraper or taken its source out.

        Cancellation:
            Loses the fetch under way.
        """
        if self._retired:
            raise ScraperRetired
        with trio.CancelScope() as scope:
            self._refreshes.add(scope)
            try:
                return await self._fetch_event(source_event_id, listing)
            finally:
                self._refreshes.discard(scope)
                self._wake()
        raise ScraperRetired

    async def _fetch_event(self, source_event_id: str, listing: str | None) -> Observation:
        scope = Scope(events=frozenset({source_event_id}))
        like = self._planned.get(source_event_id) or self._planned.get(listing or "")
        cost = 1.0 if like is None else like.cost
        key = source_event_id if like is None else like.key
        await self._turn(cost)
        started = trio.current_time()
        try:
            observation = await self._observe(
                lambda problems: self.source.fetch_event(source_event_id, listing, problems),
                scope, cost, key,
            )  # fmt: skip
        finally:
            self.schedule.access.end()
            self._wake()
        if observation.completeness is not Completeness.FAILED:
            self.schedule.refreshed(source_event_id, started, trio.current_time())
        return observation

    async def _turn(self, cost: float) -> None:
        """Wait until the budget has room for a refresh, and take it."""
        access = self.schedule.access
        self._waiting_refreshes += 1
        try:
            while True:
                now = trio.current_time()
                at = access.opens_at(now, cost)
                if at > now + REFRESH_WAIT_S:
                    text = f"not asked for {at - now:.0f} s more: its quota, or its Retry-After"
                    raise SourceError(OVER_BUDGET, text, retry_after_s=at - now)
                if at <= now and not access.full:
                    access.start(now, cost)
                    return
                await self._sleep_until(None if access.full else at)
        finally:
            self._waiting_refreshes -= 1
            self._wake()

    async def _look_regularly(self) -> None:
        """Discover the source's offer and update the schedule regularly, until cancelled."""
        pace = self.source.pace
        failures, seen = 0, -1
        while True:
            started_at, wait_s = self._clock.wall(), pace.discovery_s
            sequence = self._clock.sequence()
            try:
                offer = await self.source.discover()
            except (SourceFailed, SourceError) as failure:
                failures += 1
                observation = self._failed(failure, started_at, Scope(), Counter(), sequence)
                await self._send.send(Fetched(_DISCOVERY, observation))
                wait_s = discovery_wait_s(failures, pace.discovery_s)
            else:
                failures = 0
                self.counts.add_problems(offer.problems)
                self._offer = offer
                self._listings.update(self.source.name, offer.pulls)
                if pace.by_event and (not offer.pulls or seen == self.counts.pulls):
                    # Nothing was due, so only this shows that the source answers.
                    observation = self._answered(offer, started_at, sequence)
                    await self._send.send(Fetched(_DISCOVERY, observation))
                seen = self.counts.pulls
            again_at = trio.current_time() + wait_s
            while True:
                self._plan(self._offer)
                left_s, slept = again_at - trio.current_time(), self._slept
                with trio.move_on_after(max(0.0, min(left_s, _PLAN_S))):
                    await slept.wait()
                if left_s <= _PLAN_S or slept.is_set():
                    break

    def _plan(self, offer: Offer) -> None:
        """Schedule the listed pulls, and cached events that are no longer listed.

        The latter are pulled until the source itself reports their absence, since discovery may
        omit a started event that still has odds.
        """
        source = self.source.name
        planned = {pull.key: pull for pull in offer.pulls}
        by_event = self.source.pace.by_event
        single = by_event or any(pull.event for pull in offer.pulls)
        carried = self._listings.carried(source) if single else {}
        for key, event in carried.items():
            if by_event and key not in planned:
                planned[key] = Pull(
                    key=key, event=True, listing=event.listing, start_time=event.start_time
                )
        now, wall = trio.current_time(), self._clock.wall()
        jobs = []
        for key, pull in planned.items():
            known = carried.get(key)
            priced = 0 if known is None else known.bookmakers
            starts_at = None
            if pull.start_time is not None:
                starts_at = round(now + (pull.start_time - wall).total_seconds())
            jobs.append(
                Job(
                    key=key,
                    starts_at=starts_at,
                    in_play=pull.in_play or (known is not None and known.in_play),
                    # A whole listing stays urgent, since its events are not distinguished.
                    priced=not pull.event or (known is not None and known.priced),
                    bookmakers=max(priced, self._listings.sources(pull)),
                    cost=pull.cost,
                )
            )
        self._planned = planned
        self.schedule.update(jobs, now)
        self._wake()

    async def _next_pull(self) -> Pull:
        while (pull := self._due_pull()) is None:
            await self._sleep_until(self.schedule.next_due(trio.current_time()))
        return pull

    def _due_pull(self) -> Pull | None:
        """Start the most urgent due pull; None if none may start now."""
        if self._waiting_refreshes:
            return None
        job = self.schedule.take(trio.current_time())
        return None if job is None else self._planned[job.key]

    async def _sleep_until(self, at: float | None) -> None:
        """Sleep until a time, or until something changes."""
        changed = self._changed
        if at is None or (self._waiting_refreshes and at <= trio.current_time()):
            await changed.wait()
            return
        with trio.move_on_at(at):
            await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _pull_on(self, first: Pull) -> None:
        """Make a pull, and then those that are due; a task for each would cost more."""
        pull: Pull | None = first
        while pull is not None:
            await self._pull(pull)
            pull = self._due_pull()
            if pull is None or not self.schedule.access.full:
                self._wake()

    async def _pull(self, pull: Pull) -> None:
        started = trio.current_time()
        scope = Scope(events=frozenset({pull.key})) if pull.event else Scope(listing=pull.key)
        observation = await self._observe(
            lambda problems: self.source.fetch(pull, problems), scope, pull.cost, pull.key
        )
        self.counts.latency_s = trio.current_time() - started
        fetched = Fetched(pull.key, observation)
        try:
            self._send.send_nowait(fetched)  # spares a step of the loop
        except trio.WouldBlock:
            # Back-pressure: the pull keeps its place in the budget until detect has room.
            await self._send.send(fetched)
        ok = observation.completeness is not Completeness.FAILED
        self.schedule.finished(pull.key, trio.current_time(), ok=ok)

    async def _observe(
        self,
        fetch: Callable[[Counter[str]], Awaitable[Observation]],
        scope: Scope,
        cost: float,
        key: str,
    ) -> Observation:
        """Fetch, and return the observation, or that of a failure.

        Args:
            fetch: the call into the source, with the count of problems to increment.
            scope: the scope of the observation if the fetch fails.
            cost: the credits reserved for the pull; a failed pull may have used fewer.
            key: the key of the pull whose tier the odds belong to.
        """
        self.counts.pulls += 1
        tier = self.schedule.tier_of(key, trio.current_time())
        started_at, sequence = self._clock.wall(), self._clock.sequence()
        problems: Counter[str] = Counter()
        try:
            admitted = await fetch(problems)
            observation = replace(admitted, started_at=started_at, sequence=sequence, tier=tier)
        except (SourceFailed, SourceError) as failure:
            return self._failed(failure, started_at, scope, problems, sequence)
        self.counts.add_observation(observation)
        self.schedule.access.spent(
            trio.current_time(), cost, observation.cost, observation.quota_left
        )
        return observation

    def _answered(self, offer: Offer, started_at: datetime, sequence: int) -> Observation:
        """Return an empty observation, for a source that answered while nothing was due."""
        return Observation(
            source=self.source.name,
            scope=Scope(events=frozenset()),
            completeness=Completeness.PARTIAL,
            started_at=started_at,
            observed_at=self._clock.wall(),
            observed_boot_s=self._clock.boot_s(),
            sequence=sequence,
            problems=dict(offer.problems),
        )

    def _failed(
        self,
        raised: SourceFailed | SourceError,
        started_at: datetime,
        scope: Scope,
        problems: Counter[str],
        sequence: int,
    ) -> Observation:
        """Return the observation of a failed fetch.

        Args:
            raised: the exception of the source, as `contained` wraps it, or of the gate.
            started_at: the time at which the fetch began.
            scope: the intended scope of the fetch.
            problems: other problems of the answer.
            sequence: the number of the attempt.
        """
        self.counts.failures += 1
        error = raised.error if isinstance(raised, SourceFailed) else raised
        # A Retry-After applies to the whole source: no requests until then.
        failure = self.schedule.access.pull_failed(trio.current_time(), error)
        kind, reason = failure.kind, failure.reason
        if isinstance(error, SourceError):
            log.warning("fetch_failed", source=self.source.name, kind=kind, reason=reason)
        else:
            log.error("source_crashed", source=self.source.name, kind=kind, exc_info=error)
        found = {kind: 1} | (problems - Counter([kind]))
        found[kind] += problems[kind]
        self.counts.add_problems(found)
        return Observation(
            source=self.source.name,
            scope=scope,
            completeness=Completeness.FAILED,
            started_at=started_at,
            observed_at=self._clock.wall(),
            observed_boot_s=self._clock.boot_s(),
            sequence=sequence,
            reason=reason,
            problems=found,
        )
