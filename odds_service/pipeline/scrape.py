"""The scrape stage: one supervised scraper a source, slowed by whatever comes after it."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final

import structlog
import trio
from msgspec.structs import replace

from odds_service.clock import Clock, later
from odds_service.detection.answer_times import STALE_ANSWER
from odds_service.errors import SourceError
from odds_service.model.observation import Completeness, Observation, Scope
from odds_service.model.source import SourceState
from odds_service.pipeline.budget import DAY_S, Budget
from odds_service.pipeline.channels import Fetched
from odds_service.pipeline.coverage import Coverage
from odds_service.pipeline.schedule import Job, Schedule
from odds_service.pipeline.unmapped import Unmapped
from odds_service.sources.base import Offer, Pull, Source
from odds_service.sources.boundary import BAD_OBSERVATION, Gate, Limits
from odds_service.sources.failures import failure_of
from odds_service.status import SourceReport

REFRESH_WAIT_S: Final = 10.0  # a refresh that the budget holds for longer fails
_DISCOVERY_RETRY_S: Final = 10.0
_PLAN_S: Final = 15.0  # how often coverage, and what the source lists no more, are looked at anew
_DISCOVERY: Final = "discovery"
_MOST_PROBLEMS: Final = 500  # names kept of one source, which may make them up; then `other`
_OTHER: Final = "other"
_LONGEST_WAIT_S: Final = 366 * DAY_S  # told to people

log = structlog.get_logger(__name__)


class Scraper:
    """Pulls one source by its schedule and hands every outcome on, also the failed ones.

    A crash in the source stays here: it is logged with its traceback, counted as a failure and
    backed off. So does whatever it gives that is none of what it promised: everything passes the
    gate here (see sources.boundary). A place within the source's budget is kept until the outcome
    is handed on, so a stage that lags holds the fetches. Every observation is numbered and dated
    here, by the service's clock, whatever its source wrote.
    """

    def __init__(
        self,
        source: Source,
        send: trio.MemorySendChannel[Fetched],
        clock: Clock,
        coverage: Coverage,
        limits: Limits = Limits(),  # immutable
    ) -> None:
        self.source = source
        self._limits = limits
        self._gate = Gate(source.name, limits)
        self.problems: Counter[str] = Counter()
        self.mapped = 0
        self.unmapped = Unmapped()
        self.pulls = 0
        self.failures = 0
        self.latency_s: float | None = None
        self._send = send
        self._clock = clock
        self._offer = Offer(())
        self._slept = trio.Event()
        self._coverage = coverage
        self._schedule: Schedule | None = None
        self._planned: dict[str, Pull] = {}
        self._changed = trio.Event()
        self._waiting_refreshes = 0

    async def run(self) -> None:
        """Scrape until cancelled; closes its end of the channel.

        Cancelled, it loses the fetches under way; nothing of them was applied.
        """
        with self._send:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._look_regularly)
                while True:
                    pull = await self._next_pull()
                    nursery.start_soon(self._pull, pull)

    def report(self, state: SourceState, stale_answers: int = 0) -> SourceReport:
        """What GetStatus tells of the source."""
        now = trio.current_time()
        due = self.schedule.next_due(now)
        wait_s = None if due is None else min(max(0.0, due - now), _LONGEST_WAIT_S)
        return SourceReport(
            state=state,
            kind=self.source.kind,
            next_due_at=None if wait_s is None else later(self._clock.wall(), wait_s),
            pulls=self.pulls,
            failures=self.failures,
            problems=dict(self.problems + Counter({STALE_ANSWER: stale_answers})),
            mapped=self.mapped,
            unmapped=self.unmapped.total,
            unmapped_names=self.unmapped.commonest(),
            latency_s=self.latency_s,
            success_age_s=(
                None
                if state.success_boot_s is None
                else max(0.0, self._clock.boot_s() - state.success_boot_s)
            ),
            freshness=self.schedule.freshness(now),
        )

    @property
    def schedule(self) -> Schedule:
        """When what is due; made at its first use, since it reads Trio's clock."""
        if self._schedule is None:
            pace = self.source.pace
            budget = Budget(
                concurrency=pace.concurrency,
                requests_per_s=pace.requests_per_s,
                quota_per_day=pace.quota_per_day,
                day_offset_s=self._day_offset_s(),
            )
            self._schedule = Schedule(pace.tiers, budget)
        return self._schedule

    def _day_offset_s(self) -> float:
        """The zero of Trio's clock, in seconds since 1970: that is where UTC days begin."""
        return self._clock.wall().timestamp() - trio.current_time()

    def clock_moved(self, slept_s: float) -> None:
        """Plan anew after the wall clock has moved; after a sleep everything is due at once.

        slept_s: seconds that the machine slept, in which Trio's clock stood still; 0 for none.
        """
        self.schedule.budget.moved(trio.current_time(), self._day_offset_s(), slept_s)
        self._plan(self._offer)
        if slept_s:
            self.schedule.hurry(trio.current_time())
            self._slept.set()
            self._slept = trio.Event()
        self._wake()

    async def fetch_event(self, source_event_id: str, listing: str | None) -> Observation:
        """Fetch one event now, outside the schedule; a failure is an observation too.

        It goes before the pulls that are due, but waits for a place within the source's budget
        like any of them. Raises SourceError of kind over_budget, without asking, when it would have
        to wait for over REFRESH_WAIT_S (a used-up quota, or the source wants to be left alone).
        """
        scope = Scope(events=frozenset({source_event_id}))
        like = self._planned.get(source_event_id) or self._planned.get(listing or "")
        cost = 1.0 if like is None else like.cost
        await self._turn(cost)
        started = trio.current_time()
        try:
            observation = await self._observe(
                lambda: self.source.fetch_event(source_event_id, listing), scope, cost
            )
        finally:
            self.schedule.budget.end()
            self._wake()
        if observation.completeness is not Completeness.FAILED:
            self.schedule.refreshed(source_event_id, started, trio.current_time())
        return observation

    async def _turn(self, cost: float) -> None:
        """Wait until the budget has room for a refresh, and take it."""
        budget = self.schedule.budget
        self._waiting_refreshes += 1
        try:
            while True:
                now = trio.current_time()
                at = budget.opens_at(now, cost)
                if at > now + REFRESH_WAIT_S:
                    text = f"may not be asked for {at - now:.0f} s more: quota, or its own wish"
                    raise SourceError("over_budget", text, retry_after_s=at - now)
                if at <= now and not budget.full:
                    budget.start(now, cost)
                    return
                await self._sleep_until(None if budget.full else at)
        finally:
            self._waiting_refreshes -= 1
            self._wake()

    async def _look_regularly(self) -> None:
        """Discover what there is, and plan by it; returns only when cancelled."""
        pace = self.source.pace
        failures, seen = 0, -1
        while True:
            started_at, wait_s = self._clock.wall(), pace.discovery_s
            try:
                offer = self._gate.offer(await _contained(self.source.discover))
            except (_Failed, SourceError) as failure:
                failures += 1
                error = failure.error if isinstance(failure, _Failed) else failure
                observation = self._failed(error, started_at, Scope(), Counter())
                await self._send.send(Fetched(_DISCOVERY, observation))
                wait_s = min(pace.discovery_s, _DISCOVERY_RETRY_S * 2 ** min(failures - 1, 10))
            else:
                failures = 0
                self._count(offer.problems)
                self._offer = offer
                self._coverage.tell(self.source.name, offer.pulls)
                if pace.by_event and (not offer.pulls or seen == self.pulls):
                    # Nothing was due: nothing else says that it answers.
                    await self._send.send(Fetched(_DISCOVERY, self._answered(offer, started_at)))
                seen = self.pulls
            again_at = trio.current_time() + wait_s
            while True:
                self._plan(self._offer)
                left_s, slept = again_at - trio.current_time(), self._slept
                with trio.move_on_after(max(0.0, min(left_s, _PLAN_S))):
                    await slept.wait()
                if left_s <= _PLAN_S or slept.is_set():
                    break

    def _plan(self, offer: Offer) -> None:
        """Hand the schedule what is listed, and the events in the cache that are listed no more.

        Those are pulled on until the source says itself that they are gone: what discovery leaves
        out may have started, and is still priced.
        """
        source = self.source.name
        planned = {pull.key: pull for pull in offer.pulls}
        by_event = self.source.pace.by_event
        single = by_event or any(pull.event for pull in offer.pulls)
        carried = self._coverage.carried(source) if single else {}
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
                    # What a whole listing shows of its events is not told apart: it stays urgent.
                    priced=not pull.event or (known is not None and known.priced),
                    coverage=max(priced, self._coverage.listings(pull)),
                    cost=pull.cost,
                )
            )
        self._planned = planned
        self.schedule.update(jobs, now)
        self._wake()

    async def _next_pull(self) -> Pull:
        while True:
            now = trio.current_time()
            if not self._waiting_refreshes:
                job = self.schedule.take(now)
                if job is not None:
                    return self._planned[job.key]
            await self._sleep_until(self.schedule.next_due(now))

    async def _sleep_until(self, at: float | None) -> None:
        """Sleep until then, or until something has changed."""
        changed = self._changed
        if at is None or (self._waiting_refreshes and at <= trio.current_time()):
            await changed.wait()
            return
        with trio.move_on_at(at):
            await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _pull(self, pull: Pull) -> None:
        started = trio.current_time()
        scope = Scope(events=frozenset({pull.key})) if pull.event else Scope(listing=pull.key)
        observation = await self._observe(lambda: self.source.fetch(pull), scope, pull.cost)
        self.latency_s = trio.current_time() - started
        # The place in the budget is kept until detect has room: that is the back-pressure.
        await self._send.send(Fetched(pull.key, observation))
        ok = observation.completeness is not Completeness.FAILED
        self.schedule.finished(pull.key, trio.current_time(), ok=ok)
        self._wake()

    async def _observe(
        self, fetch: Callable[[], Awaitable[Observation]], scope: Scope, cost: float
    ) -> Observation:
        """The observation of a fetch, and what it tells of how to treat the source.

        cost: the credits that it was started with; what a failed one took is not known.
        """
        self.pulls += 1
        started_at, sequence = self._clock.wall(), self._clock.sequence()
        problems: Counter[str] = Counter()
        try:
            given = await _contained(fetch)
            times = {"started_at": started_at, "observed_at": self._clock.wall()}
            boot_s = self._clock.boot_s()
            admitted = await self._gate.admit(given, problems, **times)
            # A source's own times are not believed, however plausible: its clock may be off.
            observation = replace(admitted, sequence=sequence, observed_boot_s=boot_s, **times)
        except (_Failed, SourceError) as failure:
            error = failure.error if isinstance(failure, _Failed) else failure
            return self._failed(error, started_at, scope, problems, sequence)
        self._count(observation.problems)
        self.mapped += observation.mapped
        self.unmapped.add(observation.unmapped)
        if observation.cost is not None:
            self.schedule.budget.cost(trio.current_time(), cost, observation.cost)
        if observation.quota_left is not None:
            self.schedule.budget.told(trio.current_time(), observation.quota_left)
        return observation

    def _answered(self, offer: Offer, started_at: datetime) -> Observation:
        """The source answered, though there was nothing to be pulled since the last time."""
        return Observation(
            source=self.source.name,
            scope=Scope(events=frozenset()),
            completeness=Completeness.PARTIAL,
            started_at=started_at,
            observed_at=self._clock.wall(),
            observed_boot_s=self._clock.boot_s(),
            problems=dict(offer.problems),
        )

    def _failed(
        self,
        error: BaseException,
        started_at: datetime,
        scope: Scope,
        problems: Counter[str],
        sequence: int = 0,
    ) -> Observation:
        """The observation of a failed fetch; problems: what else was wrong with its answer."""
        self.failures += 1
        kind, reason, wait_s = failure_of(error, self._limits)
        if isinstance(error, SourceError):
            log.warning("fetch_failed", source=self.source.name, kind=kind, reason=reason)
        else:
            log.error("source_crashed", source=self.source.name, kind=kind, exc_info=error)
        if wait_s is not None:
            # It bears on the whole source: nothing else is asked until then.
            self.schedule.budget.hold(trio.current_time() + wait_s)
        found = {kind: 1} | (problems - Counter([kind]))
        found[kind] += problems[kind]
        self._count(found)
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

    def _count(self, problems: Mapping[str, int]) -> None:
        """Count what was wrong, by name."""
        for name, times in problems.items():
            known = name in self.problems or len(self.problems) < _MOST_PROBLEMS
            self.problems[name if known else _OTHER] += times


class _Failed(Exception):
    """A source raised `error`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(type(error)))
        self.error = error


async def _contained(call: Callable[[], object]) -> object:
    """What a call into a source gives. Raises _Failed for whatever it raises.

    Only a cancellation of ours, and an interrupt, pass: SystemExit of a library does not end the
    service.
    """
    try:
        pending = call()
        if not isinstance(pending, Awaitable):
            text = f"it gave {type(pending).__name__}, which cannot be awaited"
            raise SourceError(BAD_OBSERVATION, text)
        return await pending
    except (trio.Cancelled, KeyboardInterrupt):
        raise
    except BaseExceptionGroup as group:
        ours, theirs = group.split((trio.Cancelled, KeyboardInterrupt))
        if ours is None:
            raise _Failed(group) from None
        if theirs is not None:
            log.error("source_crashed", kind="crash", exc_info=theirs)
        raise ours from None
    except BaseException as error:  # it stays in its source
        raise _Failed(error) from None
