"""The HTTP door of a node's settings."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from odds_service.config import HttpSettings
from odds_service.serving.server import Opens

if TYPE_CHECKING:
    from odds_service.metrics.families import Readings
    from odds_service.status import RpcReport


def http_doors(
    settings: HttpSettings, read: "Callable[[RpcReport], Readings]", now: Callable[[], datetime]
) -> list[Opens]:
    """Return the makers of what the settings open: one door, or none.

    Args:
        settings: The settings of the door.
        read: Reads the service beside a report of its calls.
        now: The log's clock.
    """
    if not settings.listen:
        return []
    # Its libraries are a sixth of a start; a service without this door is spared them.
    from odds_service.http.door import open_http
    from odds_service.http.scraping import scrape_of

    return [open_http(settings, partial(scrape_of, read=read, now=now))]
