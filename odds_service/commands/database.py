"""Options of the commands that open the database, and the loop that these run in."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import trio
import typer

from odds_service.bridge import open_bridge
from odds_service.commands.serve import only_error
from odds_service.config import Settings, load_settings
from odds_service.errors import OddsServiceError
from odds_service.storage import open_store
from odds_service.store import Store

T = TypeVar("T")

Config = Annotated[Path | None, typer.Option("--config", "-c", help="Settings file, TOML.")]
Url = Annotated[
    str | None, typer.Option("--database", help="sqlite:///file.db or postgresql://user@host/name")
]


def database_settings(config: Path | None, url: str | None) -> Settings:
    """Return the settings of a file with another database. Raises SettingsError."""
    return load_settings(config, database={"url": url})


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

    Raises:
        OddsServiceError: The only cause of a failure.
    """

    async def run() -> T:
        async with open_bridge():
            return await work()

    failed: BaseExceptionGroup[OddsServiceError] | None = None
    done: list[T] = []
    try:
        done.append(trio.run(run))
    except* OddsServiceError as group:
        failed = group
    if failed is not None:  # an error raised inside `except*` may come out in a group again
        raise only_error(failed) from None
    return done[0]
