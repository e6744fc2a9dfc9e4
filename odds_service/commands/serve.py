"""`odds-service serve`: run the service until a signal stops it."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Annotated

import trio
import typer

from odds_service.checking import check_start
from odds_service.commands.options import takes
from odds_service.commands.service_options import GivenSettings, service_settings
from odds_service.config import LogSettings, Settings
from odds_service.errors import OddsServiceError
from odds_service.logs import configure_logs
from odds_service.service import run_until_signalled
from odds_service.signals import Hangups


@takes(given=service_settings)
def serve(
    *,
    given: GivenSettings,
    check: Annotated[
        bool, typer.Option("--check", help="Check the settings, print what would run, and exit.")
    ] = False,
) -> None:
    """Scrape the configured sources and serve their odds over gRPC.

    Settings come from the file, the environment (ODDS_SERVER__LISTEN, …) and these flags; later
    ones take precedence. SIGTERM and ^C shut down gracefully; a second signal stops at once. SIGHUP
    reads the settings again, as `odds-service reload` does.
    """
    hangups = None if check else Hangups()
    settings = given.load()
    if check:
        configure_logs("error", settings.log.format)
        _run(_check, settings)
    else:
        run(settings, load=given.load, hangups=hangups)


async def _check(settings: Settings) -> None:
    async with aclosing(check_start(settings)) as found:
        async for line in found:
            typer.echo(line)
    typer.echo("ready to start")


def run(
    settings: Settings,
    log: LogSettings | None = None,
    load: Callable[[], Settings] | None = None,
    hangups: Hangups | None = None,
) -> None:
    """Configure logging and run the service until a signal.

    Args:
        settings: The checked settings.
        log: The form of the log; None for the settings' own.
        load: Reads the settings again at a SIGHUP; None if nothing can be read again.
        hangups: Remembers a SIGHUP from before.

    Raises:
        OddsServiceError: The only cause of a failure. Other crashes stay in their exception
            groups, so that tracebacks are shown.
    """
    log = log or settings.log
    configure_logs(log.level, log.format)
    _run(partial(run_until_signalled, load=load, hangups=hangups), settings)


def _run(work: Callable[[Settings], Awaitable[None]], settings: Settings) -> None:
    try:
        trio.run(work, settings)
    except* OddsServiceError as group:
        raise only_error(group) from group


def only_error(group: BaseExceptionGroup[OddsServiceError]) -> OddsServiceError:
    """Return the first error in a nested group."""
    first = group.exceptions[0]
    return only_error(first) if isinstance(first, BaseExceptionGroup) else first
