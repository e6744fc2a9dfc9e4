"""`odds-service serve`: run the service until a signal stops it."""

from pathlib import Path
from typing import Annotated

import trio
import typer

from odds_service.config import LogSettings, Settings, load_settings
from odds_service.errors import OddsServiceError
from odds_service.logs import configure_logs
from odds_service.service import run_until_signalled


def serve(
    *,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Settings file, TOML.")
    ] = None,
    listen: Annotated[
        str | None, typer.Option(help="host:port of the gRPC server; port 0 takes a free one.")
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(help="host:port of Prometheus metrics; default: off.")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="sqlite:///file.db or postgresql://user@host/name")
    ] = None,
    migrate: Annotated[
        bool | None, typer.Option("--migrate", help="Upgrade PostgreSQL's tables first.")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_format: Annotated[str | None, typer.Option(help="auto, json or pretty.")] = None,
) -> None:
    """Scrape the configured sources and serve their odds over gRPC.

    Settings come from the file, the environment (ODDS_SERVER__LISTEN, …) and these flags; later
    ones take precedence. SIGTERM and ^C shut down gracefully; a second signal stops at once.
    """
    settings = load_settings(
        config,
        server={"listen": listen},
        metrics={"listen": metrics},
        database={"url": database, "migrate": migrate},
        log={"level": log_level, "format": log_format},
    )
    run(settings)


def run(settings: Settings, log: LogSettings | None = None) -> None:
    """Configure logging and run the service until a signal.

    Raises:
        OddsServiceError: The only cause of a failure. Other crashes stay in their exception
            groups, so that tracebacks are shown.
    """
    log = log or settings.log
    configure_logs(log.level, log.format)
    trio.run(_serve, settings)


async def _serve(settings: Settings) -> None:
    try:
        await run_until_signalled(settings)
    except* OddsServiceError as group:
        raise only_error(group) from group


def only_error(group: BaseExceptionGroup[OddsServiceError]) -> OddsServiceError:
    """Return the first error in a nested group."""
    first = group.exceptions[0]
    return only_error(first) if isinstance(first, BaseExceptionGroup) else first
