"""A worker: opens the sources that the service names, and makes its calls into them.

It lives as long as its connection, a UNIX socket without a name that it has inherited. SIGINT and
SIGTERM, which a terminal and systemd send to all processes of a service, are left to the service.
"""

import fcntl
import os
import resource
import signal
import socket
import sys
import time
from contextlib import AsyncExitStack
from typing import Final

import structlog
import trio

from odds_service.config import hide_in_tables
from odds_service.errors import SettingsError
from odds_service.logs import configure_logs, set_level
from odds_service.sources.access import access_of
from odds_service.sources.base import Source, asks_of
from odds_service.sources.registry import open_source
from odds_service.workers.frames import Frames
from odds_service.workers.messages import (
    Cancel,
    ClockMoved,
    Close,
    Closed,
    Discover,
    Fetch,
    FetchEvent,
    Forget,
    Open,
    Opened,
    Ping,
    Pong,
    Refused,
    SetLevel,
    Start,
    ToWorker,
    to_worker,
)
from odds_service.workers.serving import Serving

_KILOBYTE: Final = 1024  # the unit of ru_maxrss on Linux

log = structlog.get_logger(__name__)


def main() -> None:
    """Run a worker on the descriptors that the command line names."""
    connection, life = (int(each) for each in sys.argv[1:])
    _end_with(life)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    trio.run(_run, socket.socket(fileno=connection))


def _end_with(life: int) -> None:
    """Let the kernel end this process when the other end of a pipe is closed.

    Nothing is ever written there, so a SIGIO tells that the service is gone. Its default is to end
    the process, which holds for one whose interpreter stands, too.
    """
    fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
    os.set_blocking(life, False)
    try:
        gone = os.read(life, 1) == b""
    except BlockingIOError:
        gone = False
    if gone:  # before the signal was asked for
        sys.exit(0)


async def _run(connection: socket.socket) -> None:
    frames = Frames(trio.SocketStream(trio.socket.from_stdlib_socket(connection)), to_worker)
    start = await frames.receive()
    if not isinstance(start, Start):
        return
    configure_logs(start.log_level, start.log_format)
    structlog.contextvars.bind_contextvars(worker=start.worker)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(frames.pump)
        await _Worker(frames, nursery).run()
        nursery.cancel_scope.cancel()


class _Worker:
    """The open sources of this process, and the calls under way."""

    def __init__(self, frames: Frames[ToWorker], nursery: trio.Nursery) -> None:
        self._frames = frames
        self._nursery = nursery
        self._sources: dict[int, Serving] = {}
        self._opening: dict[int, trio.CancelScope] = {}

    async def run(self) -> None:
        """Do what the service asks for, until the connection ends."""
        while (message := await self._frames.receive()) is not None:
            await self._do(message)

    async def _do(self, message: ToWorker) -> None:
        match message:
            case Open():
                self._nursery.start_soon(self._hold, message)
            case Discover() | Fetch() | FetchEvent():
                serving = self._sources.get(message.source)
                if serving is not None:  # else it has just ended, and Closed tells so
                    self._nursery.start_soon(serving.answer, message)
            case Cancel():
                for serving in self._sources.values():
                    serving.cancel(message.call)
            case Close():
                if message.source in self._sources:
                    self._sources[message.source].released.set()
                elif message.source in self._opening:
                    self._opening[message.source].cancel()
                else:  # it was refused, or has ended by itself
                    await self._frames.send(Closed(message.source))
            case ClockMoved():
                if message.source in self._sources:
                    self._sources[message.source].clock_moved(message)
            case Forget():
                if message.source in self._sources:
                    self._sources[message.source].sent.clear()
            case Ping():
                used = resource.getrusage(resource.RUSAGE_SELF)
                pong = Pong(used.ru_utime + used.ru_stime, used.ru_maxrss * _KILOBYTE)
                await self._frames.send(pong)
            case SetLevel():
                set_level(message.level)

    async def _hold(self, message: Open) -> None:
        """Hold a source open until it is released; an error ends nothing else."""
        number = message.source
        hide_in_tables(message.table)
        name = str(message.table.get("name", message.table.get("kind")))
        with trio.CancelScope() as opening:
            self._opening[number] = opening
            try:
                async with AsyncExitStack() as stack:
                    source = await stack.enter_async_context(open_source(message.table))
                    del self._opening[number]
                    self._sources[number] = serving = self._serving(message, source)
                    await self._frames.send(_opened(number, source, serving))
                    await serving.released.wait()
                    del self._sources[number]
                    serving.cancel_all()
            except Exception as error:  # of the plug-in: it must not end the others
                opened, text = number not in self._opening, str(error)
                if opened or not isinstance(error, SettingsError):
                    kind = "close" if opened else "open"
                    log.error("source_crashed", source=name, kind=kind, exc_info=error)
                    what = f"it could not be opened: {type(error).__name__}; see the log"
                    text = f"sources ({name}): {what}"
                if not opened:
                    await self._frames.send(Refused(number, text))
                    return
            finally:
                self._opening.pop(number, None)
                ended = self._sources.pop(number, None)
                if ended is not None:
                    ended.cancel_all()
        await self._frames.send(Closed(number))

    def _serving(self, message: Open, source: Source) -> Serving:
        access = access_of(source)
        access.keep_to(
            source.pace,
            day_offset_s=time.time() - trio.current_time(),
            most_wait_s=message.limits.max_retry_after_s,
        )
        return Serving(message.source, source, access, message.limits, self._frames)


def _opened(number: int, source: Source, serving: Serving) -> Opened:
    return Opened(number, source.kind, source.pace, asks_of(source), serving.access.policy)
