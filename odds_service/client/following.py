"""Reconnect logic of a subscription: the next request, the next retry, and the end. No I/O.

Transports open streams, read them and sleep; all decisions are made here.
"""

import enum
import logging
import math
import random
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice
from typing import Final, Generic, Protocol, TypeVar

from msgspec.structs import replace

from odds_service.client import decode
from odds_service.client.errors import ServiceError
from odds_service.client.market_change import ChangeKind
from odds_service.client.market_decoding import moment
from odds_service.client.odds_map import OddsMap
from odds_service.client.requests import cursor_message
from odds_service.client.rotation import Round
from odds_service.client.values import (
    Change,
    Changes,
    Disconnected,
    Freshness,
    Heartbeat,
    ImageLoaded,
    Odds,
    Opened,
    Step,
)
from odds_service.model.cursor import Cursor, is_amid, is_incomplete
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

Q_co = TypeVar("Q_co", covariant=True)
M_contra = TypeVar("M_contra", contravariant=True)
S_co = TypeVar("S_co", covariant=True)

log = logging.getLogger(__name__)

LINE_MOVED: Final = "line_moved"  # the reason of both halves of a moved line
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

    def ended(self, error: ServiceError | None, attempts: Round) -> Disconnected:
        """Decide on the next attempt after a stream ended, with an error or without (None).

        Another server that was not tried yet comes at once; a wait comes when all were tried.

        Raises:
            Ended: Nothing is left to read.
            ServiceError: A retry would not help.
        """
        ...


class Split(enum.Enum):
    """The parts of a message that a reader gets one by one, each folded as it is handed out."""

    NOT = enum.auto()  # the whole message
    CHANGES = enum.auto()
    TIMES = enum.auto()  # the changes that were detected at one time


class MapFollower(ABC, Generic[Q_co, M_contra]):
    """The reconnect logic and the state of one watch or replay over any number of streams.

    `cursor` is the position up to which changes were returned. Save it after processing a change: a
    watch that resumes there gets everything after it. If a message was processed only in part, all
    its changes come again.

    Attributes:
        odds: The map.
        split: The parts in which messages are handed out; set before the first one is taken.
        now: The time of the log: `detected_at` of the newest change handed out, or the newest
            `changed_at` of an image that is later; None before either.
    """

    def __init__(
        self,
        start: Odds | Cursor | None,
        *,
        wait_for_server: bool,
        places: bool = True,
        backoff: Backoff | None = None,
    ) -> None:
        """Prepare to follow.

        Args:
            start: The odds or the place to go on from.
            wait_for_server: Whether to keep trying before a server was ever reached.
            places: Whether every place in a message is one to resume at.
            backoff: The waits between attempts.
        """
        self.odds = OddsMap(start)
        self.cursor = self.odds.cursor
        self.split = Split.NOT
        self.now: datetime | None = None
        self._wait_for_server = wait_for_server
        self._places = places
        self._backoff = backoff or Backoff()
        self._retry_after_s = 0.0
        self._waiting: deque[Change] = deque()
        self._folded = 0  # of those that wait
        self._message: Changes | None = None  # the one that they are of
        self._epoch: str | None = None  # of its cursor, if its changes are places to resume at

    @abstractmethod
    def request(self) -> Q_co:
        """Return the request that opens the next stream."""

    @abstractmethod
    def is_complete(self) -> bool:
        """Return whether a stream that ended without an error sent all that was asked for."""

    def take(self, message: M_contra) -> Step | None:
        """Fold a message into the map.

        Raises:
            StreamGap: The stream has a gap.
        """
        assert isinstance(message, pb.WatchChangesResponse | pb.ReplayResponse)  # noqa: S101  # M
        step = self.odds.take(message, fold=self.split is Split.NOT)
        self._wait_for_server = True  # the address works, so retry every disconnect
        if isinstance(step, Changes | Heartbeat | Freshness) or (
            isinstance(step, Opened) and not step.image
        ):
            self._backoff.reset()
        self._retry_after_s = 0.0
        if message.HasField("closing"):
            self._retry_after_s = message.closing.retry_after.ToTimedelta().total_seconds()
        return step

    def ended(self, error: ServiceError | None, attempts: Round) -> Disconnected:
        """Decide on the next attempt after a stream ended; see Follower.ended().

        Raises:
            Ended: Everything has come.
            ServiceError: A retry would not help, or no server was ever reached and the caller does
                not want to wait for one.
        """
        if error is None:
            if self.is_complete():
                raise Ended
            error = ServiceError("UNAVAILABLE", "the server ended the stream")
        if (other := attempts.failed(error)) is not None:
            return _elsewhere(error, other)
        error = attempts.told(error)
        if not error.passing or not self._wait_for_server:
            raise error
        at_least_s = max(self._retry_after_s, error.retry_after_s or 0.0)
        return _again(error, self._backoff.wait_s(at_least_s))

    def hand_out(self, step: Step | None) -> bool:
        """Record a step of the stream; return whether it is handed out as a whole.

        Changes that are to be split are not: `next_change` and `next_time` return them.
        """
        if isinstance(step, Changes) and self.split is not Split.NOT:
            self._waiting.extend(step.changes)
            self._message = step
            epoch = step.cursor.epoch
            places = self._places and not is_amid(epoch) and not is_incomplete(epoch)
            self._epoch = epoch if places else None
            if not step.changes:
                self._reach(step)
            return False
        if isinstance(step, Changes) and step.changes:
            self.now = step.changes[-1].detected_at
        elif isinstance(step, ImageLoaded):
            newest = _newest(self.odds)
            self.now = newest if self.now is None or newest is None else max(self.now, newest)
        self.cursor = self.odds.cursor
        return True

    def due_s(self) -> float:
        """Return the seconds until the next change or step may be handed out; 0 in a live watch."""
        return 0.0

    def next_change(self) -> Change | None:
        """Return the next change for the caller, or None if the next message is needed.

        Raises:
            StreamGap: The change contradicts the stream so far.
        """
        waiting = self._waiting
        if not waiting:
            return None
        if not self._folded:
            self._fold(_belonging(waiting))
        change = waiting.popleft()
        self._folded -= 1
        self.now = change.detected_at
        if not waiting and self._message is not None:
            self._reach(self._message)
        return change

    def next_time(self) -> Changes | None:
        """Return the next changes of one time, or None if the next message is needed.

        Raises:
            StreamGap: A change contradicts the stream so far.
        """
        waiting, message = self._waiting, self._message
        if not waiting or message is None:
            return None
        at = waiting[0].detected_at
        count = 1
        while count < len(waiting) and waiting[count].detected_at == at:
            count += 1
        self._fold(count)
        changes = tuple(waiting.popleft() for _ in range(count))
        self._folded = 0
        self.now = at
        if not waiting:
            self._reach(message)
            return replace(message, changes=changes)
        cursor = self.odds.cursor or message.cursor
        return replace(message, changes=changes, cursor=cursor)

    def _fold(self, count: int) -> None:
        waiting = self._waiting
        together = (waiting[0],) if count == 1 else tuple(islice(waiting, count))
        self.odds.fold(together, self._epoch)
        self._folded = count

    def _reach(self, message: Changes) -> None:
        self.odds.reach(message)
        self.cursor = self.odds.cursor


class WatchFollower(MapFollower[pb.WatchChangesRequest, pb.WatchChangesResponse]):
    """The follower of a watch; see MapFollower."""

    def __init__(
        self,
        request: pb.WatchChangesRequest,
        start: Odds | Cursor | None,
        *,
        wait_for_server: bool,
        backoff: Backoff | None = None,
    ) -> None:
        conflated = request.HasField("conflate")
        super().__init__(
            start, wait_for_server=wait_for_server, places=not conflated, backoff=backoff
        )
        self._request = request

    def request(self) -> pb.WatchChangesRequest:
        """Return the request that opens the next stream."""
        self.odds.restart()
        request = pb.WatchChangesRequest()
        request.CopyFrom(self._request)
        if self.odds.cursor is not None:
            request.resume.CopyFrom(cursor_message(self.odds.cursor))
        return request

    def is_complete(self) -> bool:
        """Return whether the image has come, if nothing else was asked for."""
        return self._request.image == pb.IMAGE_MODE_ONLY and self.odds.whole


class ReplayClock:
    """The clock of a replay that goes at a multiple of the log's own pace.

    Attributes:
        begins: The time of the log at which it begins; None for that of the first change.
    """

    def __init__(self, speed: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare a pace, which begins when it is first asked.

        Args:
            speed: The seconds of the log in one second.
            clock: Returns the seconds of a monotonic clock.
        """
        self.begins: datetime | None = None
        self._speed = speed
        self._clock = clock
        self._begun_s: float | None = None

    def due_s(self, at: datetime) -> float:
        """Return the seconds until the log's clock reaches a time; negative if it is past."""
        if self._begun_s is None:
            self._begun_s = self._clock()
        self.begins = self.begins or at
        return self._begun_s + (at - self.begins).total_seconds() / self._speed - self._clock()


class ReplayFollower(MapFollower[pb.ReplayRequest, pb.ReplayResponse]):
    """The follower of a replay, at full speed or by the clock."""

    def __init__(
        self,
        request: pb.ReplayRequest,
        *,
        speed: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        backoff: Backoff | None = None,
    ) -> None:
        """Prepare to follow.

        Args:
            request: The request, without a place to resume at.
            speed: The seconds of the log in one second; None does not wait.
            clock: Returns the seconds of a monotonic clock.
            backoff: The waits between attempts.

        Raises:
            ValueError: The speed is not above 0.
        """
        if speed is not None and not 0 < speed < math.inf:
            raise ValueError(f"speed is {speed}: it must be above 0")
        super().__init__(None, wait_for_server=False, backoff=backoff)
        self._request = request
        self._log_clock = None if speed is None else ReplayClock(speed, clock)
        if self._log_clock is not None and request.HasField("from_time"):
            self._log_clock.begins = moment(request.from_time)

    def request(self) -> pb.ReplayRequest:
        """Return the request that opens the next stream."""
        self.odds.restart()
        request = pb.ReplayRequest()
        request.CopyFrom(self._request)
        if self.odds.cursor is not None:
            request.resume.CopyFrom(cursor_message(self.odds.cursor))
        return request

    def is_complete(self) -> bool:
        """Return whether the end has come."""
        return self.odds.ended

    def due_s(self) -> float:
        """Return the seconds until the log's clock reaches the next change."""
        if self._log_clock is None or not self._waiting or self._folded:
            return 0.0
        return self._log_clock.due_s(self._waiting[0].detected_at)


def _belonging(waiting: Sequence[Change]) -> int:
    """Return how many of the next changes are folded together.

    They are those with one revision, with which an event enters or leaves a filter, and the two
    halves of a moved line.
    """
    first = waiting[0]
    count = 1
    while count < len(waiting) and waiting[count].revision == first.revision:
        count += 1
    moves = first.reason == LINE_MOVED and first.kind is ChangeKind.REMOVED
    if count == 1 and moves and len(waiting) > 1 and waiting[1].reason == LINE_MOVED:
        return 2
    return count


def _newest(odds: OddsMap) -> datetime | None:
    return max(
        (
            market.changed_at
            for entry in odds.events.values()
            for each in entry.bookmakers.values()
            for market in each.markets.values()
        ),
        default=None,
    )


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

    def ended(self, error: ServiceError | None, attempts: Round) -> Disconnected:
        """Decide on the next attempt, like WatchFollower.ended()."""
        if error is None:
            raise Ended
        if (other := attempts.failed(error)) is not None:
            return _elsewhere(error, other)
        error = attempts.told(error)
        if not error.passing or self.cursor is None:
            raise error
        return _again(error, self._backoff.wait_s(error.retry_after_s or 0.0))


def _elsewhere(error: ServiceError, server: str) -> Disconnected:
    """Return a disconnect after which another server comes at once."""
    return Disconnected(error=error, retry_in_s=0.0, changed_to=server)


def _again(error: ServiceError, wait_s: float) -> Disconnected:
    """Return a disconnect, and log it for callers that iterate only over changes."""
    log.info("%s; trying again in %.1f s", error, wait_s)
    return Disconnected(error=error, retry_in_s=wait_s)
