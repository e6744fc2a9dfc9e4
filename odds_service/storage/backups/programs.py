"""PostgreSQL's own programs: pg_dump writes backups, pg_restore and psql read them."""

import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import trio
from sqlalchemy.engine import URL

from odds_service.errors import StorageError
from odds_service.storage.backups.part_file import Part

KILL_S: Final = 10.0  # for a killed program to be gone
_SHOWN: Final = 400  # characters of a program's complaint


def find_programs(*names: str) -> list[str]:
    """Return the paths of programs. Raises StorageError if one is not installed."""
    found = {name: shutil.which(name) for name in names}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise StorageError(
            f"{' and '.join(missing)} not found in PATH; install PostgreSQL's client programs, no "
            "older than the server (Debian: postgresql-client)"
        )
    return [path for path in found.values() if path is not None]


def connection_of(url: URL) -> tuple[str, dict[str, str]]:
    """Return libpq's URI of a database, and the environment with its password.

    Other users can see a program's arguments, but not its environment.
    """
    environment = dict(os.environ, PGAPPNAME="odds-service backup")
    if url.password is not None:
        environment["PGPASSWORD"] = url.password
    without = URL.create(
        "postgresql", url.username, None, url.host, url.port, url.database, url.query
    )
    return without.render_as_string(hide_password=False), environment


async def run_program(
    command: Sequence[str], environment: dict[str, str] | None = None, part: Part | None = None
) -> str:
    """Run a program to its end and return its output.

    Args:
        command: The path and the arguments.
        environment: Its variables; None for those of this process.
        part: A file that it writes, which stays locked until it ends, even without this process.

    Raises:
        StorageError: It failed; the text is what it said.

    Cancellation: The program is ended.
    """
    done = await trio.run_process(
        command,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        env=environment,
        pass_fds=() if part is None else (part.lock,),
    )
    if done.returncode:
        raise complaint(command[0], done.stderr, done.returncode)
    return done.stdout.decode(errors="replace")


class Running(NamedTuple):
    """A program with a pipe for each of its streams."""

    process: trio.Process
    stdin: trio.abc.SendStream
    stdout: trio.abc.ReceiveStream
    stderr: trio.abc.ReceiveStream


@asynccontextmanager
async def running(command: Sequence[str], environment: dict[str, str]) -> AsyncIterator[Running]:
    """Start a program; it is killed if it still runs at the end of the block."""
    pipe = subprocess.PIPE
    process = await trio.lowlevel.open_process(
        command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe
    )
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise AssertionError("a process lacks the pipes that were asked for")
    try:
        yield Running(process, process.stdin, process.stdout, process.stderr)
    finally:
        # Before its pipes are closed: an end of its input must not look like the end of the work.
        if process.poll() is None:
            process.kill()
        with trio.move_on_after(KILL_S, shield=True):
            await process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            await trio.aclose_forcefully(stream)


def complaint(program: str, said: bytes, code: int = 1) -> StorageError:
    """Return the error of a program that failed, in one line.

    Args:
        program: Its path.
        said: Its standard error.
        code: Its exit code; below 0, the signal that ended it.
    """
    name = program.rpartition("/")[2]
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    told = " ".join(line.removeprefix(f"{name}: ").removeprefix("error: ") for line in lines)[
        :_SHOWN
    ]
    hint = ""
    if "version mismatch" in told or "unsupported version" in told:
        hint = "; put programs no older than the server first in PATH"
    ended = f"ended by {signal.Signals(-code).name}" if code < 0 else "failed"
    return StorageError(f"{name}: {told or ended}{hint}")
