"""Helper processes: started, asked with lines of JSON, and always ended."""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import psutil

ROOT: Final = Path(__file__).resolve().parents[2]
READY_S: Final = 300.0  # to make the odds of a large simulation, on a loaded machine
END_S: Final = 60.0
_LOOP: Final = """
import os, sys
os.nice(19)
while os.getppid() == int(sys.argv[1]):  # it ends with the benchmark
    for _ in range(1_000_000):
        pass
"""


class Helper:
    """A module run in its own process; it answers each line of JSON with another."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # so that it can be ended with whatever it has started
        )
        self._name = module
        self._seen = b""
        self.ready: dict[str, Any] = {}

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self) -> None:
        """Wait for its first line and keep it. Raises RuntimeError if none comes."""
        self.ready = self._answer(READY_S)

    def ask(self, question: object = None, *, within_s: float = READY_S) -> Any:
        """Send a line and wait for its answer. Raises RuntimeError when none comes."""
        stdin = self._pipe(self._process.stdin)
        stdin.write(msgspec.json.encode(question) + b"\n")
        stdin.flush()
        return self._answer(within_s)

    def cpu_s(self) -> float:
        """Return the processor time used so far, in seconds."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def end(self) -> None:
        """Ask it to stop, and kill it if it does not.

        It stops when its standard input ends: so it also does when this process is killed.
        """
        self._pipe(self._process.stdin).close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        self._pipe(self._process.stdout).close()

    def _answer(self, within_s: float) -> Any:
        until = time.monotonic() + within_s
        stdout = self._pipe(self._process.stdout)
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._seen:
                left_s = until - time.monotonic()
                if left_s <= 0 or not selector.select(left_s):
                    raise RuntimeError(f"{self._name} gave no answer in {within_s:g} s")
                read = os.read(stdout.fileno(), 2**16)
                if not read:
                    raise RuntimeError(f"{self._name} ended: {self._process.wait(END_S)}")
                self._seen += read
        line, _, self._seen = self._seen.partition(b"\n")
        return msgspec.json.decode(line)

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        if pipe is None:
            raise AssertionError("the pipes are ours")
        return pipe


@contextmanager
def helper(module: str, *arguments: object) -> Iterator[Helper]:
    """Start a helper and yield it; end it afterwards, even if its start failed."""
    started = Helper(module, *map(str, arguments))
    try:
        started.wait_ready()
        yield started
    finally:
        started.end()


@contextmanager
def busy_neighbours() -> Iterator[None]:
    """Keep every logical processor busy with loops that give way to all other work.

    Two of them may share the units of one core, and the same work then takes up to twice the
    processor time while the other one is busy. That would count against several processes, which
    keep each other busy, beside one.
    """
    loops: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(os.cpu_count() or 1):
            command = [sys.executable, "-c", _LOOP, str(os.getpid())]
            loops.append(subprocess.Popen(command, start_new_session=True))
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def tell(answer: object) -> None:
    """Write an answer to the process that asked."""
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.flush()
