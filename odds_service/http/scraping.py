"""The metrics at the HTTP door."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeAlias

from starlette.responses import Response

from odds_service.metrics.exposition import exposition, registry_of
from odds_service.metrics.families import Readings
from odds_service.serving.server import Room
from odds_service.status import RpcReport

# Returns the metrics in the format that an Accept header asks for.
Scrape: TypeAlias = Callable[[str], Awaitable[Response]]


def scrape_of(
    room: Room, read: Callable[[RpcReport], Readings], now: Callable[[], datetime]
) -> Scrape:
    """Return a reader of the metrics, which reads the service in the Trio thread.

    Args:
        room: The state behind every door.
        read: Reads the service beside a report of its calls.
        now: The log's clock.
    """
    registry = registry_of(lambda: read(room.context.report(now())))

    async def encode(accept: str) -> Response:
        return exposition(registry, accept)

    async def scrape(accept: str) -> Response:
        return await room.context.ask(encode, accept)

    return scrape
