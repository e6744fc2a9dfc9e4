"""Programs that are started, watched, started again when they end, and ended all together."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from tools.other_user import as_user

STOP_S: Final = 20.0  # for all programs together, and once more for the servers that they use
KILL_S: Final = 5.0
_LOOK_S: Final = 0.05
_LINE_BYTES: Final = 4_000
_ONLY_OF_LAUNCHER: Final = '[ "$PPID" = "$0" ] && exec "$@"'


class Spec(Struct, frozen=True, kw_only=True):
    """A program to run.

    Attributes:
        name: Its name, also of its log.
        about: What it is, in a few words.
        command: Its command line.
        environment: More variables.
        as_user: Another user to run it as; None for the present one.
        ends_by: The signal that stops it in order.
        on_terminal: It writes to the terminal instead of a log.
        again: Start it again when it ends.
        is_server: The others use it, so a stop ends it after them.
    """

    name: str
    about: str
    command: Sequence[str]
    environment: Mapping[str, str] = {}
    as_user: str | None = None
    ends_by: signal.Signals = signal.SIGTERM
    on_terminal: bool = False
    again: bool = True
    is_server: bool = False


class Program:
    """A running program in a session of its own, so that ^C at the terminal does not reach it."""

    def __init__(self, spec: Spec, log: Path) -> None:
        self.spec = spec
        self.log = log
        self.ended_at: float | None = None
        self._process = self._begin()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Return the exit code, the negative of a signal; None while it runs."""
        return self._process.poll()

    def begin_again(self) -> None:
        """Start it once more, after its end."""
        self.ended_at = None
        self._process = self._begin()

    def send(self, number: signal.Signals) -> None:
        """Send a signal; one to stop it reaches a paused program too."""
        if self.code is None:
            self._process.send_signal(number)
            if number is not signal.SIGSTOP:
                self._process.send_signal(signal.SIGCONT)

    def wait(self, until: float) -> bool:
        """Wait for its end until a time of the monotonic clock; return whether it has ended."""
        try:
            self._process.wait(max(until - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End it with all processes of its session's group."""
        if self.code is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def last_line(self) -> str:
        """Return the last line of its log."""
        if self.spec.on_terminal or not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(self.log.stat().st_size - _LINE_BYTES, 0))
            lines = file.read().decode("utf-8", "replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "")

    def _begin(self) -> "subprocess.Popen[bytes]":
        given = [*prefix(self.spec.as_user), *self.spec.command]
        environment = {**os.environ, **self.spec.environment}
        if self.spec.on_terminal:
            return subprocess.Popen(
                given, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
            )
        with self.log.open("ab") as log:
            return subprocess.Popen(
                given, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, cwd="/" if self.spec.as_user else None,
            )  # fmt: skip


def prefix(user: str | None) -> list[str]:
    """Return the words before a command: its user, and its end with that of the launcher.

    Even a launcher that is killed leaves nothing behind. The kernel watches the thread that
    started a program, so programs start in the main thread. It watches only from the moment in
    which it is asked to: a program whose launcher ended before that does not begin.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return []
    other = [] if user is None else as_user(user)
    launcher = str(os.getpid())
    return [setpriv, *other, "--pdeathsig=KILL", "--", "sh", "-c", _ONLY_OF_LAUNCHER, launcher]


def ended_text(code: int) -> str:
    """Return the end of a program in words."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


class Programs:
    """All programs, in the order of their start.

    Args:
        logs: The folder of their logs.
        say: Prints a line about one of them.
        again_s: The seconds after an end in which a program stays ended.
    """

    def __init__(self, logs: Path, say: Callable[[str], None], again_s: float) -> None:
        self._logs = logs
        self._say = say
        self._again_s = again_s
        self.running: list[Program] = []

    def start(self, spec: Spec) -> Program:
        """Start a program."""
        program = Program(spec, self._logs / f"{spec.name}.log")
        self.running.append(program)
        return program

    def wait_for(self, what: str, holds: Callable[[], bool], within_s: float) -> None:
        """Wait until something holds, and start ended programs again meanwhile.

        Raises:
            TimeoutError: It does not hold in time.
        """
        deadline = time.monotonic() + within_s
        while not holds():
            self.look()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not in {within_s:.0f} s; {self._logs} has the logs")
            time.sleep(_LOOK_S)

    def look(self) -> None:
        """Tell of programs that have ended, and start them again when it is time."""
        now = time.monotonic()
        for program in self.running:
            code = program.code
            if code is None:
                continue
            spec = program.spec
            if program.ended_at is None:
                program.ended_at = now
                self._say(f"{spec.name} (pid {program.pid}) {ended_text(code)}")
                if code > 0 and (line := program.last_line()):
                    self._say(f"  its last line: {line}")
            elif spec.again and now - program.ended_at > self._again_s:
                program.begin_again()
                self._say(f"{spec.name} runs again: kill -9 {program.pid}")

    def stop(self) -> None:
        """End all, the servers last; kill those that do not end in time."""
        for of_servers in (False, True):
            ending = [each for each in self.running if each.spec.is_server is of_servers]
            for program in ending:
                program.send(program.spec.ends_by)
            deadline = time.monotonic() + STOP_S
            for program in ending:
                program.wait(deadline)
            for program in ending:
                program.kill()
            for program in ending:
                program.wait(time.monotonic() + KILL_S)
