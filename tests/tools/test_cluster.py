"""`make run-cluster`: programs come back, a client goes on, and the end leaves no orphans."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psutil
import pytest

from tests.support.command_line import ENVIRONMENT, ROOT
from tools.cluster.layout import Layout, Ports
from tools.cluster.programs import Programs, Spec, ended_text, prefix

WITHIN_S: Final = 180.0
SLEEP: Final = (sys.executable, "-c", "import time; time.sleep(600)")


def until(holds: Callable[[], object], within_s: float = WITHIN_S) -> None:
    """Wait for something that tells nobody when it happens."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def spec(name: str, *command: str, **more: object) -> Spec:
    return Spec(name=name, about="", command=command or SLEEP, **more)  # type: ignore[arg-type]  # its fields


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def programs(tmp_path: Path, said: list[str]) -> Iterator[Programs]:
    programs = Programs(tmp_path, said.append, again_s=0.0)
    yield programs
    programs.stop()


def test_a_program_that_is_killed_is_told_and_comes_back(
    programs: Programs, said: list[str]
) -> None:
    program = programs.start(spec("one"))
    first = program.pid
    os.kill(first, signal.SIGKILL)
    programs.wait_for("a new one", lambda: program.pid != first and bool(said), WITHIN_S)
    assert said == [f"one (pid {first}) was ended by SIGKILL",
                    f"one runs again: kill -9 {program.pid}"]  # fmt: skip
    assert program.code is None


def test_one_that_fails_shows_its_last_line_and_may_stay_ended(
    programs: Programs, said: list[str]
) -> None:
    failing = (sys.executable, "-c", "import sys; print('why'); print(); sys.exit(3)")
    program = programs.start(spec("two", *failing, again=False))
    until(lambda: program.code is not None)
    programs.look()
    programs.look()
    assert said == [f"two (pid {program.pid}) ended with code 3", "  its last line: why"]


def test_a_wait_for_what_does_not_come_names_the_logs(programs: Programs, tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match=f"PostgreSQL: not in 0 s; {tmp_path} has the logs"):
        programs.wait_for("PostgreSQL", lambda: False, 0.0)


def test_a_stop_ends_paused_programs_and_those_that_do_not_listen(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.cluster.programs.STOP_S", 1.0)
    paused = programs.start(spec("paused"))
    os.kill(paused.pid, signal.SIGSTOP)
    deaf = programs.start(
        spec("deaf", sys.executable, "-c",
             "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True);"
             "time.sleep(600)")
    )  # fmt: skip
    until(lambda: deaf.last_line() == "ready")
    server = programs.start(spec("server", is_server=True))
    programs.stop()
    assert (paused.code, deaf.code) == (-signal.SIGTERM, -signal.SIGKILL)
    assert server.code == -signal.SIGTERM


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs util-linux")
def test_a_launcher_that_is_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time\n"
        "from tools.cluster.programs import Programs, Spec\n"
        "programs = Programs(pathlib.Path(sys.argv[1]), print, 0.0)\n"
        "spec = Spec(name='x', about='', command=[sys.executable, '-c', 'import time; "
        "time.sleep(600)'])\n"
        "print(programs.start(spec).pid, flush=True)\ntime.sleep(600)\n"
    )
    launcher = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE, text=True,
        env=ENVIRONMENT,
    )  # fmt: skip
    assert launcher.stdout is not None
    child = int(launcher.stdout.readline())
    assert psutil.pid_exists(child)
    launcher.kill()
    launcher.wait()
    launcher.stdout.close()
    until(lambda: _is_gone(child))


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs util-linux")
def test_a_program_whose_launcher_has_just_ended_does_not_begin() -> None:
    """The kernel tells nothing of an end that came before it was asked to watch."""
    given = prefix(None)  # of this process
    by_another = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"
    begun = [*given, sys.executable, "-c", "print('begun')"]
    orphaned = subprocess.run(
        [sys.executable, "-c", by_another, *begun],
        stdout=subprocess.PIPE, check=False, timeout=WITHIN_S,
    )  # fmt: skip
    assert (orphaned.returncode, orphaned.stdout) == (1, b"")
    assert subprocess.check_output(begun, timeout=WITHIN_S) == b"begun\n"


