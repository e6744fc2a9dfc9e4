"""A process that owns a PostgreSQL database, renews, and can be paused.

`python -m tests.support.owning URL FOLDER HOW` writes a line for each step: `owns EPOCH`; `locked`
once it holds the writers' row (if HOW is `locked`; otherwise it writes); `unavailable` for an
outage; and `ended by` with the name of an error.
"""

import asyncio
import sys
from pathlib import Path

import trio

from odds_service.bridge import aio, open_bridge
from odds_service.errors import OddsServiceError, StorageUnavailable, first_in
from odds_service.storage import open_store
from odds_service.storage.database_store import DatabaseStore
from odds_service.storage.log.writing import aio_locked_state
from odds_service.store import Store, WriteGroup

RENEW_S = 1.0


def say(line: str) -> None:
    """Tell the test that started this process."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def renew(store: Store) -> None:
    """Renew every second, through any outage."""
    while True:
        try:
            await store.renew()
        except StorageUnavailable as error:
            say(f"unavailable {error}")
        await trio.sleep(RENEW_S)


async def write(store: Store) -> None:
    """Write an empty group ten times a second, through any outage."""
    while True:
        try:
            await store.write(WriteGroup())
        except StorageUnavailable as error:
            say(f"unavailable {error}")
        await trio.sleep(0.1)


async def hold(store: Store) -> None:
    """Lock the writers' row, and never end the transaction."""
    assert isinstance(store, DatabaseStore)
    database = store._database

    async def aio_hold() -> None:
        async with database.writing() as connection:
            await aio_locked_state(database, connection)
            say("locked")
            await asyncio.Event().wait()

    await aio(aio_hold)


async def run(url: str, folder: str, how: str) -> None:
    async with (
        open_bridge(),
        open_store(url, migrate=True, spill_folder=Path(folder)) as store,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(renew, store)
        fence = await store.fence()
        await store.open_epoch()
        await store.renew()
        say(f"owns {fence.epoch}")
        nursery.start_soon(hold if how == "locked" else write, store)


def main() -> None:
    try:
        url, folder, how = sys.argv[1:]
        trio.run(run, url, folder, how)
    except* OddsServiceError as group:
        say(f"ended by {type(first_in(group)).__name__}")


if __name__ == "__main__":
    main()
