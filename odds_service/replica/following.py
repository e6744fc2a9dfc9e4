"""The bus thread of a read node: the follower, and what is heard and asked beside the log."""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

import structlog

from odds_service.bridge import TrioGate
from odds_service.bus.bus import beside
from odds_service.bus.log import Unavailable
from odds_service.bus.opening import open_bus
from odds_service.bus.requests import REFRESH, STATUS
from odds_service.bus.thread import NAME
from odds_service.clock import SteadyClock
from odds_service.config import BusSettings
from odds_service.loop_thread import LoopThread
from odds_service.replica.follower import Follower
from odds_service.replica.replica import Replica, replica_of
from odds_service.replica.upstream import Upstream
from odds_service.serving.server import Server
from odds_service.store import Stored

END_STREAMS_S: Final = 5.0  # for readers to take the last changes of a log that is replaced
_HEAR_AGAIN_S: Final = 1.0

log = structlog.get_logger(__name__)


class Loader(Protocol):
    """The part of a store that loads odds beside their owner."""

    async def warm(self) -> Stored:
        """See Store."""
        ...


class Following:
    """The work of the bus thread.

    Args:
        settings: The settings of the bus.
        replica: The odds that are served.
        upstream: Receives what the node that fetches tells of itself.
        clock: The clocks.

    Attributes:
        follower: The follower; None before `run`.
    """

    def __init__(
        self, settings: BusSettings, replica: Replica, upstream: Upstream, clock: SteadyClock
    ) -> None:
        self.follower: Follower | None = None
        self._settings = settings
        self._replica = replica
        self._upstream = upstream
        self._clock = clock
        self._thread = LoopThread(NAME)

    async def run(self, gate: TrioGate, store: Loader, server: Server) -> None:
        """Follow the log until `request_stop`; runs in Trio.

        Args:
            gate: Leads from the bus thread to this one.
            store: Loads the odds anew where the log does not go on.
            server: Is ready while the odds are those of the log.

        Raises:
            SettingsError: A setting of the bus is wrong.
            StorageError: The database cannot be used any more.

        Cancellation: The thread ends within loop_thread.STOP_DEADLINE_S.
        """
        await self._thread.run(partial(self._main, _Rest(gate, store, server, self._clock)))

    def request_stop(self) -> None:
        """End the following. May be called from any thread."""
        self._thread.request_stop()

    async def ask_refresh(self, body: bytes, within_s: float) -> bytes:
        """Ask the node that fetches for a refresh; runs in Trio.

        Raises:
            LogError: It gives no answer, or the bus is away.
            ConnectionAbortedError: The thread has ended.
        """
        return await self._thread.call(self._ask, body, within_s)

    async def _ask(self, body: bytes, within_s: float) -> bytes:
        if self.follower is None:
            raise Unavailable("the bus is not open yet")
        subject = beside(self._settings.subject, REFRESH)
        return await self.follower.bus.ask(subject, body, within_s)

    async def _main(self, rest: "_Rest", stop: asyncio.Event) -> None:
        opens = partial(open_bus, self._settings)
        self.follower = follower = Follower(self._replica, opens, rest, self._clock.wall)
        tasks = [asyncio.create_task(each) for each in (follower.run(), self._hear(follower))]
        for task in tasks:
            task.add_done_callback(lambda _: stop.set())
        try:
            await stop.wait()
            for task in tasks:
                if task.done():
                    task.result()  # its error ends the node
        finally:
            for task in tasks:
                task.cancel()
            # They are cancelled, and the bus bounds its own end.
            await asyncio.gather(*tasks, return_exceptions=True)  # noqa: ASYNC102

    async def _hear(self, follower: Follower) -> None:
        subject = beside(self._settings.subject, STATUS)
        while True:
            await follower.bus.hear(subject, self._upstream.take)
            await asyncio.sleep(_HEAR_AGAIN_S)  # the follower has opened the bus again


class _Rest:
    """The rest of the node, for the follower; on the bus thread."""

    def __init__(self, gate: TrioGate, store: Loader, server: Server, clock: SteadyClock) -> None:
        self._call = gate.call
        self._store = store
        self._server = server
        self._clock = clock

    async def load(self) -> Replica:
        """See follower.Node."""
        stored = await self._call(self._store.warm)
        return replica_of(stored, self._clock.reading)

    async def set_ready(self, ready: bool) -> None:
        """See follower.Node."""
        with suppress(ConnectionAbortedError):  # the server has ended
            await self._call(self._server.set_serving, ready)

    async def end_streams(self) -> None:
        """See follower.Node."""
        with suppress(ConnectionAbortedError):
            await self._call(self._server.end_streams, END_STREAMS_S)

    async def reopen_streams(self) -> None:
        """See follower.Node."""
        with suppress(ConnectionAbortedError):
            await self._call(self._server.reopen_streams)
