"""`odds-service demo` as a newcomer meets it: commands that work, a closing line, a free port."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import webbrowser
from pathlib import Path

import pytest
import trio

from odds_service.commands.board import may_open, open_when_asked
from odds_service.commands.demo import GO_ON
from odds_service.commands.first_steps import demo_at, next_commands, typed
from tests.support.command_line import COMMAND, ENVIRONMENT, WITHIN_S, complaint, ran, run
from tests.support.terminal import at_terminal

HEADING = "type in a second terminal:"


async def test_the_commands_that_it_names_work_in_a_second_terminal() -> None:
    demo = subprocess.Popen(  # noqa: ASYNC220  # returns at once
        [*COMMAND, "demo", "--no-table", "--listen", "127.0.0.1:0",
         "--board", "127.0.0.1:0"], text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ENVIRONMENT,
    )  # fmt: skip
    assert demo.stderr is not None
    stderr = demo.stderr

    def told() -> list[str]:
        for line in stderr:
            if line.strip() == HEADING:
                return [stderr.readline().strip() for _ in range(3)]
        return []

    try:
        with trio.fail_after(WITHIN_S):
            commands = await trio.to_thread.run_sync(told)
            assert [shlex.split(each)[3] for each in commands] == ["events", "get", "watch"]
            for each in commands:
                program, *arguments = shlex.split(each)
                assert Path(sys.executable).name == program
                assert arguments[:2] == ["-m", "odds_service"]
                more = ["--image-only"] if arguments[2] == "watch" else []
                ended = await ran(*arguments[2:], *more)
                assert ended.returncode == 0, ended.stderr
                assert len(ended.stdout.splitlines()) > 1
            demo.send_signal(signal.SIGINT)
            rest = await trio.to_thread.run_sync(stderr.read)
        assert GO_ON in rest
        assert demo.wait(WITHIN_S) == 0
    finally:
        demo.kill()
        demo.wait()
        stderr.close()


@pytest.mark.parametrize("width", [80, 100, 160])
def test_its_table_names_them_while_it_runs_and_ends_with_the_way_on(width: int) -> None:
    shown = at_terminal(
        "demo", "--listen", "127.0.0.1:0", "--board", "127.0.0.1:0",
        width=width,
        interrupt_when=lambda raw: HEADING in raw,
    )  # fmt: skip
    assert shown.code == 0, shown.text
    assert "odds as they change" in shown.text
    assert HEADING not in shown.text  # what stays on the screen speaks of what was
    assert " ".join(shown.text.split()).endswith(GO_ON)
    assert shown.raw.endswith("\n")
    assert max(map(len, shown.lines)) <= width


def test_a_port_that_is_taken_gets_the_command_for_the_next_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = complaint(run("demo", "--listen", f"127.0.0.1:{port}"))
        under_make = complaint(run("demo", "--listen", f"127.0.0.1:{port}", MAKELEVEL="1"))
    assert f"127.0.0.1:{port} is in use" in said
    offered = said.rpartition(": ")[2]
    assert offered.startswith(
        f"{Path(sys.executable).name} -m odds_service demo --listen 127.0.0.1:"
    )
    assert not offered.endswith(f":{port}")
    assert 'make run ARGS="--listen 127.0.0.1:' in under_make


def test_a_program_is_named_as_it_is_typed_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "odds-service"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    assert typed([str(program)]) == "bin/odds-service"
    monkeypatch.setenv("PATH", str(program.parent))
    assert typed([str(program)]) == "odds-service"
    monkeypatch.chdir(program.parent)
    program = tmp_path / "elsewhere" / "odds-service"
    monkeypatch.setenv("PATH", "")
    assert typed([str(program)]) == shlex.quote(str(program))
    assert typed(["-c"]) == f"{Path(sys.executable).name} -m odds_service"


def test_the_address_is_named_only_where_it_is_not_the_usual_one() -> None:
    usual = next_commands("odds-service", "127.0.0.1:50051", "ab")
    other = next_commands("odds-service", "127.0.0.1:50052", None)
    assert usual == ["odds-service events", "odds-service get ab --best", "odds-service watch"]
    assert all(each.endswith(" --server 127.0.0.1:50052") for each in other)
    assert "get EVENT --best" in other[1]
    assert demo_at("odds-service", "h:1", {}) == "odds-service demo --listen h:1"


def test_the_board_takes_another_port_where_its_own_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        shown = run("demo", "--no-table", "--listen", "127.0.0.1:0", "--seconds", "6",
                    "--board", f"127.0.0.1:{port}")  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    (line,) = [each for each in shown.stderr.splitlines() if "in a browser" in each]
    assert f"(127.0.0.1:{port} is in use)" in line
    assert f"http://127.0.0.1:{port}/" not in line
    assert "press Enter" not in line  # nobody is at a terminal


def test_the_two_sources_show_the_same_twelve_matches() -> None:
    shown = run("demo", "--no-table", "--listen", "127.0.0.1:0", "--seconds", "6", "--board", "")
    assert shown.returncode == 0, shown.stderr
    assert " sportybet " in shown.stdout
    assert shown.stdout.rstrip().endswith("; 12 events")


def test_the_board_is_offered_on_a_desktop_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, terminal = os.openpty()
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    with os.fdopen(terminal) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert may_open({"DISPLAY": ":0"}, "linux")
        assert may_open({"WAYLAND_DISPLAY": "wayland-0"}, "linux")
        assert may_open({}, "darwin")
        assert not may_open({}, "linux")
        os.write(keys, b"\n")
        trio.run(open_when_asked, "http://127.0.0.1:1/", trio.CancelScope())
    os.close(keys)
    assert opened == ["http://127.0.0.1:1/"]
    with Path(os.devnull).open() as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        assert not may_open({"DISPLAY": ":0"}, "linux")
