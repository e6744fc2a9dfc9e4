"""Logs and prints wait for no reader: lines are lost, counted and told, and that is all."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Final

import pytest

from odds_service.line_queue import FLUSH_S, LineQueue

ROOT: Final = Path(__file__).resolve().parent.parent
LONG_S: Final = 60.0


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    try:
        yield reader, writer
    finally:
        for end in (reader, writer):
            os.close(end)


def fill(writer: int) -> int:
    """Fill a pipe; return the number of bytes that it took."""
    os.set_blocking(writer, False)
    filled = 0
    try:
        while True:
            filled += os.write(writer, b"." * 512)
    except BlockingIOError:
        os.set_blocking(writer, True)
        return filled


def test_all_is_written_in_order_to_a_reader_that_reads() -> None:
    with pipe() as (reader, writer):
        queue = LineQueue(writer)
        for number in range(1_000):
            assert queue.put(f"{number}\n")
        assert queue.flush(LONG_S)
        assert os.read(reader, 1 << 20).decode() == "".join(f"{n}\n" for n in range(1_000))
        assert queue.lost == 0


@pytest.mark.parametrize(("max_lines", "max_bytes"), [(50, 1 << 30), (1 << 30, 50_000)])
def test_a_stalled_reader_costs_lines_and_no_time(max_lines: int, max_bytes: int) -> None:
    with pipe() as (reader, writer):
        filled = fill(writer)
        queue = LineQueue(writer, max_lines=max_lines, max_bytes=max_bytes)
        taken = [number for number in range(1_000) if queue.put(f"{number:>999}\n")]
        assert queue.lost == 1_000 - len(taken) > 0
        assert not queue.flush(0.01)
        read = b""
        while len(read) < filled + len(taken) * 1_000:
            read += os.read(reader, 1 << 20)
        assert [int(line) for line in read[filled:].splitlines()] == taken
        assert queue.flush(LONG_S)
        assert queue.put("again\n")
        assert queue.flush(LONG_S)
        assert os.read(reader, 100) == b"again\n"


def test_a_reader_that_went_away_costs_lines_only() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        queue = LineQueue(writer)
        for _ in range(3):
            queue.put("unread\n")
        assert queue.flush(LONG_S)
        assert queue.lost == 3
    finally:
        os.close(writer)


STALLED = """
import pathlib, sys, time
import structlog
from odds_service.line_queue import lost_prints, queue_prints
from odds_service.logs import configure_logs

queue_prints("stdout")
configure_logs("info", "json")
log = structlog.get_logger("ours")
began = time.monotonic()
for number in range(30_000):
    log.info("line", number=number, text="x" * 300)
    print("a plug-in prints" * 20)
assert time.monotonic() - began < 60
assert lost_prints() > 10_000
pathlib.Path(sys.argv[1]).touch()
sys.stdin.readline()  # the readers go on
raise LookupError("the crash")
"""


def test_a_process_goes_on_and_tells_the_loss_once_its_readers_are_back(tmp_path: Path) -> None:
    through = tmp_path / "through"
    with subprocess.Popen(
        [sys.executable, "-c", STALLED, str(through)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    ) as process:  # fmt: skip
        while not through.exists() and process.poll() is None:
            sleep(0.05)
        said, errors = process.communicate("go on\n", timeout=LONG_S)
    entries = [json.loads(line) for line in errors.splitlines()]
    numbers = [entry["number"] for entry in entries if entry["event"] == "line"]
    assert numbers == sorted(numbers)
    lost = [entry["lines"] for entry in entries if entry["event"] == "log_lines_lost"]
    assert len(numbers) + sum(lost) == 30_000
    assert lost
    (crash,) = [entry for entry in entries if entry["event"] == "crashed"]
    assert "the crash" in crash["exception"]
    assert said.startswith("a plug-in prints")
    assert process.returncode == 1


def test_an_exit_waits_for_a_stalled_reader_only_so_long() -> None:
    script = (
        "from odds_service.logs import configure_logs; configure_logs('info', 'json')\n"
        "import logging\n"
        "for _ in range(2_000): logging.warning('x' * 1_000)\n"
        "raise SystemExit(7)\n"
    )
    with pipe() as (_, writer):
        began = monotonic()
        ended = subprocess.run(
            [sys.executable, "-c", script], stderr=writer, check=False, timeout=LONG_S, cwd=ROOT
        )
        assert ended.returncode == 7
        assert monotonic() - began >= FLUSH_S