def _is_gone(process: int) -> bool:
    """Return whether a process has ended; in a container without an init it may stay a zombie."""
    try:
        return bool(psutil.Process(process).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_ends_are_told_in_words() -> None:
    assert ended_text(0) == "ended with code 0"
    assert ended_text(-signal.SIGKILL) == "was ended by SIGKILL"
    assert ended_text(-90) == "was ended by signal 90"


def test_ports_are_handed_out_once() -> None:
    ports = Ports()
    first = ports.near(24_222)
    assert ports.near(24_222) > first


def test_each_user_has_a_password_of_its_own_that_only_the_owner_reads(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.write()
    words = {
        re.findall(r'password = "(\w+)"', layout.config(name).read_text())[0]
        for name in ("admin", "ingest1", "read1")
    }
    assert len(words) == 3
    assert layout.config("read1").parent.stat().st_mode & 0o077 == 0


@pytest.mark.long
def test_it_goes_on_when_nodes_are_killed_and_ends_without_orphans() -> None:
    command = [
        sys.executable,
        "-W",
        "ignore:XDG_RUNTIME_DIR",
        "-m",
        "tools.cluster",
        "--again",
        "3",
    ]
    launcher = subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert launcher.stdout is not None
    lines: list[str] = []

    def read_until(pattern: str) -> re.Match[str]:
        """Read lines until one matches; a run of the tests has a time limit of its own."""
        assert launcher.stdout is not None
        for line in launcher.stdout:
            lines.append(line)
            found = re.search(pattern, line)
            if found is not None:
                return found
        raise AssertionError("".join(lines[-40:]))

    try:
        logs = Path(read_until(r"^logs: (.*)$")[1])
        read_until(r"image: \d+ events")
        read_until(r"  prices  ")
        table = re.findall(r"(\w+)\t.*\tkill -9 (\d+)", "".join(lines))
        pids = {name: int(pid) for name, pid in table}
        assert sorted(pids) == [
            "bookmaker", "ingest1", "ingest2", "nats1", "nats2", "nats3", "postgres", "read1",
            "read2",
        ]  # fmt: skip
        children = {child.pid for child in psutil.Process(launcher.pid).children(recursive=True)}
        assert set(pids.values()) < children
        os.kill(pids["read1"], signal.SIGKILL)
        read_until(r"changing over to ")
        read_until(r"\(resumed\)")  # from its cursor, and without an image
        read_until(r"  prices  ")
        taken = {name: "taken_over" in (logs / f"{name}.log").read_text()
                 for name in ("ingest1", "ingest2")}  # fmt: skip
        active = next(name for name, is_owner in taken.items() if is_owner)
        os.kill(pids[active], signal.SIGKILL)
        read_until(rf"^{active} \(pid \d+\) was ended by SIGKILL")
        other = logs / f"{'ingest2' if active == 'ingest1' else 'ingest1'}.log"
        until(lambda: "taken_over" in other.read_text())
        read_until(rf"^{active} runs again")
        read_until(r"  prices  ")
        os.killpg(launcher.pid, signal.SIGINT)  # as ^C at a terminal does
        rest = launcher.stdout.read()
        assert launcher.wait(WITHIN_S) == 0
        assert rest.endswith(f"all have ended; their logs are in {logs}\n")
        assert not [pid for pid in children if psutil.pid_exists(pid)]
        assert sorted(path.stem for path in logs.glob("*.log")) == sorted({*pids, "commands"})
        assert [path.name for path in logs.parent.iterdir()] == ["logs"]  # no passwords
        shutil.rmtree(logs.parent)
    finally:
        launcher.terminate()  # it ends its programs
        launcher.stdout.close()
        launcher.wait(WITHIN_S)
