"""The tutorial's programs and settings, extracted from its page and run as it says."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.support.command_line import COMMAND, ENVIRONMENT, ROOT, WITHIN_S, run
from tests.support.ports import free_port

PAGE: Final = (ROOT / "docs" / "tutorial.md").read_text()
BLOCKS: Final = re.compile(r"^```(?:python|toml)\n# (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@contextmanager
def running(folder: Path, *command: str, until: str) -> Iterator[str]:
    """Run a program until the end of the block; yield its output up to a line with that text."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=ENVIRONMENT | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        text = ""
        for line in process.stdout:
            text += line
            if until in line:
                break
        assert until in text, text
        yield text
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


@pytest.mark.timeout(280)
def test_the_tutorial_runs_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ports = {port: str(free_port()) for port in ("50051", "50052", "8080")}
    files = dict(BLOCKS.findall(PAGE))
    assert set(files) == {"watch.py", "record.py", "mine.toml", "backtest.py"}
    for name, text in files.items():
        for fixed, free in ports.items():
            text = text.replace(f":{fixed}", f":{free}")
        (tmp_path / name).write_text(text)
    demo_at, mine_at = f"127.0.0.1:{ports['50051']}", f"127.0.0.1:{ports['50052']}"
    demo = ("demo", "--no-table", "--database", "demo.db", "--listen", demo_at, "--board", "")
    replay = ("replay", "bodies", "--port", ports["8080"])

    def done(*command: str) -> str:
        ended = subprocess.run(
            command, cwd=tmp_path, env=os.environ | ENVIRONMENT, check=False,
            capture_output=True, text=True, timeout=WITHIN_S,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    with running(tmp_path, *COMMAND, *demo, until="  prices  "):
        with running(tmp_path, sys.executable, "watch.py", until="home ") as seen:
            assert "away " in seen
        assert " went on to fall; " in done(sys.executable, "backtest.py")
        shown = run("get", "toa:c5", "--best", "--server", demo_at)
        assert shown.returncode == 0, shown.stderr
        assert "Vale Royal Ath" in shown.stdout  # one of the two sources writes "Ath" alone
        history = run("history", "--event", "toa:c5", "--market", "h2h", "--server", demo_at)
        assert "  h2h  " in history.stdout
    done(sys.executable, "record.py")
    with running(tmp_path, *COMMAND, *replay, until="interval_s") as printed:
        table = printed.partition("[[sources]]")[2].split("\n")
        lines = (tmp_path / "mine.toml").read_text().splitlines()
        assert {line for line in table if " = " in line} <= set(lines)
        tried = done(*COMMAND, "try", "the-odds-api", "--config", "mine.toml")
        assert "1 event, 1 bookmaker, 1 market, 3 outcomes" in tried
        assert "ready to start" in done(*COMMAND, "serve", "--check", "--config", "mine.toml")
        assert ports["8080"] in done(*COMMAND, "config", "show", "--config", "mine.toml")
        with running(tmp_path, *COMMAND, "serve", "--config", "mine.toml", until="source_state"):
            watch = (*COMMAND, "watch", "--server", mine_at)
            with running(tmp_path, *watch, until="  prices  ") as seen:
                assert "Reds – Blues" in seen
