"""The calls into one source of a worker, and their answers as differences."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from math import inf
from typing import Final

import structlog
import trio
from msgspec.structs import replace

from odds_service.errors import SourceError
from odds_service.model.observation import Observation, ObservedEvent
from odds_service.sources.access import Access
from odds_service.sources.base import Source
from odds_service.sources.boundary import Gate, Limits
from odds_service.sources.containment import SourceFailed, contained
from odds_service.sources.failures import failure_of
from odds_service.workers.frames import Frames, TooLarge
from odds_service.workers.messages import (
    Answered,
    Arrived,
    ClockMoved,
    Discover,
    Failed,
    Fetch,
    FetchEvent,
    Offered,
    Part,
    ToWorker,
)
from odds_service.workers.sending import Sent

EVENTS: Final = 8  # in one message: keeps the pauses short at both ends
TOO_LARGE: Final = "too_large"  # a problem: an event that exceeds a frame

log = structlog.get_logger(__name__)


class Serving:
    """An open source of a worker.

    Attributes:
        access: the policy of its requests.
        sent: what was sent last of its events.
        released: set when the service closes the source.
    """

    def __init__(
        self,
        number: int,
        source: Source,
        access: Access,
        limits: Limits,
        frames: Frames[ToWorker],
    ) -> None:
        self.sent = Sent()
        self.released = trio.Event()
        self._number = number
        self._source = source
        self.access = access
        self._gate = Gate(source.name, limits)
        self._frames = frames
        self._calls: dict[int, trio.CancelScope] = {}

    def cancel(self, call: int) -> None:
        """End a call, if it is one of this source and under way."""
        if call in self._calls:
            self._calls[call].cancel()

    def cancel_all(self) -> None:
        for scope in self._calls.values():
            scope.cancel()

    def clock_moved(self, message: ClockMoved) -> None:
        """Adjust the pauses of the source's requests."""
        self.access.moved(trio.current_time(), message.day_offset_s, message.slept_s)

    async def answer(self, message: Discover | Fetch | FetchEvent) -> None:
        """Make a call and send its answer."""
        now = trio.current_time()
        if message.held_s > self.access.held_s(now):
            self.access.hold(now + message.held_s)
        problems: Counter[str] = Counter()
        with trio.CancelScope() as scope:
            self._calls[message.call] = scope
            try:
                await self._answer(message, problems)
            except (SourceFailed, SourceError) as raised:
                await self._frames.send(self._failed(message.call, raised, problems))
            finally:
                del self._calls[message.call]

    async def _answer(self, message: Discover | Fetch | FetchEvent, problems: Counter[str]) -> None:
        source = self._source
        match message:
            case Discover():
                offer = self._gate.offer(await contained(source.discover))
                await self._frames.send(Offered(message.call, offer))
            case Fetch():
                pull = message.pull
                await self._observe(message.call, lambda: source.fetch(pull), problems)
            case FetchEvent():
                asked = message.source_event_id, message.listing
                await self._observe(message.call, lambda: source.fetch_event(*asked), problems)

    async def _observe(
        self, call: int, fetch: Callable[[], Awaitable[Observation]], problems: Counter[str]
    ) -> None:
        started_at = datetime.now(UTC)
        given = await contained(fetch)
        if _is_large(given):
            await self._frames.send(Arrived(call))
        observation = await self._gate.admit(
            given, problems, started_at=started_at, observed_at=datetime.now(UTC)
        )
        events, end = observation.events, replace(observation, events=())
        while len(events) > EVENTS:
            end = await self._send(call, events[:EVENTS], end)
            events = events[EVENTS:]
            await trio.lowlevel.checkpoint()
        await self._send(call, events, end, last=True)

    async def _send(
        self, call: int, events: tuple[ObservedEvent, ...], end: Observation, *, last: bool = False
    ) -> Observation:
        """Send events as differences, one by one if they exceed a frame together.

        Args:
            call: the number of the call.
            events: some of its events.
            end: the observation without events, which the last message has.
            last: whether this is the last message.

        Returns:
            `end`, with a problem for each event that exceeds a frame alone.
        """

        def part() -> Part:
            now_s = time.monotonic()
            deltas = [self.sent.delta(event, now_s) for event in events]
            forgotten = self.sent.forget(now_s)
            if last:
                return Answered(call, self._number, deltas, forgotten, end)
            return Part(call, self._number, deltas, forgotten)

        try:
            await self._frames.send_made(part)
        except TooLarge:
            for event in events:
                self.sent.drop(event.source_event_id)
            if len(events) == 1:
                end = _without(events[0], end)
            else:
                for event in events:
                    end = await self._send(call, (event,), end)
            if last:
                await self._send(call, (), end, last=True)
        return end

    def _failed(
        self, call: int, raised: SourceFailed | SourceError, problems: Counter[str]
    ) -> Failed:
        error = raised.error if isinstance(raised, SourceFailed) else raised
        failure = failure_of(error, inf)
        if not isinstance(error, SourceError):
            log.error("source_crashed", source=self._source.name, kind=failure.kind, exc_info=error)
        return Failed(call, failure.kind, failure.reason, failure.wait_s, dict(problems))


def _is_large(given: object) -> bool:
    """Return whether an answer takes so long to read that its arrival has to be told before.

    The value is the source's, and may be anything.
    """
    events = getattr(given, "events", ())
    return type(events) is tuple and len(events) > EVENTS


def _without(event: ObservedEvent, end: Observation) -> Observation:
    """Return the end of an answer without an event that exceeds a frame."""
    problems = dict(end.problems)
    problems[TOO_LARGE] = problems.get(TOO_LARGE, 0) + 1
    unreadable = end.unreadable | {event.source_event_id}
    return replace(end, problems=problems, unreadable=unreadable)
