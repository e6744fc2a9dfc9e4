"""From a database URL to a store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from odds_service.errors import StorageError
from odds_service.storage.base import Store
from odds_service.storage.sqlite import open_sqlite


def parse_url(text: str) -> URL:
    """The URL in parts. Raises StorageError, without what may be a password."""
    try:
        url = make_url(text)
    except ArgumentError:
        raise StorageError("database.url is no URL; write sqlite:///odds.db") from None
    if url.get_backend_name() != "sqlite":
        kind = url.drivername
        raise StorageError(f"database.url: {kind} is not supported; write sqlite:///odds.db")
    if not url.database or url.database == ":memory:":
        raise StorageError("database.url names no file; write sqlite:///odds.db")
    return url


@asynccontextmanager
async def open_store(text: str) -> AsyncIterator[Store]:
    """Open the store that the URL names; inside an open bridge only.

    Raises StorageError: the URL, the file, or its owner is not right.
    """
    url = parse_url(text)
    async with open_sqlite(Path(url.database or "")) as store:
        yield store
