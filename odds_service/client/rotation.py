"""The servers of one service, the one in use, and the order in which others are tried. No I/O."""

import logging
import threading
from collections.abc import Collection, Sequence
from typing import Final

from odds_service.client.errors import ServiceError

log = logging.getLogger(__name__)

# Reasons of UNAVAILABLE that concern the request or the client: another server would say the same.
_OF_THE_REQUEST: Final = frozenset(
    {
        "ACCESS_CHANGED",
        "NOT_DURABLE_YET",
        "NOT_FETCHED_YET",
        "NOT_SETTLED",
        "SOURCE_FAILED",
        "STALLED_READER",
    }
)


def is_away(error: ServiceError) -> bool:
    """Return whether a server did not serve, so that another one may."""
    return error.code == "UNAVAILABLE" and error.reason not in _OF_THE_REQUEST


class Rotation:
    """The servers, of which one is in use until it fails; safe for use from any thread.

    Calls and streams share it, so all of them follow when one of them changes over.

    Args:
        servers: The servers, each `host:port`; the first one is used first.
    """

    def __init__(self, servers: Sequence[str]) -> None:
        self._servers = tuple(servers)
        self._current = self._servers[0]
        self._lock = threading.Lock()

    @property
    def current(self) -> str:
        """Return the server in use."""
        return self._current

    def leave(self, server: str, tried: Collection[str], error: ServiceError) -> str | None:
        """Return the server to try after a failure, and use it from now on.

        If another caller has left the failed server already, its choice holds. The server in use
        does not change when all servers were tried.

        Args:
            server: The server that failed.
            tried: The servers that failed for this caller, that one included.
            error: The failure, for the log.

        Returns:
            A server that is not among those tried, or None if there is none.
        """
        with self._lock:
            if self._current not in tried:
                return self._current
            place = self._servers.index(server)
            following = (*self._servers[place + 1 :], *self._servers[:place])
            other = next((each for each in following if each not in tried), None)
            changes = other is not None and self._current == server
            if other is not None and changes:
                self._current = other
        if changes:
            log.warning("%s; changing over to %s", named(server, error), other)
        return other


class Round:
    """The attempts of one call or stream, in which each server is tried once.

    Attributes:
        server: The server of the latest attempt.
    """

    def __init__(self, rotation: Rotation) -> None:
        self.server = rotation.current
        self._rotation = rotation
        self._errors: dict[str, ServiceError] = {}
        self._over = False

    def next(self) -> str:
        """Return the server for the next attempt."""
        if self._over:
            self.restart()
        if not self._errors:
            self.server = self._rotation.current
        return self.server

    def failed(self, error: ServiceError) -> str | None:
        """Take the failure of the latest attempt.

        Returns:
            The server to try at once; None if all were tried, or another would fail alike.
        """
        if not is_away(error):
            return None
        self._errors[self.server] = error
        other = self._rotation.leave(self.server, self._errors, error)
        if other is None:
            self._over = True
        else:
            self.server = other
        return other

    def restart(self) -> None:
        """Begin a new round, since a server has served or all were tried."""
        self._errors.clear()
        self._over = False

    def told(self, error: ServiceError) -> ServiceError:
        """Return the last error of the round; it names all servers if several failed."""
        if len(self._errors) < 2 or not is_away(error):
            return error
        texts = (named(server, each) for server, each in self._errors.items())
        return ServiceError(
            error.code,
            f"none of {len(self._errors)} servers serves: {'; '.join(texts)}",
            reason=error.reason,
            metadata=error.metadata,
            retry_after_s=error.retry_after_s,
            sent=any(each.sent for each in self._errors.values()),
        )


def named(server: str, error: ServiceError) -> str:
    """Return the text of an error with the name of its server."""
    return str(error) if server in str(error) else f"{server}: {error}"
