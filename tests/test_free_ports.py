"""The tests' own ports, and logs that are read while they are written."""

import socket
import subprocess
import sys
from pathlib import Path

from tests.support.command_line import ROOT, WITHIN_S
from tests.support.json_log import entries
from tests.support.ports import free_port

MANY = 150  # more than a process claims at once


def test_ports_are_below_those_that_the_kernel_chooses_and_no_two_processes_share_one() -> None:
    source = (
        f"from tests.support.ports import free_port; print(*(free_port() for _ in range({MANY})))"
    )
    mine = {free_port() for _ in range(MANY)}
    run = [sys.executable, "-c", source]
    told = subprocess.run(
        run, cwd=ROOT, capture_output=True, text=True, check=True, timeout=WITHIN_S
    )
    theirs = set(map(int, told.stdout.split()))
    assert len(mine) == len(theirs) == MANY
    assert not mine & theirs
    with socket.create_server(("127.0.0.1", 0)) as any_port:
        assert max(mine) < any_port.getsockname()[1]


def test_a_line_that_is_being_written_is_no_entry_yet(tmp_path: Path) -> None:
    log = tmp_path / "log"
    line = '{"event": "back", "said": "Zürich"}\n'.encode()
    for end in range(len(line)):
        log.write_bytes(b"told at the start\n" + line + line[:end])
        assert entries(log, "back") == [{"event": "back", "said": "Zürich"}]
    log.write_bytes(line * 2)
    assert len(entries(log, "back")) == 2
