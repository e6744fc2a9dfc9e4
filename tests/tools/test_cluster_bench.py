"""Each row of the benchmark `cluster` runs alone, judges its aims, and leaves no process behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import msgspec
import psutil
import pytest

from tools.benchmarks.cluster import ROWS, longest_gap
from tools.benchmarks.everything import ROOT
from tools.benchmarks.figures import Report

SMALL = [
    "--subscribers", "3", "--rate", "100", "--stretch", "0.5", "--markets", "8000",
    "--seconds", "0", "--json",
]  # fmt: skip
AIMS = {
    "streams": {
        "change to subscriber p50: through the bus, of one process": "≤ 1.50",
        "CPU of a sent message: through the bus, of one process": "≤ 1.10",
    },
    "apply": {"decode and apply: read node, of the client library with `before`": "≤ 0.33"},
    "outage": {"readers' pause beyond the outage of the bus": "≤ 0.50"},
    "take-over": {"take-over: from kill -9 to the next change at a subscriber": "≤ 5"},
    "start": {"start: new read node, of one process": "≤ 1.50"},
}


def command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "tools.bench", "cluster", *arguments]


def test_the_longest_gap_ends_after_the_kill() -> None:
    assert longest_gap(10.0, [8.0, 9.5, 9.9, 11.5, 11.6, 12.0]) == pytest.approx(1.6)


def test_every_row_of_the_design_has_its_aim() -> None:
    assert set(AIMS) == set(ROWS)


@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=() if row == "apply" else pytest.mark.long) for row in ROWS]
)
def test_a_row_runs_alone_and_judges_its_aims(row: str) -> None:
    ran = subprocess.run(
        command(["--only", row, *SMALL]), cwd=ROOT, capture_output=True, check=False, timeout=300
    )
    assert ran.returncode == 0, ran.stderr.decode()
    report = msgspec.json.decode(ran.stdout, type=Report)
    assert {each.name: str(each.aim) for each in report.figures if each.aim} == AIMS[row]
    for figure in report.figures:
        assert len(figure.samples) == 3
        # A bus may serve a little before it is seen to be healthy.
        assert min(figure.samples) > (-1 if "beyond" in figure.name else 0)


def test_a_row_that_does_not_exist_is_refused() -> None:
    ran = subprocess.run(
        command(["--only", "streems", *SMALL]),
        cwd=ROOT, capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 2
    assert b"streems" in ran.stderr


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_process_behind(number: signal.Signals) -> None:
    running = subprocess.Popen(
        command(["--only", "streams", *SMALL]), cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    started: list[psutil.Process] = []
    try:
        until = time.monotonic() + 120
        while not any("watch_clients" in word for each in started for word in words_of(each)):
            assert running.poll() is None
            assert time.monotonic() < until
            started = psutil.Process(running.pid).children(recursive=True)
            time.sleep(0.1)
        running.send_signal(number)
        assert running.wait(120) != 0
        _, left = psutil.wait_procs(started, timeout=10)
        assert [words_of(each) for each in left] == []
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
        for each in started:
            if each.is_running():
                each.kill()


def words_of(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []
