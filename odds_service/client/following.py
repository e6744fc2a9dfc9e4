"""Reconnect logic of a subscription: the next request, the next retry, and the end. No I/O.

Transports open streams, read them and sleep; all decisions are made here.
"""

import logging
import random
from collections import deque
from typing import Final, Protocol, TypeVar

from odds_service.client import decode
from odds_service.client.errors import ServiceError
from odds_service.client.odds_map import OddsMap
from odds_service.client.requests import cursor_message
from odds_service.client.values import (
    Change,
    Changes,
    Disconnected,
    Freshness,
    Heartbeat,
    Odds,
    Opened,
    Step,
)
from odds_service.model.cursor import Cursor
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

Q_co = TypeVar("Q_co", covariant=True)
M_contra = TypeVar("M_contra", contravariant=True)
S_co = TypeVar("S_co", covariant=True)

log = logging.getLogger(__name__)

RETRY_FIRST_S: Final = 0.25
RETRY_MAX_S: Final = 15.0  # the longest wait, so a returning server is found this soon


class Backoff:
    """Exponential back-off: each wait doubles, up to a cap, minus a random share of up to half.

    The jitter keeps a restarted server's clients from reconnecting all at once.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()  # noqa: S311  # spreads load, hides nothing
        self._next_s = RETRY_FIRST_S

    def wait_s(self, at_least_s: float = 0.0) -> float:
        """Return the seconds to wait before the next attempt, at least `at_least_s`."""
        wait_s = self._next_s * self._rng.uniform(0.5, 1.0)
        self._next_s = min(2 * self._next_s, RETRY_MAX_S)
        return max(wait_s, at_least_s)

    def reset(self) -> None:
        """Reset after a success."""
        self._next_s = RETRY_FIRST_S


class Ended(Exception):
    """The server sent everything that was requested."""


class Follower(Protocol[Q_co, M_contra, S_co]):
    """The reconnect logic of one subscription over any number of streams."""

    def request(self) -> Q_co:
        """Return the request that opens the next stream."""
        ...

    def take(self, message: M_contra, /) -> S_co:
        """Process a message."""
        ...

    def ended(self, error: ServiceError | None) -> Disconnected:
        """Decide on the next attempt after a stream ended, with an error or without (None).

        Raises:
            Ended: Nothing is left to read.
            ServiceError: A retry would not help.
        """
        ...


class WatchFollower:
    """The reconnect logic and the state of one watch over any number of streams.

    `cursor` is the position up to which changes were returned. Save it after processing a change: a
    watch that resumes there gets everything after it. If a message was processed only in part, all
    its changes come again.
    """

    def __init__(
        self,
        request: pb.WatchChangesRequest,
        start: Odds | Cursor | None,
        *,
        wait_for_server: bool,
        backoff: Backoff | None = None,
    ) -> None:
        self.odds = OddsMap(start)
        self.cursor = self.odds.cursor
        self._request = request
        self._wait_for_server = wait_for_server
        self._backoff = backoff or Backoff()
        self._retry_after_s = 0.0
        self._waiting: deque[Change] = deque()

    def request(self) -> pb.WatchChangesRequest:
        """Return the request that opens the next stream."""
        self.odds.restart()
        request = pb.WatchChangesRequest()
        request.CopyFrom(self._request)
        if self.odds.cursor is not None:
            request.resume.CopyFrom(cursor_message(self.odds.cursor))
        return request

    def take(self, message: pb.WatchChangesResponse) -> Step | None:
        """Fold a message into the map.

        Raises:
            StreamGap: The stream has a gap.
        """
        step = self.odds.take(message)
        self._wait_for_server = True  # the address works, so retry every disconnect
        if isinstance(step, Changes | Heartbeat | Freshness) or (
            isinstance(step, Opened) and not step.image
        ):
            self._backoff.reset()
        self._retry_after_s = 0.0
        if message.HasField("closing"):
            self._retry_after_s = message.closing.retry_after.ToTimedelta().total_seconds()
        return step

    def ended(self, error: ServiceError | None) -> Disconnected:
        """Decide on the next attempt after a stream ended, with an error or without (None).

        Raises:
            Ended: The watch is complete.
            ServiceError: A retry would not help, or no server was ever reached and the caller does
                not want to wait for one.
        """
        if error is None:
            if self._request.image == pb.IMAGE_MODE_ONLY and self.odds.whole:
                raise Ended
            error = ServiceError("UNAVAILABLE", "the server ended the stream")
        if not error.passing or not self._wait_for_server:
            raise error
        at_least_s = max(self._retry_after_s, error.retry_after_s or 0.0)
        return _again(error, self._backoff.wait_s(at_least_s))

    def hand_out(self, step: Step | None, *, whole: bool) -> None:
        """Record a step as handed out: as a whole, or to be split into its changes."""
        if isinstance(step, Changes) and not whole:
            self._waiting.extend(step.changes)
        if not self._waiting:
            self.cursor = self.odds.cursor

    def next_change(self) -> Change | None:
        """Return the next change for the caller, or None if the next message is needed."""
        if not self._waiting:
            return None
        change = self._waiting.popleft()
        if not self._waiting:
            self.cursor = self.odds.cursor
        return change


class HistoryFollower:
    """The reconnect logic of one reading of the stored log; it never requests a page twice."""

    def __init__(self, request: pb.GetHistoryRequest, *, backoff: Backoff | None = None) -> None:
        self.cursor: Cursor | None = None
        self._request = request
        self._backoff = backoff or Backoff()

    def request(self) -> pb.GetHistoryRequest:
        """Return the request that opens the next stream."""
        request = pb.GetHistoryRequest()
        request.CopyFrom(self._request)
        if self.cursor is not None:
            request.from_cursor.CopyFrom(cursor_message(self.cursor))
        return request

    def take(self, page: pb.HistoryPage) -> None:
        """Record a page as read."""
        self._backoff.reset()
        self.cursor = decode.cursor(page.cursor)

    def ended(self, error: ServiceError | None) -> Disconnected:
        """Decide on the next attempt, like WatchFollower.ended()."""
        if error is None:
            raise Ended
        if not error.passing or self.cursor is None:
            raise error
        return _again(error, self._backoff.wait_s(error.retry_after_s or 0.0))


def _again(error: ServiceError, wait_s: float) -> Disconnected:
    """Return a disconnect, and log it for callers that iterate only over changes."""
    log.info("%s; trying again in %.1f s", error, wait_s)
    return Disconnected(error=error, retry_in_s=wait_s)
