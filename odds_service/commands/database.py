"""Options of the commands that open the database, and the loop that these run in."""

import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from odds_service.bridge import open_bridge
from odds_service.commands.running import run_interruptible
from odds_service.commands.service_options import Config, Url
from odds_service.config import Settings, load_settings
from odds_service.logs import configure_logs
from odds_service.storage import open_store
from odds_service.store import Store

T = TypeVar("T")

__all__ = ["Config", "Url", "database_settings", "on_bridge", "with_store"]


def database_settings(
    config: Path | None, url: str | None, *, migrate: bool | None = None
) -> Settings:
    """Return the settings of a file with another database. Raises SettingsError."""
    return load_settings(config, database={"url": url, "migrate": migrate})


def with_store(
    settings: Settings,
    work: Callable[[Store], Awaitable[T]],
    *,
    owner: bool = False,
    migrate: bool = False,
) -> T:
    """Open the store of settings and return what `work` returns for it.

    Args:
        settings: The settings.
        work: An async function of the store.
        owner: Open it as a service does, alone.
        migrate: Upgrade the tables first.

    Raises:
        OddsServiceError: The store cannot be opened, or the work failed.
    """
    url = settings.database.url.get_secret_value()

    async def run() -> T:
        async with open_store(url, owner=owner, migrate=migrate) as store:
            return await work(store)

    return on_bridge(run)


def on_bridge(work: Callable[[], Awaitable[T]]) -> T:
    """Run an async function in an open bridge and return its result.

    Log lines go to stderr, from warnings on: stdout belongs to the answer.

    Raises:
        OddsServiceError: The only cause of a failure.
    """

    async def run() -> T:
        async with open_bridge():
            return await work()

    if threading.current_thread() is threading.main_thread():  # else the process is not ours
        configure_logs("warning", "auto")
    return run_interruptible(run)
