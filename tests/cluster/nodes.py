"""The nodes of a cluster: `odds-service serve` in processes, started again when they end."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import grpc
import trio
from msgspec import Struct

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc
from tests.support.json_log import entries

AGAIN_S: Final = 0.3  # before a node that has ended is started again
STOP_S: Final = 60.0
CALL_S: Final = 5.0


class End(Struct, frozen=True):
    """The end of a process: its exit code, or the negative signal, and its log."""

    code: int
    log: Path


class Node:
    """One node; a supervisor starts it again whenever it ends, as an operator's would."""

    def __init__(self, folder: Path, name: str, settings: str, address: str) -> None:
        self.name = name
        self.address = address
        self.ends: list[End] = []
        self.starts = 0
        self._folder = folder
        self.settings = folder / f"{name}.toml"
        self.settings.write_text(settings)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """The log of the last process."""
        return self._folder / f"{self.name}-{self.starts}.log"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def supervise(self) -> None:
        """Run the node, again and again, until cancelled; then kill it."""
        try:
            while True:
                self.starts += 1
                self._process = await trio.to_thread.run_sync(self._spawn)
                while self._process.poll() is None:  # noqa: ASYNC110  # a process has no event
                    await trio.sleep(0.02)
                self.ends.append(End(self._process.returncode, self.log))
                await trio.sleep(AGAIN_S)
        finally:
            if self._process is not None:
                self._process.kill()
                self._process.wait(STOP_S)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "odds_service", "serve", "-c", str(self.settings)]
        with self.log.open("wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the present process."""
        os.kill(self.pid, number)

    async def ended(self, count: int, within_s: float = STOP_S) -> End:
        """Wait until `count` processes of the node have ended; return the last of them."""
        with trio.fail_after(within_s):
            while len(self.ends) < count:  # noqa: ASYNC110  # a process has no event
                await trio.sleep(0.02)
        return self.ends[count - 1]

    def logged(self, event: str, log: Path | None = None) -> list[dict[str, Any]]:
        """Return the log entries of an event, of the last process or of a given log."""
        return entries(log or self.log, event)

    async def status(self) -> pb.GetStatusResponse | None:
        """Call GetStatus; None if the node does not answer now."""
        return await trio.to_thread.run_sync(self._status)

    def _status(self) -> pb.GetStatusResponse | None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(self.address, options) as channel:
            try:
                reply: pb.GetStatusResponse = pb_grpc.OddsServiceStub(channel).GetStatus(
                    pb.GetStatusRequest(), timeout=CALL_S
                )
            except grpc.RpcError:
                return None
            return reply

    def odds(self) -> pb.GetOddsResponse:
        """Call GetOdds for all odds."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(self.address, options) as channel:
            reply: pb.GetOddsResponse = pb_grpc.OddsServiceStub(channel).GetOdds(
                pb.GetOddsRequest(), timeout=30, wait_for_ready=True
            )
            return reply
