"""`odds-service`: the service, its demo, and clients of any server."""

import os
import sys
from typing import NoReturn

import typer
from rich.console import Console

from odds_service.client import ServiceError
from odds_service.commands.demo import demo
from odds_service.commands.events import events
from odds_service.commands.get import get
from odds_service.commands.replay import replay
from odds_service.commands.serve import serve
from odds_service.commands.status import status
from odds_service.commands.watch import watch
from odds_service.errors import OddsServiceError

app = typer.Typer(
    help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
for command in (serve, demo, replay, get, watch, events, status):
    app.command()(command)


def main() -> NoReturn:
    """Run a command; what the user can mend is one line on stderr and exit code 1.

    Exit codes: 0 done, 1 an error, 2 wrong usage, 130 interrupted.
    """
    try:
        app()
    except (OddsServiceError, ServiceError) as error:
        Console(stderr=True, soft_wrap=True).print(f"[red]error:[/] {_plain(str(error))}")
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output has gone; Python's own flush at exit must not complain of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


def _plain(text: str) -> str:
    return text.replace("[", "\\[")
