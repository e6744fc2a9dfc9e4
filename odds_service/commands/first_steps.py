"""The commands that a newcomer types next, as they can be copied on this machine."""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from odds_service.commands.options import DEFAULT_SERVER

PROGRAM: Final = "odds-service"


def typed(arguments: Sequence[str] = sys.argv) -> str:
    """Return the program as a person in this folder would type it.

    Args:
        arguments: The program's own command line, of which the first item is looked at.
    """
    program = Path(arguments[0])
    if program.name != PROGRAM:
        return f"{Path(sys.executable).name} -m odds_service"
    found = shutil.which(PROGRAM)
    if found is not None and Path(found).resolve() == program.resolve():
        return PROGRAM
    try:
        return shlex.quote(str(program.absolute().relative_to(Path.cwd())))
    except ValueError:  # elsewhere
        return shlex.quote(str(program))


def next_commands(program: str, server: str, event_id: str | None) -> list[str]:
    """Return the three commands for a second terminal.

    Args:
        program: The program as it is typed.
        server: The address of the running service.
        event_id: An event to look at, or the beginning of its id; None while there is none.
    """
    at = "" if server == DEFAULT_SERVER else f" --server {server}"
    event = event_id or "EVENT"
    return [
        f"{program} events{at}",
        f"{program} get {event} --best{at}",
        f"{program} watch{at}",
    ]


def demo_at(program: str, server: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return the command that starts the demo at another address, under make where make ran it."""
    if "MAKELEVEL" in environment:
        return f'make run ARGS="--listen {server}"'
    return f"{program} demo --listen {server}"
