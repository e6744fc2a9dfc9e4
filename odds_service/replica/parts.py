"""The parts of a read node, assembled from the settings and the database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog
import trio
from msgspec import Struct

from odds_service.bridge import BridgeFaults
from odds_service.cache import OddsCache
from odds_service.certificates import Guard, guards_of
from odds_service.clock import Clock, SteadyClock, SystemClock
from odds_service.config import Settings
from odds_service.delays import Delays
from odds_service.errors import StorageUnavailable
from odds_service.feed import ChangeFeed
from odds_service.pipeline.sizes import Sizes
from odds_service.replica.following import Following
from odds_service.replica.replica import Replica, replica_of
from odds_service.replica.upstream import Upstream
from odds_service.storage import open_store
from odds_service.store import Store, Stored
from odds_service.watchdog import Watchdog

_LOAD_AGAIN_S: Final = 1.0

log = structlog.get_logger(__name__)


class ReadParts(Struct, frozen=True, kw_only=True):
    """All parts of one read node.

    Attributes:
        started_s: The boot clock at the assembly.
        replica: The odds of the database, from which the following begins.
        cache: The cache that is served; only the follower changes it.
        feed: Its feed.
    """

    settings: Settings
    faults: BridgeFaults
    watchdog: Watchdog
    clock: SteadyClock
    started_s: float
    store: Store
    replica: Replica
    cache: OddsCache
    feed: ChangeFeed
    following: Following
    upstream: Upstream
    guards: dict[str, Guard]
    delays: Delays
    sizes: Sizes


@asynccontextmanager
async def assemble_reader(
    settings: Settings, faults: BridgeFaults, watchdog: Watchdog, clock: Clock | None = None
) -> AsyncIterator[ReadParts]:
    """Open the database beside its owner, load the odds and wire the parts; nothing runs yet.

    It waits for a database that does not answer, or that no owner has used yet.

    Args:
        settings: The checked settings.
        faults: The count of errors that reached the asyncio loop of the database.
        watchdog: The watch over this thread.
        clock: The source of all time; None for the machine's own clocks.

    Raises:
        StorageError: The database cannot be used; the text names the reason.
    """
    guards = guards_of(settings)
    steady = SteadyClock(clock or SystemClock())
    async with open_store(settings.database.url.get_secret_value(), owner=False) as store:
        replica = replica_of(await _loaded(store), steady.reading)
        upstream = Upstream()
        yield ReadParts(
            settings=settings,
            faults=faults,
            watchdog=watchdog,
            clock=steady,
            started_s=steady.boot_s(),
            store=store,
            replica=replica,
            cache=replica.cache,
            feed=replica.feed,
            following=Following(settings.bus, replica, upstream, steady),
            upstream=upstream,
            guards=guards,
            delays=Delays(),
            sizes=Sizes(),
        )


async def _loaded(store: Store) -> Stored:
    reason = ""
    while True:
        try:
            return await store.warm()
        except StorageUnavailable as error:
            if str(error) != reason:
                reason = str(error)
                log.warning("odds_not_loaded", reason=reason)
        await trio.sleep(_LOAD_AGAIN_S)
