"""Completion in a shell: commands, options of commands that are imported late, and event ids."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
import trio

from odds_service import cli
from odds_service.client import Address
from odds_service.commands.completing import WITHIN_S as WITHIN
from odds_service.commands.completing import offered_ids
from odds_service.model.market import MarketKey
from tests.support.command_line import ENVIRONMENT, ROOT, WITHIN_S, run
from tests.support.observations import observe, observed_event
from tests.support.odds_builders import Bookkeeping, serving

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


def bash(home: Path, script: str, environment: Mapping[str, str] = {}) -> list[str]:
    """Return the words that a script of bash prints."""
    return ran(home, "bash", "--norc", "-c", script, **environment).split()


def ran(home: Path, *command: str, **more: str) -> str:
    """Return what a shell prints, with the program on its path."""
    environment = ENVIRONMENT | {
        "HOME": str(home),
        "PATH": f"{home}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        **more,
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


def completed(home: Path, *words: str, environment: Mapping[str, str] = {}) -> list[str]:
    """Return what bash offers for the last word, by way of the installed function."""
    line = " ".join(f"'{word}'" for word in ("odds-service", *words))
    return bash(
        home,
        'source "$HOME/.bashrc"\n'
        f"COMP_WORDS=({line}); COMP_CWORD={len(words)}\n"
        "$(complete -p odds-service | sed 's/.*-F \\([^ ]*\\) .*/\\1/') odds-service\n"
        'echo "${COMPREPLY[@]}"',
        environment,
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
    (("bus", ""), {"init", "check", "status"}),
    (("bus", "check", "--m"), {"--monitor"}),
    (("config", "show", "--c"), {"--config"}),
    (("health", "--"), {"--help", "--server", "--tls", "--ca", "--cert", "--key", "--within"}),
    (("get", "--odds-format", ""), {"decimal", "american", "fractional"}),
]
# For shells that are seldom installed: an option, commands of a command, health's own, values.
SOME: Final = [OFFERED[0], OFFERED[3], OFFERED[9], OFFERED[10]]


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


# Shells would evaluate these in a description: typer escapes neither backslashes nor markup.
EVIL: Final = ("\\", r"\$(touch pwned)", "`touch pwned`", '"; touch pwned; "', "[/]", "a\tb\n(c)")


def evil_book() -> Bookkeeping:
    book = Bookkeeping()
    offer = {"b1": {MarketKey("h2h"): {"home": 2.0, "away": 1.9}}}
    shown = enumerate(EVIL)
    book.see(observe([observed_event(f"toa:e{n}", offer, home=name) for n, name in shown]))
    return book


async def offers(home: Path, *words: str, **environment: str) -> set[str]:
    return set(
        await trio.to_thread.run_sync(lambda: completed(home, *words, environment=environment))
    )


async def test_bash_offers_the_ids_of_events_that_the_service_has(home: Path) -> None:
    book = evil_book()
    # A shell splits words at the namespace's colon, and commands need none.
    ids = {event_id.removeprefix("toa:") for event_id in book.cache.events}
    async with serving(book) as server:
        there = {"ODDS_SERVER": server.address}
        one = min(ids)
        assert await offers(home, "get", "", **there) == ids
        assert await offers(home, "get", one, **there) == {one}
        shown = await trio.to_thread.run_sync(
            lambda: run("get", one, "--json", ODDS_SERVER=server.address)
        )
        assert f'"toa:{one}"' in shown.stdout
        assert await offers(home, "refresh", "", **there) == ids
        assert await offers(home, "watch", "--event", "", **there) == ids
        assert await offers(home, "history", "--server", server.address, "--event", "") == ids
    assert await offers(home, "get", "", **there) == set()  # nobody answers there any more


def test_a_silent_server_is_waited_for_half_a_second() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        assert offered_ids(Address(f"127.0.0.1:{silent.getsockname()[1]}"), "") == []
        took_s = time.monotonic() - began
    assert took_s < 10 * WITHIN  # also on a busy machine


async def test_names_from_outside_leave_a_shell_nothing_to_evaluate() -> None:
    async with serving(evil_book()) as server:
        found = await trio.to_thread.run_sync(offered_ids, Address(server.address), "")
    assert len(found) == len(EVIL)
    for _, name in found:
        assert not set(name) & set("\\$`\"';&|<>()[]{}*?!~#:\t\n"), name


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
async def test_zsh_runs_nothing_of_a_name_from_outside(home: Path) -> None:
    book = evil_book()
    script = '_arguments() { print -r -- "$@"; }; cd "$HOME"; eval "$(odds-service)"'
    async with serving(book) as server:
        answer = await trio.to_thread.run_sync(
            lambda: ran(
                home, "zsh", "-f", "-c", script,
                _ODDS_SERVICE_COMPLETE="complete_zsh",
                _TYPER_COMPLETE_ARGS="odds-service get ",
                ODDS_SERVER=server.address,
            )
        )  # fmt: skip
    assert all(event_id.removeprefix("toa:") in answer for event_id in book.cache.events)
    assert not (home / "pwned").exists()
