"""Completion in a shell: the commands, and the options of commands that are imported late."""

import os
import re
import shutil
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
    return ran(home, "bash", "--norc", "-c", script).split()


def ran(home: Path, *command: str) -> str:
    """Return what a shell prints, with the program on its path."""
    environment = ENVIRONMENT | {
        "HOME": str(home),
        "PATH": f"{home}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN_S,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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


OFFERED: Final = [
    (("get", "--b"), {"--best", "--bookmaker"}),
    (("history", "--ch"), {"--chart"}),
    (("try", "--p"), {"--pull"}),
    (("db", ""), {"upgrade", "verify", "backup", "restore", "dead-letters"}),
    (("db", "dead-letters", ""), {"list", "retry", "drop"}),
    (("db", "restore", "--r"), {"--replace"}),
    (("config", "show", "--c"), {"--config"}),
    (("health", "--"), {"--help", "--server", "--tls", "--ca", "--cert", "--key", "--within"}),
    (("get", "--odds-format", ""), {"decimal", "american", "fractional"}),
]
# For shells that are seldom installed: an option, commands of a command, health's own, values.
SOME: Final = [OFFERED[0], OFFERED[3], OFFERED[7], OFFERED[8]]


@pytest.mark.parametrize(("words", "offered"), OFFERED)
def test_bash_offers_what_a_command_takes(
    home: Path, words: tuple[str, ...], offered: set[str]
) -> None:
    assert set(completed(home, *words)) == offered


def test_options_of_health_come_with_their_help(home: Path) -> None:
    """Its parser has them; fish shows the texts."""
    listed = subprocess.run(
        [home / "odds-service"],
        capture_output=True,
        text=True,
        check=True,
        timeout=WITHIN_S,
        env=ENVIRONMENT
        | {
            "_ODDS_SERVICE_COMPLETE": "complete_fish",
            "_TYPER_COMPLETE_ARGS": "odds-service health --w",
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            "_TYPER_COMPLETE_WORD_TO_COMPLETE": "--w",
        },
    ).stdout
    assert listed.split("\t") == ["--within", "seconds to wait for the answer (3)\n"]


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_offers_what_a_command_takes(home: Path) -> None:
    # A second command keeps fish as the parent, where the program looks for the shell's name.
    ran(home, "fish", "-c", "odds-service --install-completion; true")
    lines = ["odds-service " + " ".join(words) for words, _ in SOME]
    script = "; ".join(f"complete -C '{line}'; echo =" for line in lines)
    *answers, end = ran(home, "fish", "-c", script).split("=\n")
    assert end == ""
    for (words, offered), answer in zip(SOME, answers, strict=True):
        assert {line.split("\t")[0] for line in answer.splitlines()} == offered, words


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_offers_what_a_command_takes(home: Path) -> None:
    """zsh evaluates the program's answer, with a stand-in for the editor's `_arguments`."""
    ran(home, "zsh", "-f", "-c", "odds-service --install-completion; true")
    script = (
        'compdef() { :; }; _arguments() { print -r -- "$@"; }\n'
        "source ~/.zfunc/_odds-service\n"
        "for line in \"$@\"; do words=(${(z)line}); [[ $line = *' ' ]] && words+=('')\n"
        "CURRENT=$#words; _odds_service_completion; print =; done"
    )
    lines = ["odds-service " + " ".join(words) for words, _ in SOME]
    *answers, end = ran(home, "zsh", "-f", "-c", script, "zsh", *lines).split("=\n")
    assert end == ""
    for (words, offered), answer in zip(SOME, answers, strict=True):
        assert set(re.findall(r'"([\w-]+)"', answer)) == offered, words
