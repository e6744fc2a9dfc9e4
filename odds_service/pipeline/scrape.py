"""The scrape stage: one supervised task a source, slowed by whatever comes after it."""

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import structlog
import trio

from odds_service.errors import SourceError
from odds_service.model.observation import Completeness, Observation, Scope
from odds_service.model.source import SourceState
from odds_service.pipeline.channels import Fetched
from odds_service.pipeline.schedule import Schedule
from odds_service.sources.base import Pull, Source
from odds_service.status import SourceReport

DISCOVERY_S: Final = 300.0  # how often a source is asked anew what it offers
_DISCOVERY_RETRY_S: Final = 10.0

log = structlog.get_logger(__name__)


class Scraper:
    """Pulls one source by its schedule and hands every outcome on, also the failed ones.

    A crash in the source stays here: it is logged with its traceback, counted as a failure and
    backed off. `now` gives aware UTC times.
    """

    def __init__(
        self,
        source: Source,
        send: trio.MemorySendChannel[Fetched],
        now: Callable[[], datetime],
        *,
        concurrency: int = 1,
    ) -> None:
        self.source = source
        self.problems: Counter[str] = Counter()
        self.pulls = 0
        self.failures = 0
        self.latency_s: float | None = None
        self._send = send
        self._now = now
        self._slots = trio.CapacityLimiter(concurrency)
        self._schedule: Schedule[Pull] = Schedule()
        self._failures_in_row = 0
        self._changed = trio.Event()

    async def run(self) -> None:
        """Scrape until cancelled; closes its end of the channel.

        Cancelled, it loses the fetches under way; nothing of them was applied.
        """
        with self._send:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._discover)
                while True:
                    pull = await self._next_pull()
                    await self._slots.acquire_on_behalf_of(pull)
                    nursery.start_soon(self._pull, pull)

    def report(self, state: SourceState) -> SourceReport:
        """What GetStatus tells of the source."""
        due = self._schedule.next_due()
        wait_s = None if due is None else max(0.0, due - trio.current_time())
        return SourceReport(
            state=state,
            kind=self.source.kind,
            next_due_at=None if wait_s is None else self._now() + timedelta(seconds=wait_s),
            pulls=self.pulls,
            failures=self.failures,
            problems=dict(self.problems),
            latency_s=self.latency_s,
        )

    async def fetch_event(self, source_event_id: str, listing: str | None) -> Observation:
        """Fetch one event now, outside the schedule; a failure is an observation too.

        It waits for a place within the source's concurrency like any pull.
        """
        scope = Scope(events=frozenset({source_event_id}))
        async with self._slots:
            observation, _ = await self._observe(
                lambda: self.source.fetch_event(source_event_id, listing), scope
            )
        return observation

    async def _discover(self) -> None:
        while True:
            wait_s = DISCOVERY_S
            started_at = self._now()
            try:
                pulls = await self.source.pulls()
            except Exception as error:  # a crash in a source stays in that source
                observation = self._failed(error, started_at, Scope())
                await self._send.send(Fetched("discovery", observation))
                wait_s = _DISCOVERY_RETRY_S
            else:
                self._schedule.update(pulls, trio.current_time())
                self._changed.set()
            await trio.sleep(wait_s)

    async def _next_pull(self) -> Pull:
        while True:
            now = trio.current_time()
            pull = self._schedule.take(now)
            if pull is not None:
                return pull
            due = self._schedule.next_due()
            self._changed = trio.Event()
            with trio.move_on_at(now + DISCOVERY_S if due is None else due):
                await self._changed.wait()

    async def _pull(self, pull: Pull) -> None:
        started = trio.current_time()
        try:
            observation, retry_after_s = await self._observe(
                lambda: self.source.fetch(pull), Scope(listing=pull.key)
            )
            self.latency_s = trio.current_time() - started
            failed = observation.completeness is Completeness.FAILED
            self._failures_in_row = self._failures_in_row + 1 if failed else 0
            await self._send.send(Fetched(pull.key, observation))
        finally:
            self._slots.release_on_behalf_of(pull)
        self._schedule.finished(pull, started, self._failures_in_row, retry_after_s)
        self._changed.set()

    async def _observe(
        self, fetch: Callable[[], Awaitable[Observation]], scope: Scope
    ) -> tuple[Observation, float | None]:
        """The observation of a fetch, and how long the source asks to be left alone."""
        self.pulls += 1
        started_at = self._now()
        try:
            observation = await fetch()
        except Exception as error:  # a crash in a source stays in that source
            retry_after_s = error.retry_after_s if isinstance(error, SourceError) else None
            return self._failed(error, started_at, scope), retry_after_s
        self.problems.update(observation.problems)
        return observation, None

    def _failed(self, error: Exception, started_at: datetime, scope: Scope) -> Observation:
        self.failures += 1
        if isinstance(error, SourceError):
            kind, reason = error.kind, str(error)
            log.warning("fetch_failed", source=self.source.name, kind=kind, reason=reason)
        else:
            kind, reason = "crash", f"the source crashed: {type(error).__name__}"
            log.error("source_crashed", source=self.source.name, exc_info=error)
        self.problems[kind] += 1
        return Observation(
            source=self.source.name,
            scope=scope,
            completeness=Completeness.FAILED,
            started_at=started_at,
            observed_at=self._now(),
            reason=reason,
            problems={kind: 1},
        )
