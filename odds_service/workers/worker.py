"""The service's side of one worker process: it is started, watched, and started again."""

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog
import trio

from odds_service.sources.access import backoff
from odds_service.status import WorkerReport
from odds_service.workers.connection import Connection, RemoteEnd
from odds_service.workers.frames import Frames
from odds_service.workers.messages import Close, Open, SetLevel, Start, to_service

FIRST_BACKOFF_S: Final = 0.5
MOST_BACKOFF_S: Final = 30.0
REOPEN_S: Final = 10.0
_STEADY_S: Final = 60.0  # a worker that lived so long is started again without a longer pause
_END_S: Final = 5.0  # for a process to end after its connection; then it is killed

log = structlog.get_logger(__name__)


class Worker:
    """A worker process, and the sources that it holds open.

    Args:
        number: its number in logs and metrics.
        log_level: the lowest level that it logs.
        log_format: the form of its log.

    Attributes:
        restarts: how often it was started again.
        up: whether its process runs.
    """

    def __init__(self, number: int, log_level: str, log_format: str) -> None:
        self.number = number
        self.restarts = 0
        self._level = log_level
        self._format = log_format
        self._opens: dict[int, Open] = {}
        self._connection: Connection | None = None
        self._changed = trio.Event()
        self._cpu_s = 0.0  # of former processes

    @property
    def up(self) -> bool:
        return self._connection is not None

    @property
    def sources(self) -> int:
        """The number of sources that it holds open, or will."""
        return len(self._opens)

    @property
    def cpu_s(self) -> float:
        """Processor time in seconds, as of the last sign of life, of all its processes."""
        pong = None if self._connection is None else self._connection.pong
        return self._cpu_s + (0.0 if pong is None else pong.cpu_s)

    @property
    def memory_bytes(self) -> int:
        """The most resident memory of its present process so far; 0 if unknown."""
        pong = None if self._connection is None else self._connection.pong
        return 0 if pong is None else pong.memory_bytes

    def report(self) -> WorkerReport:
        """Return its state, for metrics."""
        return WorkerReport(
            number=self.number,
            up=self.up,
            sources=self.sources,
            restarts=self.restarts,
            cpu_s=self.cpu_s,
            memory_bytes=self.memory_bytes,
        )

    async def run(self) -> None:
        """Keep the process running until cancelled, then end it.

        Cancellation:
            Closes the worker's sources; a process that does not end in time is killed.
        """
        failures = 0
        while True:
            began = trio.current_time()
            try:
                reason = await self._live()
            except OSError as error:
                reason = f"it could not be started: {error.strerror}"
            steady = trio.current_time() - began > _STEADY_S
            failures = 1 if steady else failures + 1
            wait_s = FIRST_BACKOFF_S * backoff(failures, MOST_BACKOFF_S / FIRST_BACKOFF_S)
            log.error("worker_ended", worker=self.number, reason=reason, again_in_s=wait_s)
            await trio.sleep(wait_s)
            self.restarts += 1

    async def open(self, message: Open) -> None:
        """Open a source now, and again in each process to come."""
        self._opens[message.source] = message
        if self._connection is not None:
            self._connection.ends[message.source] = RemoteEnd(trio.current_time())
            await self._connection.send(message)

    async def close(self, source: int) -> None:
        """Close a source, and return once it is closed.

        Cancellation:
            The worker closes it nevertheless.
        """
        del self._opens[source]
        connection = self._connection
        if connection is not None and not connection.ended.is_set():
            try:
                await connection.send(Close(source))
                await connection.ends[source].closed.wait()
            finally:
                del connection.ends[source]

    def at_hand(self, source: int) -> tuple[Connection, RemoteEnd] | None:
        """Return the connection over which a source is open, None if `reach` has to wait for it."""
        connection = self._connection
        if connection is None or connection.ended.is_set():
            return None
        end = connection.ends[source]
        return (connection, end) if end.opened is not None and end.refused is None else None

    async def reach(self, source: int) -> tuple[Connection, RemoteEnd]:
        """Return the connection over which a source is open, or was refused, once there is one.

        A source that a new process has refused, as where a key file was missing just then, is
        opened again after REOPEN_S.
        """
        while True:
            changed, connection = self._changed, self._connection
            if connection is None:
                await changed.wait()
                continue
            end = connection.ends[source]
            await end.settled.wait()
            now = trio.current_time()
            if connection.ended.is_set():
                await changed.wait()
            elif end.refused is None or now < end.asked_at + REOPEN_S:
                return connection, end
            elif connection.ends[source] is end:  # no other call has done it
                connection.ends[source] = RemoteEnd(now)
                await connection.send(self._opens[source])

    async def set_level(self, level: str) -> None:
        """Log this level and those above it from now on."""
        self._level = level
        if self._connection is not None:
            await self._connection.send(SetLevel(level))

    async def _live(self) -> str:
        """Run one process to its end; return the reason."""
        async with _process() as stream:
            connection = Connection(Frames(stream, to_service))
            await connection.send(Start(self.number, self._level, self._format))  # before all else
            async with trio.open_nursery() as nursery:
                try:
                    nursery.start_soon(self._open_all, connection)
                    reason = await connection.run()
                finally:
                    self._connection = None
                    self._cpu_s += 0.0 if connection.pong is None else connection.pong.cpu_s
                    self._wake()
                nursery.cancel_scope.cancel()
        return reason

    async def _open_all(self, connection: Connection) -> None:
        """Open the sources in a new process."""
        opens = tuple(self._opens.values())
        now = trio.current_time()
        connection.ends.update((each.source, RemoteEnd(now)) for each in opens)
        self._connection = connection
        self._wake()
        for message in opens:
            await connection.send(message)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


@asynccontextmanager
async def _process() -> AsyncIterator[trio.SocketStream]:
    """Start a worker process and connect it; end it at the exit.

    Its connection is a pair of sockets without a name, which only the two processes have. The
    kernel ends the worker when the service's end of the pipe is closed; see process.
    """
    ours, theirs = socket.socketpair()
    life_theirs, life_ours = os.pipe()
    try:
        with theirs:
            command = [
                sys.executable, "-P", "-m", "odds_service.workers",
                str(theirs.fileno()), str(life_theirs),
            ]  # fmt: skip
            process = await trio.lowlevel.open_process(
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), life_theirs),
                start_new_session=True,  # ^C at the terminal is for the service
            )
    except BaseException:
        ours.close()
        os.close(life_ours)
        raise
    finally:
        os.close(life_theirs)
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
    try:
        yield stream
    finally:
        with trio.CancelScope(shield=True), trio.move_on_after(_END_S):
            await stream.aclose()
            await process.wait()
        os.close(life_ours)
        if process.returncode is None:
            process.kill()
            with trio.CancelScope(shield=True), trio.move_on_after(_END_S):
                await process.wait()
