"""The HTTP door: an application on the serving thread's loop."""

from collections.abc import Callable
from typing import TypeAlias

from odds_service.config import HttpSettings
from odds_service.errors import SettingsError
from odds_service.http.app import application
from odds_service.http.connections import Connections
from odds_service.http.scraping import Scrape
from odds_service.ports import offer_free
from odds_service.serving.auth import is_closed
from odds_service.serving.server import Room

# Returns the reader of the metrics of a room.
Scrapes: TypeAlias = Callable[[Room], Scrape]


class HttpDoor:
    """The HTTP server as a door; see serving.server.Door."""

    def __init__(self, room: Room, settings: HttpSettings, scrape: Scrape | None = None) -> None:
        self._settings = settings
        closed = is_closed(room.context.parts.settings, settings.listen)
        app = application(room, settings, closed=closed, scrape=scrape)
        self._connections = Connections(app, room.guard.certificates)

    async def start(self) -> str:
        """Start to listen, and return the address with its real port. Raises SettingsError."""
        host, _, port = self._settings.listen.rpartition(":")
        try:
            bound = await self._connections.listen(host.strip("[]"), int(port))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            text = f"http.listen: cannot listen on {self._settings.listen}: {reason}"
            raise SettingsError(text + offer_free(host, int(port))) from None
        return f"{host}:{bound}"

    async def show_ready(self) -> None:
        """Do nothing: /readyz looks at the room at each request."""

    async def stop(self, grace_s: float) -> None:
        """Close; calls still running after `grace_s` are cancelled."""
        await self._connections.close(grace_s)


def open_http(settings: HttpSettings, scrapes: Scrapes | None = None) -> Callable[[Room], HttpDoor]:
    """Return the maker of a door with these settings; without `scrapes` it has no metrics."""
    return lambda room: HttpDoor(room, settings, None if scrapes is None else scrapes(room))
