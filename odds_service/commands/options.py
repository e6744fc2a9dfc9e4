"""Options shared by the client commands: the server, the selection and the output."""

import inspect
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer

from odds_service.client import Address, AddressError, Cursor, Filter
from odds_service.commands.completing import offered_ids
from odds_service.commands.output import Output
from odds_service.commands.times import FORMS, Times, Zone, read_time, time_option

DEFAULT_SERVER: Final = "127.0.0.1:50051"
LOG_PLACE: Final = "TIME|CURSOR"

AsJson = Annotated[
    bool, typer.Option("--json", help="One JSON object per line (protobuf's JSON mapping).")
]
AsCsv = Annotated[bool, typer.Option("--csv", help="Lines of CSV, with a heading.")]
Source = Annotated[list[str] | None, typer.Option("--source", help="Only this source; repeatable.")]


def one_form(*, as_csv: bool, as_json: bool) -> None:
    """Raise typer.BadParameter for two forms of output."""
    if as_csv and as_json:
        raise typer.BadParameter("give one of --csv and --json")


def connection(
    *,
    server: Annotated[
        str,
        typer.Option(
            envvar="ODDS_SERVER",
            help="host:port of the service; several with commas: another is used if one fails.",
        ),
    ] = DEFAULT_SERVER,
    tls: Annotated[
        bool, typer.Option("--tls", help="Use TLS; trust the system's certificate authorities.")
    ] = False,
    ca: Annotated[
        Path | None, typer.Option(help="Use TLS; trust the authorities in this PEM file.")
    ] = None,
    cert: Annotated[Path | None, typer.Option(help="Client certificate, for mutual TLS.")] = None,
    key: Annotated[Path | None, typer.Option(help="Private key of --cert.")] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="ODDS_TOKEN", help="Bearer token; prefer the environment variable."),
    ] = None,
    token_file: Annotated[Path | None, typer.Option(help="File with the bearer token.")] = None,
) -> Address:
    """Return the address of the server."""
    if token_file is not None:
        try:
            token = token_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise AddressError(f"--token-file: {token_file} cannot be read: {error}") from None
    return Address(server=server, tls=tls, ca=ca, certificate=cert, key=key, token=token)


def complete_event(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Complete the id of an event by asking the service of the command line so far."""
    given = {name: ctx.params.get(name) for name in inspect.signature(connection).parameters}
    try:
        address = connection(**{name: value for name, value in given.items() if value})
    except AddressError:
        return []
    return offered_ids(address, incomplete)


def selection(
    *,
    sport: Annotated[
        list[str] | None, typer.Option("--sport", help="Only this sport. Filters are repeatable.")
    ] = None,
    competition: Annotated[
        list[str] | None, typer.Option("--competition", help="Only this competition.")
    ] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(
            "--event", autocompletion=complete_event, help="Only this event (id, or its beginning)."
        ),
    ] = None,
    bookmaker: Annotated[
        list[str] | None, typer.Option("--bookmaker", help="Only this bookmaker.")
    ] = None,
    market: Annotated[
        list[str] | None, typer.Option("--market", help="Only this market type.")
    ] = None,
    source: Annotated[list[str] | None, typer.Option("--source", help="Only this source.")] = None,
    start_from: Annotated[
        datetime | None, time_option("Only events that start at or after this time.")
    ] = None,
    start_to: Annotated[
        datetime | None, time_option("Only events that start before this time.")
    ] = None,
    in_play: Annotated[
        bool | None,
        typer.Option("--in-play/--not-in-play", help="Only events in play, or all others."),
    ] = None,
) -> Filter:
    """Return the filter."""
    return Filter(
        sports=sport or (),
        competitions=competition or (),
        event_ids=event or (),
        bookmakers=bookmaker or (),
        markets=market or (),
        sources=source or (),
        start_from=start_from,
        start_to=start_to,
        in_play=in_play,
    )


class LogPlace(NamedTuple):
    """A position in the log, as given on the command line."""

    at: Cursor | datetime


def log_place(text: str) -> LogPlace:
    """Parse a time (see times.FORMS) or a cursor (EPOCH:REVISION)."""
    epoch, colon, revision = text.rpartition(":")
    if colon and epoch and revision.isascii() and revision.isdigit() and not _is_time(text):
        return LogPlace(Cursor(epoch, int(revision)))
    try:
        return LogPlace(read_time(text))
    except typer.BadParameter:
        text = f"{text!r} is neither a time ({FORMS}) nor EPOCH:REVISION"
        raise typer.BadParameter(text) from None


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def cursor(text: str) -> Cursor:
    """Parse EPOCH:REVISION. Raises typer.BadParameter."""
    epoch, _, revision = text.rpartition(":")
    if not epoch or not (revision.isascii() and revision.isdigit()):
        raise typer.BadParameter(f"{text!r} is not EPOCH:REVISION")
    return Cursor(epoch, int(revision))


def output(
    *,
    no_header: Annotated[
        bool, typer.Option("--no-header", help="Leave out the headings of tables.")
    ] = False,
) -> Output:
    """Return the output."""
    return Output(header=not no_header)


def plain_output() -> Output:
    """Return the output of a command without tables."""
    return Output()


def times(*, tz: Zone = None) -> Times:
    """Return the form of times."""
    return Times(tz)


def takes(**builders: Callable[..., object]) -> Callable[[Callable[..., None]], Any]:
    """Return a decorator that replaces parameters of a command by options.

    Args:
        builders: Parameter -> a function that takes the options and returns the argument.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        options = {name: inspect.signature(build).parameters for name, build in builders.items()}
        own = inspect.signature(command).parameters
        kept = [parameter for name, parameter in own.items() if name not in builders]
        added = [parameter for shared in options.values() for parameter in shared.values()]

        @wraps(command)
        def run(**given: Any) -> None:
            built = {
                name: build(**{option: given.pop(option) for option in options[name]})
                for name, build in builders.items()
            }
            command(**given, **built)

        run.__dict__["__signature__"] = inspect.Signature([*kept, *added])
        run.__annotations__ = {each.name: each.annotation for each in (*kept, *added)}
        return run

    return decorate
