"""`odds-service`: the service, its demo, and clients of any server."""

import gc
import importlib
import inspect
import sys
from importlib.util import find_spec
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from odds_service import __version__
from odds_service.commands.streams import (
    complain,
    end_line,
    tell_of_servers,
    tolerate_encodings,
)
from odds_service.errors import OddsServiceError, first_in, missing_extra

# Command -> its line in the overview. A command's module, with gRPC or all of the service, is
# imported when the command runs; a test holds these lines to the commands' own docstrings.
COMMANDS: Final = {
    "serve": "Scrape the configured sources and serve their odds over gRPC.",
    "demo": "Show odds as they change: scraped, stored, and watched over gRPC and in a browser.",
    "replay": "Serve recorded odds over HTTP in the shape of The Odds API, until ^C.",
    "get": "Print the current or past odds, with bookmakers side by side.",
    "watch": "Print changes until ^C, resuming by itself after a lost connection.",
    "events": "List events in the order of their start.",
    "status": "Print revisions, sources, the age of odds, queues, storage and subscribers.",
    "runs": "List the fetches of the sources, the newest first.",
    "coverage": "Count the events and markets of each competition that each bookmaker has now.",
    "unmapped": "List the markets that no table maps, the commonest first.",
    "history": "Print, export or draw stored changes in order, or print closing odds.",
    "value": "Value your own bets against the closing odds of each bookmaker, without its margin.",
    "import": "Put recorded bodies into a database, as if the service had run at their times.",
    "export": "Write the history as tables: a folder that grows, or one file.",
    "refresh": "Fetch an event now from all its sources, and wait until the result is stored.",
    "reload": "Make the service read its settings again, and print what it did.",
    "health": "Ask whether the service is serving; exit with code 1 if it is not. Needs no token.",
    "config": "Print the effective settings with their origins.",
    "try": "Fetch once from a source, and print what was understood, skipped and unmapped.",
    "sources": "Report how much of recorded bodies is understood, and contradictions in them.",
    "db": "Upgrade, verify, back up or restore the database, or handle its dead letters.",
    "bus": "Make, check or show the stream of the log that several nodes share.",
}
# Commands that need the extra `server`, and modules that come with it alone.
SERVER_COMMANDS: Final = frozenset(
    {"serve", "demo", "replay", "config", "try", "sources", "db", "import", "export", "bus"}
)
# Commands whose modules have other names.
_PLACES: Final = {"try": "try_source", "import": "import_"}
SERVER_MODULES: Final = ("alembic", "grpc_health", "httpx", "pydantic_settings", "trio_asyncio")


class LateCommands(TyperGroup):
    """Commands that are imported when they run, and only named in the overview."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Replace the placeholder of a command by the command itself."""
        name = args[0]
        if name in COMMANDS:
            self.commands[name] = load(name)
        return super().resolve_command(ctx, args)


class _ReadsItself(TyperCommand):
    """`health`: its options are not the command line's, but completion lists them."""

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Return the options of its own parser that begin so, in the form of click."""
        from odds_service.health import parser

        def listed(**_: str) -> None:
            """Have the options; never called."""

        parameters = [
            inspect.Parameter(
                name.removeprefix("--"),
                inspect.Parameter.KEYWORD_ONLY,
                annotation=str,
                default=typer.Option("", name, help=text),
            )
            for name, text in parser().helps.items()
            if name.startswith("--")
        ]
        listed.__dict__["__signature__"] = inspect.Signature(parameters)
        named = typer.Typer(add_completion=False)
        named.command()(listed)
        return typer.main.get_command(named).shell_complete(ctx, incomplete)


def load(name: str) -> Any:
    """Import a command and return it in the form that typer runs.

    Raises:
        SettingsError: The command needs the extra `server` or `bus`, which is not installed.
    """
    if name in SERVER_COMMANDS and not all(map(find_spec, SERVER_MODULES)):
        raise missing_extra(f"`odds-service {name}`", "server")
    if name == "bus" and find_spec("nats") is None:
        raise missing_extra(f"`odds-service {name}`", "server,bus")
    place = _PLACES.get(name, name)
    found = getattr(importlib.import_module(f"odds_service.commands.{place}"), place)
    if not gc.isenabled():  # __main__ has disabled it
        gc.freeze()  # modules stay: no collection needs to look at them again
        gc.enable()
    if isinstance(found, typer.Typer):  # a command with commands of its own
        return typer.main.get_command(found)
    single = typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich"
    )
    # `health` reads its own arguments.
    own = name == "health"
    settings = {"ignore_unknown_options": True, "allow_extra_args": True} if own else {}
    cls = _ReadsItself if own else TyperCommand
    single.command(name, cls=cls, context_settings=settings, add_help_option=not own)(found)
    return typer.main.get_command(single)


app = typer.Typer(
    cls=LateCommands,
    help=__doc__,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"odds-service {__version__}")
        raise typer.Exit


@app.callback()
def _overview(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print it, and exit."
        ),
    ] = False,
) -> None:
    del version  # its callback has printed it


def _named(name: str) -> None:
    app.command(name, help=COMMANDS[name])(lambda: None)


for _name in COMMANDS:
    _named(_name)


def main() -> NoReturn:
    """Run a command; an error that the user can fix is one line on stderr, without a traceback.

    Exit codes: 0 done, 1 an error (without a text if the reader of the output has gone), 2 wrong
    usage, 3 nothing matches, 130 interrupted.
    """
    tolerate_encodings()
    tell_of_servers()
    try:
        app()
    except OddsServiceError as error:
        complain(f"error: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        end_line()
        sys.exit(130)
    except BaseExceptionGroup as group:  # an end comes out of nurseries in a group
        ends, others = group.split((KeyboardInterrupt, SystemExit))
        if ends is None or others is not None:
            raise
        _end_with(ends)
    sys.exit(0)


def _end_with(group: BaseExceptionGroup[BaseException]) -> NoReturn:
    """End with the first of a group of KeyboardInterrupt and SystemExit."""
    first = first_in(group)
    if isinstance(first, SystemExit):
        raise first from None
    end_line()
    sys.exit(130)
