"""A source that runs in a worker, as the rest of the service sees it."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Final

import msgspec
import trio
from msgspec.structs import replace

from odds_service.clock import Clock
from odds_service.errors import SettingsError, SourceError
from odds_service.model.asks import Asks
from odds_service.model.observation import Observation
from odds_service.sources.access import Access
from odds_service.sources.base import Offer, Pace, Pull
from odds_service.sources.boundary import Limits
from odds_service.sources.calls import CallsInto
from odds_service.workers.connection import Call, WorkerEnded, failure
from odds_service.workers.messages import (
    ClockMoved,
    Discover,
    Fetch,
    FetchEvent,
    Open,
    Opened,
)
from odds_service.workers.worker import Worker

WAIT_S: Final = 30.0  # the longest wait of a call for a worker that is started again
WORKER_ENDED: Final = "worker_ended"
OPEN_S: Final = 90.0  # for a worker to start and to open a source
_END_S: Final = 10.0  # for a source to close

_numbers: Final = count(1)


class RemoteSource:
    """A source that a worker holds open.

    Attributes:
        name: the name from its settings.
        access: the service's half of its policy, which counts the pulls; the worker's half counts
            the requests. What either learns of pauses, the other is told.
    """

    def __init__(self, name: str, number: int, worker: Worker, opened: Opened) -> None:
        self.name = name
        self.access = Access(opened.policy)
        self.worker = worker
        self.number = number
        self._opened = opened

    @property
    def kind(self) -> str:
        return self._opened.kind

    @property
    def pace(self) -> Pace:
        return self._opened.pace

    def asks(self) -> Asks:
        """Return the parts of the offer that the source is asked for."""
        return self._opened.asks

    def calls(self, clock: Clock) -> "RemoteCalls":
        """Return the calls into the source, whose answers the clock dates."""
        return RemoteCalls(self, clock)


@asynccontextmanager
async def open_remote(
    name: str, table: dict[str, Any], limits: Limits, worker: Worker
) -> AsyncIterator[RemoteSource]:
    """Open a source in a worker, and close it at the exit.

    Args:
        name: its name.
        table: its table in the settings.
        limits: the limits for its answers.
        worker: the worker.

    Raises:
        SettingsError: The worker could not open it; the text names the reason.
    """
    number = next(_numbers)
    opened: Opened | None = None
    await worker.open(Open(number, table, limits))
    try:
        with trio.move_on_after(OPEN_S):
            _, end = await worker.reach(number)
            if end.refused is not None:
                raise SettingsError(end.refused.text)
            opened = end.opened
        if opened is None:
            text = f"sources ({name}): worker {worker.number} did not open it within {OPEN_S:g} s"
            raise SettingsError(text)
        yield RemoteSource(name, number, worker, opened)
    finally:
        with trio.move_on_after(_END_S, shield=True):
            await worker.close(number)


class RemoteCalls(CallsInto):
    """The calls into a source of a worker; see SourceCalls.

    A call whose worker ends is made once more, in the next process.
    """

    def __init__(self, source: RemoteSource, clock: Clock) -> None:
        super().__init__(source)
        self._source = source
        self._clock = clock
        self._moved: tuple[float, float] | None = None

    async def discover(self) -> Offer:
        """Return the valid part of the source's offer."""
        number = self._source.number
        call = await self._call(lambda each: Discover(each, number, self._held_s()), Counter())
        if call.offer is None:
            raise SourceError(WORKER_ENDED, "the worker answered something else")
        return call.offer

    async def fetch(self, pull: Pull, problems: Counter[str]) -> Observation:
        """Make one pull; cancelling ends it in the worker."""
        number = self._source.number
        return await self._observation(
            lambda call: Fetch(call, number, self._held_s(), pull), problems
        )

    async def fetch_event(
        self, source_event_id: str, listing: str | None, problems: Counter[str]
    ) -> Observation:
        """Fetch one event on demand; cancelling ends it in the worker."""
        number = self._source.number
        return await self._observation(
            lambda call: FetchEvent(call, number, self._held_s(), source_event_id, listing),
            problems,
        )

    def clock_moved(self, day_offset_s: float, slept_s: float) -> None:
        """Tell the worker before its next call."""
        before_s = 0.0 if self._moved is None else self._moved[1]
        self._moved = day_offset_s, before_s + slept_s

    async def _observation(
        self, make: Callable[[int], msgspec.Struct], problems: Counter[str]
    ) -> Observation:
        call = await self._call(make, problems)
        if call.observation is None or call.arrived is None:
            raise SourceError(WORKER_ENDED, "the worker answered something else")
        at, boot_s = call.arrived
        problems.update(call.observation.problems)
        events = tuple(call.events)
        return replace(call.observation, events=events, observed_at=at, observed_boot_s=boot_s)

    async def _call(self, make: Callable[[int], msgspec.Struct], problems: Counter[str]) -> Call:
        """Make a call, once more if its worker ends.

        Raises:
            SourceError: The call failed there, or the worker is not back within WAIT_S.
        """
        source = self._source
        for _ in range(2):
            reached = source.worker.at_hand(source.number)
            if reached is None:
                with trio.move_on_after(WAIT_S):
                    reached = await source.worker.reach(source.number)
            if reached is None:
                break
            connection, end = reached
            if end.refused is not None:  # by the new process alone: a key file may be gone
                raise SourceError(WORKER_ENDED, end.refused.text)
            if self._moved is not None:
                moved, self._moved = self._moved, None
                await connection.send(ClockMoved(source.number, *moved))
            try:
                call = await connection.call(source.number, self._clock, make)
            except WorkerEnded:
                continue
            if call.failed is not None:
                problems.update(call.failed.problems)
                raise failure(call.failed)
            return call
        text = f"worker {source.worker.number}, which fetches it, ended or hangs"
        raise SourceError(WORKER_ENDED, text)

    def _held_s(self) -> float:
        return self.access.held_s(trio.current_time())
