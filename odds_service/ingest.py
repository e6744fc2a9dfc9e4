"""The owner's side of the bus: it takes the log over, sends what detect makes, and answers."""

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from itertools import count
from typing import Final, Protocol

import structlog
import trio

from odds_service.bridge import TrioGate
from odds_service.bus.bus import beside
from odds_service.bus.log import Gone, LogError, MadeAnew, Unavailable
from odds_service.bus.opening import open_bus
from odds_service.bus.outbox import Outbox, RingTooShort
from odds_service.bus.requests import (
    REFRESH,
    STATUS,
    OwnerState,
    RefreshError,
    decode_ask,
    encode_outcome,
    encode_state,
)
from odds_service.bus.taking_over import Taken, no_stream, take_over
from odds_service.bus.thread import BusThread, open_bus_thread
from odds_service.config import BusSettings, Role, Settings
from odds_service.errors import NotDurableYet, NotFetchedYet, StorageUnavailable, UnknownEvent
from odds_service.feed import ChangeFeed
from odds_service.model.refresh import RefreshOutcome
from odds_service.model.source import SourceState
from odds_service.status import BusReport
from odds_service.store import Opening, Store

RENEW_S: Final = 1.0  # between two promises of the owner to live
TELL_S: Final = 1.0  # between two messages about the owner's state
RETELL: Final = 10  # messages between two that go with the states of all sources

# For callers of WatchChanges. What this node shows may never reach the bus, if it dies.
WATCH_ELSEWHERE: Final = (
    "an ingest node serves no streams of changes; watch a node with the role `read`"
)

Refresh = Callable[[str, float], Awaitable[RefreshOutcome]]

log = structlog.get_logger(__name__)


class Renewing(Protocol):
    """The part of a store that renews the owner's promise."""

    async def renew(self) -> None:
        """See Store."""
        ...


class StandbyBus:
    """The bus of an ingest node that does not own the log yet.

    Args:
        settings: The settings of the bus.
        thread: The open bus.
    """

    def __init__(self, settings: BusSettings, thread: BusThread) -> None:
        self._settings = settings
        self._thread = thread

    async def look(self) -> None:
        """Look whether the stream is there, as a standby should learn before it is needed.

        A bus that is away is only logged, since it may come back. The look has a connection of its
        own: that of the node would remember the stream, and until the node needs it, another may
        have been made.

        Raises:
            LogError: There is no stream.
        """

        async def look() -> None:
            bus = open_bus(self._settings)
            try:
                await bus.log.info()
            finally:
                await bus.aclose()  # noqa: ASYNC102  # asyncio's; it closes a socket

        try:
            await self._thread.call(look)
        except Unavailable as error:
            log.warning("bus_away", reason=str(error))
        except Gone:
            raise no_stream(self._settings.stream) from None

    async def take_over(self, store: Store, opening: Opening) -> Taken:
        """Take over the log of the database and of the stream; see bus.taking_over."""
        call, bus = self._thread.call, self._thread.bus
        return await take_over(store, bus.log, call, self._settings.stream, opening)

    def owned(self, taken: Taken, feed: ChangeFeed) -> "OwnerBus":
        """Return the bus for the log that was taken over; nothing is sent yet.

        Args:
            taken: The log.
            feed: The feed that continues it.
        """
        return OwnerBus(self._settings, self._thread, taken, feed)


