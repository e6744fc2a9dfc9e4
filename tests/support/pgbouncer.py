"""A real PgBouncer in front of a test's PostgreSQL."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.ports import free_port
from tests.support.postgres import START_S, PostgresServer
from tools.postgres_user import NAME, as_postgres

PROGRAM: Final = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


@contextmanager
def pgbouncer(
    server: PostgresServer, mode: str, *, more: str = "", files: Path | None = None
) -> Iterator[int]:
    """Start a PgBouncer and yield its port.

    Args:
        server: The PostgreSQL behind it.
        mode: Its pool_mode: session, transaction or statement.
        more: Further lines of its settings, which go before others.
        files: A folder whose files it gets, in its working folder.
    """
    assert PROGRAM is not None
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="odds-pgbouncer-"))
    command = [PROGRAM, str(folder / "pgbouncer.ini")]
    try:
        for file in files.iterdir() if files is not None else ():
            shutil.copy(file, folder)
        (folder / "users").write_text('"postgres" ""\n"tls" ""\n')
        (folder / "pgbouncer.ini").write_text(
            f"""
[databases]
* = host=127.0.0.1 port={server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder / "users"}
pool_mode = {mode}
logfile = {folder / "log"}
{more}
"""
        )
        if before := as_postgres():  # it refuses root, too
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, NAME)
            command = [*before, *command]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder
        )
        try:
            _wait_for(server, port, process, folder / "log")
            yield port
        finally:
            process.terminate()
            process.wait(START_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(
    server: PostgresServer, port: int, process: "subprocess.Popen[bytes]", log: Path
) -> None:
    deadline = time.monotonic() + START_S
    while not server.answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            told = log.read_text("utf-8") if log.exists() else "no log"
            raise RuntimeError(f"no PgBouncer: {told[-2000:]}")
        time.sleep(0.05)
