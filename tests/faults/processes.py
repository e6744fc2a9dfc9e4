"""The simulated bookmaker and the service, each a process of its own."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import grpc
import psutil
import trio

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc
from tests.support.json_log import entries

START_S: Final = 120.0
STOP_S: Final = 60.0


class Bookmaker:
    """A simulated bookmaker that moves on at every poll.

    Args:
        folder: the place of its log.
        events: the events of all sports.
    """

    def __init__(self, folder: Path, events: int = 50) -> None:
        command = [
            sys.executable, "-m", "odds_service.demo", "--pace", "poll", "--sports", "2",
            "--events", str(events), "--bookmakers", "4", "--markets", "10",
            "--change-share", "0.2", "--lead-s", "150", "--in-play-s", "60",
        ]  # fmt: skip
        with (folder / "bookmaker.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        assert self._process.stdout is not None
        ready = json.loads(self._process.stdout.readline())
        self.port: int = ready["port"]
        self.sports: list[str] = ready["sports"]
        self.markets: list[str] = ready["markets"]

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(STOP_S)
        assert self._process.stdout is not None
        self._process.stdout.close()


class LogReader:
    """A reader of the service's log, from a pipe into a file, that can stand still."""

    def __init__(self, path: Path) -> None:
        self._reads = threading.Event()
        self._reads.set()
        self._reader, self.writer = os.pipe()
        self._thread = threading.Thread(target=self._copy, args=(path,))
        self._thread.start()

    def _copy(self, path: Path) -> None:
        with path.open("wb") as log:
            while piece := os.read(self._reader, 1 << 16):
                log.write(piece)
                log.flush()
                self._reads.wait()

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Read nothing during a block; the pipe is full, so the next line finds no room."""
        self._reads.clear()
        # Opened anew, so that the service's own end still blocks.
        filling = os.open(f"/proc/self/fd/{self.writer}", os.O_WRONLY | os.O_NONBLOCK)
        try:
            with suppress(BlockingIOError):
                os.write(filling, b"\n")  # what the reader still takes before it stands
                while True:
                    os.write(filling, b"\n" * 512)
            yield
        finally:
            os.close(filling)
            self._reads.set()

    def close(self) -> None:
        """Read to the end, which the service's end makes."""
        os.close(self.writer)
        self._thread.join(STOP_S)
        os.close(self._reader)


class Served:
    """`odds-service serve`, restarted with the same settings; each run logs to a file."""

    def __init__(self, folder: Path, settings: Path, address: str) -> None:
        self.address = address
        self.settings = settings
        self.starts = 0
        self.retries = 0  # the writer's, over all runs whose status was read in time
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._told = 0
        self.reader: LogReader | None = None

    @property
    def log(self) -> Path:
        """The log of the present run, or else of the last one."""
        return self._folder / f"service-{self.starts}.log"

    async def start(self) -> None:
        """Start the service, and return once it serves."""
        assert self._process is None
        self.starts += 1
        command = [
            sys.executable, "-m", "odds_service", "serve", "--config", str(self.settings),
            "--migrate",
        ]  # fmt: skip
        self._process = await trio.to_thread.run_sync(self._spawn, command)
        with trio.fail_after(START_S):
            while not self.logged("serving"):  # noqa: ASYNC110  # a file has no event
                assert self._process.poll() is None, self.log.read_text()[-3_000:]
                await trio.sleep(0.05)

    def _spawn(self, command: list[str]) -> "subprocess.Popen[bytes]":
        self.log.touch()
        self.reader = LogReader(self.log)
        return subprocess.Popen(command, stderr=self.reader.writer, cwd=self._folder)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return this run's log entries of an event."""
        return entries(self.log, event)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._end(signal.SIGKILL, -signal.SIGKILL)

    async def stop(self) -> None:
        """Send SIGTERM; the service must exit with 0."""
        await trio.to_thread.run_sync(self._end, signal.SIGTERM, 0)
        assert "Traceback" not in self.log.read_text()

    def _end(self, number: signal.Signals, code: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        ended = self._process.wait(STOP_S)
        self._read_on()
        assert ended == code, self.log.read_text()[-3_000:]
        self._process = None

    def _read_on(self) -> None:
        if self.reader is not None:
            self.reader.close()
            self.reader = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal that does not end the service."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill_worker(self) -> None:
        """Send SIGKILL to the service's worker, if it runs just now."""
        assert self._process is not None
        for child in psutil.Process(self._process.pid).children():
            child.kill()

    def discard(self) -> None:
        """Kill the service if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_S)
        self._read_on()

    async def status(self) -> pb.GetStatusResponse:
        """Call GetStatus."""
        reply: pb.GetStatusResponse = await trio.to_thread.run_sync(
            self._call, "GetStatus", pb.GetStatusRequest()
        )
        self.retries += max(0, reply.writer.retries - self._told)
        self._told = reply.writer.retries
        return reply

    async def odds(self) -> pb.GetOddsResponse:
        """Call GetOdds for all odds."""
        reply: pb.GetOddsResponse = await trio.to_thread.run_sync(
            self._call, "GetOdds", pb.GetOddsRequest()
        )
        return reply

    def _call(self, name: str, request: Any) -> Any:
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(self.address, options) as channel:
            call = getattr(pb_grpc.OddsServiceStub(channel), name)
            return call(request, timeout=30, wait_for_ready=True)
