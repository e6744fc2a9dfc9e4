"""Completion in a shell: the commands, and the options of commands that are imported late."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from odds_service import cli
from tests.support.command_line import ENVIRONMENT, ROOT, WITHIN_S

SCRIPT: Final = f"""#!{sys.executable}
from odds_service.__main__ import main

main()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with the program on the path, and its completion installed for bash."""
    folder = tmp_path_factory.mktemp("home")
    program = folder / "odds-service"
    program.write_text(SCRIPT)
    program.chmod(0o755)
    bash(folder, "odds-service --install-completion; true")
    return folder


def bash(home: Path, script: str) -> list[str]:
    """Return the words that a script of bash prints."""
    environment = ENVIRONMENT | {
        "HOME": str(home),
        "PATH": f"{home}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN_S,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()


def completed(home: Path, *words: str) -> list[str]:
    """Return what bash offers for the last word, by way of the installed function."""
    line = " ".join(f"'{word}'" for word in ("odds-service", *words))
    return bash(
        home,
        'source "$HOME/.bashrc"\n'
        f"COMP_WORDS=({line}); COMP_CWORD={len(words)}\n"
        "$(complete -p odds-service | sed 's/.*-F \\([^ ]*\\) .*/\\1/') odds-service\n"
        'echo "${COMPREPLY[@]}"',
    )


def test_bash_offers_the_commands(home: Path) -> None:
    assert set(completed(home, "")) == set(cli.COMMANDS)
    assert completed(home, "ev") == ["events"]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("get", "--b"), {"--best", "--bookmaker"}),
        (("history", "--ch"), {"--chart"}),
        (("try", "--p"), {"--pull"}),
        (("db", ""), {"upgrade", "verify", "backup", "restore", "dead-letters"}),
        (("db", "dead-letters", ""), {"list", "retry", "drop"}),
        (("db", "restore", "--r"), {"--replace"}),
        (("config", "show", "--c"), {"--config"}),
        (("health", "--"), {"--help", "--server", "--tls", "--ca", "--cert", "--key", "--within"}),
        (("get", "--odds-format", ""), {"decimal", "american", "fractional"}),
    ],
)
def test_bash_offers_what_a_command_takes(
    home: Path, words: tuple[str, ...], offered: set[str]
) -> None:
    assert set(completed(home, *words)) == offered
