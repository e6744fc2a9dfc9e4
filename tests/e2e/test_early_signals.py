"""A signal in the first moments ends the start in order, for a process with the id 1 too."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.support.blocker import LONG_S, SETTINGS, until

ROOT: Final = Path(__file__).resolve().parents[2]
SERVE: Final = (sys.executable, "-m", "odds_service", "serve", "--config", "odds.toml")
AS_PID_1: Final = ("unshare", "--fork", "--pid", "--mount-proc", "--kill-child")


@contextmanager
def starting(folder: Path, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
    (folder / "odds.toml").write_text(SETTINGS.partition("[[sources]]")[0])
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, cwd=folder, env=environment
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def catches(pid: int, number: signal.Signals) -> bool:
    """Return whether a process has a handler of a signal."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    (mask,) = [line.split()[1] for line in lines if line.startswith("SigCgt")]
    return bool(int(mask, 16) >> (number - 1) & 1)


def has_imported_grpc(pid: int) -> bool:
    return "cygrpc" in Path(f"/proc/{pid}/maps").read_text()


def child_of(pid: int) -> int | None:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else None


def may_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run([*AS_PID_1, "true"], capture_output=True, check=False)
    return tried.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_the_imports_ends_the_start_in_order(
    number: signal.Signals, tmp_path: Path
) -> None:
    with starting(tmp_path, *SERVE) as process:
        until(lambda: catches(process.pid, signal.SIGTERM), "a handler is in place")
        assert not has_imported_grpc(process.pid)
        process.send_signal(number)
        assert process.wait(LONG_S) == 0
    said = (tmp_path / "log").read_text()
    assert number.name in said
    assert "while_starting" in said
    assert "Traceback" not in said
    assert '"serving"' not in said


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with starting(tmp_path, *SERVE) as process:
        until(lambda: catches(process.pid, signal.SIGTERM), "a handler is in place")
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        assert process.wait(LONG_S) == 1
    assert (tmp_path / "log").read_text() == ""


@pytest.mark.skipif(not may_unshare(), reason="a namespace of processes needs root and unshare")
def test_a_process_with_the_id_1_obeys_a_signal_before_the_imports(tmp_path: Path) -> None:
    with starting(tmp_path, *AS_PID_1, *SERVE) as outside:
        until(lambda: child_of(outside.pid) is not None, "the child")
        pid = child_of(outside.pid)
        assert pid is not None
        until(lambda: catches(pid, signal.SIGTERM), "a handler is in place")
        assert not has_imported_grpc(pid)
        os.kill(pid, signal.SIGTERM)
        assert outside.wait(LONG_S) == 0
    assert "while_starting" in (tmp_path / "log").read_text()