class OwnerBus:
    """The bus of the ingest node that owns the log.

    Args:
        settings: The settings of the bus.
        thread: The open bus.
        taken: The log as it was taken over.
        feed: The feed that continues it.
    """

    def __init__(
        self, settings: BusSettings, thread: BusThread, taken: Taken, feed: ChangeFeed
    ) -> None:
        self._settings = settings
        self._thread = thread
        self._taken = taken
        self._feed = feed
        self.node = f"{socket.gethostname()} (process {os.getpid()})"
        self.outbox = Outbox(feed, feed.head_revision)

    async def run(self) -> None:
        """Send all commits until the outbox is closed and everything acknowledged.

        Raises:
            Fenced: Another node has taken the log over.
            LogError: The log on the bus was lost; a new start takes it over as it is then.

        Cancellation: What is not acknowledged is in the database or the spill, as everything is;
        the next owner's epoch begins behind it.
        """
        opened, sequence = self._taken.opened, self._taken.sequence
        try:
            await self._thread.call(self.outbox.run, self._thread.bus.log, opened, sequence)
        except Gone:
            raise no_stream(self._settings.stream) from None
        except (MadeAnew, RingTooShort) as error:
            raise LogError(f"{error}; start again to take the log over as it is") from None

    async def answer_refreshes(self, refresh: Refresh, gate: TrioGate) -> None:
        """Answer the refreshes of read nodes, until cancelled.

        Args:
            refresh: See Refresher.refresh.
            gate: Leads to the Trio thread.
        """

        async def work(body: bytes) -> bytes:
            ask = decode_ask(body)
            outcome: RefreshOutcome | RefreshError
            try:
                outcome = await gate.call(refresh, ask.event_id, ask.deadline_s)
            except (UnknownEvent, NotDurableYet, NotFetchedYet) as error:
                outcome = error
            return encode_outcome(ask.event_id, outcome)

        subject = beside(self._settings.subject, REFRESH)
        await self._thread.call(self._thread.bus.answer, subject, work)

    async def tell_state(
        self, now: Callable[[], datetime], sources: Mapping[str, SourceState]
    ) -> None:
        """Tell the other nodes of this one every TELL_S seconds, until cancelled.

        At every RETELL-th time all states of sources go to the log: a node that has just started
        knows only what was announced.

        Args:
            now: Returns the wall clock.
            sources: The states of the sources, by name.
        """
        subject, feed = beside(self._settings.subject, STATUS), self._feed
        for number in count():
            if number % RETELL == 0:
                for each in sources.values():
                    self.outbox.refresh(each)
            head = feed.cursor
            state = OwnerState(
                self.node, head.epoch, head.revision, feed.durable_revision, now(),
                self.outbox.reason,
            )  # fmt: skip
            await self._thread.call(self._thread.bus.tell, subject, encode_state(state))
            await trio.sleep(TELL_S)

    def report(self) -> BusReport:
        """Return this node's side of the bus, for GetStatus and metrics. Thread-safe."""
        outbox = self.outbox
        return BusReport(
            role=Role.INGEST.value,
            state="retrying" if outbox.reason else "sending",
            reason=outbox.reason,
            messages=outbox.messages,
            pending_changes=outbox.pending_changes,
            capacity=outbox.capacity,
            acknowledged=outbox.messages,
            ack_total_s=outbox.ack_total_s,
            tails_rewritten=outbox.tails_rewritten,
            sequence=outbox.sequence,
            upstream=self.node,
            upstream_age_s=0.0,
            fenced=outbox.fenced,
        )


@asynccontextmanager
async def ingest_bus(settings: Settings) -> AsyncIterator[StandbyBus | None]:
    """Open the bus of an ingest node; yield None to a process without one.

    Raises:
        SettingsError: A setting of the bus is wrong.
        LogError: There is no stream on the bus.
    """
    if settings.role is not Role.INGEST:
        yield None
        return
    async with open_bus_thread(partial(open_bus, settings.bus)) as thread:
        bus = StandbyBus(settings.bus, thread)
        await bus.look()
        yield bus


@asynccontextmanager
async def renewing(store: Renewing) -> AsyncIterator[None]:
    """Promise every RENEW_S seconds that this owner lives.

    Raises:
        Superseded: Another process took over the database; the body is cancelled.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_renew, store)
        yield
        nursery.cancel_scope.cancel()


async def _renew(store: Renewing) -> None:
    away = False
    while True:
        try:
            await store.renew()
            away = False
        except StorageUnavailable as error:
            if not away:
                log.warning("promise_not_renewed", reason=str(error))
            away = True
        await trio.sleep(RENEW_S)
