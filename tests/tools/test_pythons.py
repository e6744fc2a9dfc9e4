"""Missing requirements, the environment of a release, and steps that fail or take too long."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from tools import pythons
from tools.pythons import Release, StepError, main, missing


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is the whole search path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{text}\n", "utf-8")
    path.chmod(0o755)


def test_without_root_or_its_programs_it_says_so(
    only: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert missing() == "tools.pythons needs root: it makes a root folder of Debian and enters it"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in ("git", "unshare"):
        program(only / name, "exit 0")
    assert missing() == "tools.pythons needs debootstrap: apt-get install them"
    program(only / "debootstrap", "exit 0")
    assert missing() == ""


def test_a_release_sees_no_variable_of_the_callers_own() -> None:
    caller = {"PYTHONPATH": "/x", "ODDS_API_KEY": "secret", "PIP_INDEX_URL": "https://index"}
    seen = pythons._environment(caller)
    assert seen["PIP_INDEX_URL"] == "https://index"
    assert not seen.keys() & {"PYTHONPATH", "ODDS_API_KEY"}


def test_the_cache_may_not_lie_in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pythons, "missing", lambda: "")
    with pytest.raises(Exception, match="outside the checkout"):
        main(["sid"], pythons.ROOT / "cache")


def running() -> str:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, check=True, text=True)
    return listed.stdout


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")


@needs_root
def test_a_step_that_takes_too_long_ends_with_its_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The step stands in for debootstrap: it starts a child process and waits for it."""
    begun, folder = tmp_path / "begun", tmp_path / "bin"
    folder.mkdir()
    program(folder / "debootstrap", f"echo made half\nsleep 4711.25 & touch {begun}\nwait")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(pythons, "DEBOOTSTRAP_S", 3.0)
    with pytest.raises(StepError, match=r"sid: debootstrap failed \(killed after 3 s\)"):
        Release("sid", tmp_path / "sid", tmp_path / "log").make()
    assert begun.exists()
    assert "made half" in capsys.readouterr().out
    assert not (tmp_path / "sid").exists()
    deadline = time.monotonic() + 20  # the kernel ends them, in its own time
    while "sleep 4711.25" in running():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@needs_root
def test_a_step_that_fails_is_named_with_its_output(
    tmp_path: Path, only: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program(only / "debootstrap", "echo no such release; exit 3")
    monkeypatch.setenv("PATH", f"{only}:/usr/bin:/bin")
    with pytest.raises(StepError, match=r"nowhere: debootstrap failed \(3\)"):
        Release("nowhere", tmp_path / "nowhere", tmp_path / "log").make()
    assert "no such release" in capsys.readouterr().out
    assert not (tmp_path / "nowhere").exists()
