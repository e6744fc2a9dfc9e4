"""The service's end of one worker's connection: its open sources and the calls under way."""

from collections.abc import Callable
from datetime import datetime
from itertools import count
from typing import Final

import msgspec
import structlog
import trio

from odds_service.clock import Clock
from odds_service.errors import SourceError
from odds_service.model.observation import Observation, ObservedEvent
from odds_service.sources.base import Offer
from odds_service.workers.frames import FrameError, Frames
from odds_service.workers.messages import (
    Answered,
    Arrived,
    Cancel,
    Closed,
    Failed,
    Forget,
    Offered,
    Opened,
    Part,
    Ping,
    Pong,
    Refused,
    ToService,
)
from odds_service.workers.mirror import Doubt, Mirror

BEAT_S: Final = 1.0  # between two questions whether the worker's loop runs
HANGS_S: Final = 15.0  # without an answer: the worker is ended
START_S: Final = 60.0  # for the first answer


log = structlog.get_logger(__name__)


class WorkerEnded(Exception):
    """The worker or its connection ended without an answer; a repeated call may have one."""


class Call:
    """A call under way; the connection fills it in, and sets `done` at its end.

    Attributes:
        source: the number of the source.
        observation: the answer to a fetch, without the events, which came in parts.
        events: its events so far.
        doubted: true if the answer was lost, since a difference built on something unknown.
        arrived: the times, by the service's clocks, at which the whole answer had arrived.
    """

    def __init__(self, source: int, clock: Clock) -> None:
        self.source = source
        self.done = trio.Event()
        self.offer: Offer | None = None
        self.observation: Observation | None = None
        self.failed: Failed | None = None
        self.doubted = False
        self.arrived: tuple[datetime, float] | None = None
        self.events: list[ObservedEvent] = []
        self._clock = clock

    def arrive(self) -> None:
        self.arrived = self._clock.wall(), self._clock.boot_s()

    def add(self, events: list[ObservedEvent]) -> None:
        self.events += events

    def answer(self, message: Offered | Answered | Failed) -> None:
        match message:
            case Offered():
                self.offer = message.offer
            case Answered():
                if self.arrived is None:
                    self.arrive()
                self.observation = message.observation
            case Failed():
                self.failed = message
        self.done.set()


class RemoteEnd:
    """A source as one connection knows it.

    Attributes:
        asked_at: Trio's time at which the worker was asked to open it.
        opened: what the worker said of it; None until then.
        refused: the worker's refusal to open it.
        settled: set once it is opened or refused, or the connection has ended.
        closed: set once the worker has closed it, or the connection has ended.
    """

    def __init__(self, asked_at: float) -> None:
        self.asked_at = asked_at
        self.mirror = Mirror()
        self.opened: Opened | None = None
        self.refused: Refused | None = None
        self.settled = trio.Event()
        self.closed = trio.Event()


class Connection:
    """One life of a worker.

    Attributes:
        ends: the sources that were opened over it, by number.
        pong: the worker's last sign of life, None before the first.
        ended: set at its end; no call is answered afterwards.
    """

    def __init__(self, frames: Frames[ToService]) -> None:
        self.ends: dict[int, RemoteEnd] = {}
        self.pong: Pong | None = None
        self.ended = trio.Event()
        self._frames = frames
        self._calls: dict[int, Call] = {}
        self._numbers = count(1)
        self._heard = trio.Event()
        self._unheard = 0  # beats since the last message

    async def send(self, message: msgspec.Struct) -> None:
        """Enqueue a message; cancelling sends nothing."""
        await self._frames.send(message)

    async def call(self, source: int, clock: Clock, make: Callable[[int], msgspec.Struct]) -> Call:
        """Make a call, and return it once it is answered.

        Args:
            source: the number of the source.
            clock: dates the answer.
            make: makes the message from the number of the call.

        Raises:
            WorkerEnded: The connection or the source ended before, or the answer was doubted.

        Cancellation:
            Ends the call in the worker, too.
        """
        number, call = next(self._numbers), Call(source, clock)
        if self.ended.is_set():
            raise WorkerEnded
        self._calls[number] = call
        try:
            await self.send(make(number))
            await call.done.wait()
        finally:
            del self._calls[number]
            if not call.done.is_set() and not self.ended.is_set():
                with trio.move_on_after(BEAT_S, shield=True):
                    await self.send(Cancel(number))
        if call.doubted or not (call.offer or call.observation or call.failed):
            raise WorkerEnded
        return call

    async def run(self) -> str:
        """Take the worker's messages until its connection ends; return the reason."""
        reason = f"it has not answered for {HANGS_S:g} s"
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._frames.pump)
                nursery.start_soon(self._beat, nursery.cancel_scope)
                try:
                    while (message := await self._frames.receive()) is not None:
                        await self._take(message)
                    reason = "its process ended"
                except FrameError as error:
                    reason = str(error)
                nursery.cancel_scope.cancel()
        finally:
            self._end()
        return reason

    async def _beat(self, scope: trio.CancelScope) -> None:
        """Ask for signs of life, and cancel the scope when they do not come.

        Beats are counted, since after a pause of this process much time has passed at once.
        """
        with trio.move_on_after(START_S):  # a busy machine takes long to import it all
            await self.send(Ping())
            await self._heard.wait()
        while self._heard.is_set() and self._unheard * BEAT_S <= HANGS_S:
            with trio.move_on_after(BEAT_S):
                await self.send(Ping())
            await trio.sleep(BEAT_S)
            self._unheard += 1
        scope.cancel()

    async def _take(self, message: ToService) -> None:
        self._unheard = 0
        self._heard.set()
        match message:
            case Part():  # or Answered, which is one
                await self._take_part(message)
            case Arrived():
                if (call := self._calls.get(message.call)) is not None:
                    call.arrive()
            case Offered() | Failed():
                if (call := self._calls.get(message.call)) is not None:
                    call.answer(message)
            case Opened() | Refused() | Closed():
                if (end := self.ends.get(message.source)) is not None:
                    self._settle(end, message)
            case Pong():
                self.pong = message

    async def _take_part(self, part: Part) -> None:
        """Apply differences, also those of a call that was cancelled: the next build on them."""
        end = self.ends.get(part.source)
        if end is None:  # closed meanwhile
            return
        call = self._calls.get(part.call)
        try:
            events = [end.mirror.take(delta) for delta in part.events]
        except Doubt as doubt:
            log.warning("worker_doubted", reason=str(doubt))
            end.mirror = Mirror()
            await self.send(Forget(part.source))
            if call is not None:
                call.doubted = True
                call.done.set()
            return
        for source_event_id in part.forgotten:
            end.mirror.forget(source_event_id)
        if call is not None:
            call.add(events)
            if isinstance(part, Answered):
                call.answer(part)

    def _settle(self, end: RemoteEnd, message: Opened | Refused | Closed) -> None:
        match message:
            case Opened():
                end.opened = message
            case Refused():
                end.refused = message
            case Closed():
                # If nobody asked for it, the source has crashed, and is opened again later.
                end.refused = Refused(message.source, "the source ended by itself; see the log")
                end.closed.set()
                for call in self._calls.values():
                    if call.source == message.source:
                        call.done.set()
        end.settled.set()

    def _end(self) -> None:
        self.ended.set()
        for end in self.ends.values():
            end.settled.set()
            end.closed.set()
        for call in self._calls.values():
            call.done.set()


def failure(failed: Failed) -> SourceError:
    """Return the exception of a call that failed in the worker."""
    return SourceError(failed.kind, failed.reason, retry_after_s=failed.retry_after_s)
