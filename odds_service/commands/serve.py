"""`odds-service serve`: run the service until a signal stops it."""

from collections.abc import Callable
from functools import partial
from typing import Annotated

import typer

from odds_service.commands.options import plain_output, takes
from odds_service.commands.output import Output
from odds_service.commands.running import run_in_trio
from odds_service.commands.service_options import GivenSettings, service_settings
from odds_service.config import LogSettings, Settings
from odds_service.early import forget_signals
from odds_service.line_queue import queue_prints
from odds_service.logs import configure_logs
from odds_service.service import run_until_signalled


@takes(given=service_settings, out=plain_output)
def serve(
    *,
    given: GivenSettings,
    check: Annotated[
        bool, typer.Option("--check", help="Check the settings, print what would run, and exit.")
    ] = False,
    out: Output,
) -> None:
    """Scrape the configured sources and serve their odds over gRPC.

    Settings come from the file, the environment (ODDS_SERVER__LISTEN, …) and these flags; later
    ones take precedence. SIGTERM and ^C shut down gracefully; a second signal stops at once. SIGHUP
    reads the settings again, as `odds-service reload` does.
    """
    if check:
        forget_signals()
    settings = given.load()
    if check:
        configure_logs("error", settings.log.format)
        run_in_trio(partial(_check, out), settings)
    else:
        run(settings, load=given.load)


async def _check(out: Output, settings: Settings) -> None:
    from odds_service.checking import check_start  # it brings PostgreSQL's driver

    await check_start(settings, out.line)
    out.line("ready to start")


def run(
    settings: Settings,
    log: LogSettings | None = None,
    load: Callable[[], Settings] | None = None,
) -> None:
    """Configure logging and run the service until a signal.

    Args:
        settings: The checked settings.
        log: The form of the log; None for the settings' own.
        load: Reads the settings again at a SIGHUP; None if nothing can be read again.

    Raises:
        OddsServiceError: The only cause of a failure. Other crashes stay in their exception
            groups, so that tracebacks are shown.
    """
    log = log or settings.log
    queue_prints("stdout")  # a plug-in may print too
    configure_logs(log.level, log.format)
    run_in_trio(partial(run_until_signalled, load=load), settings)
