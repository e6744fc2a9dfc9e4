"""The follower: it keeps a read node's odds up with the log on the bus.

It runs on the loop of the bus thread, where it also applies what it reads: swaps are short and
under the cache's lock, so neither the Trio thread nor the server's waits for the application of a
message. When the log does not go on from what is here, it loads the odds anew beside those served,
follows the log to its end, and hands them over in one step.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import aclosing, suppress
from datetime import datetime
from time import monotonic
from typing import Final, Protocol

import structlog

from odds_service.bus.bus import Bus
from odds_service.bus.finding import find
from odds_service.bus.log import Gone, Hole, LogError, MadeAnew, Stored, TailLost, Unavailable
from odds_service.bus.messages import BadMessage, decode
from odds_service.errors import StorageUnavailable
from odds_service.replica.replica import Replica, Taken

LOOK_S: Final = 1.0  # between two looks at the sources and at the end of the log
AWAY_S: Final = 3.0  # without any message; the log gets one each second
RETRY_FIRST_S: Final = 0.1
RETRY_MOST_S: Final = 2.0
REWIND_S: Final = 5.0  # the wait for changes that are served, and that the log does not hold
BEHIND_MESSAGES: Final = 200  # a second of a busy day; a node further behind is catching up
_CLOCKS: Final = 30  # looks among which the promptest message is sought

log = structlog.get_logger(__name__)


class Node(Protocol):
    """The rest of the node, as the follower sees it; called on the follower's loop."""

    async def load(self) -> Replica:
        """Return the odds of the database. Raises StorageUnavailable."""
        ...

    async def set_ready(self, ready: bool) -> None:
        """Say whether clients should come."""
        ...

    async def end_streams(self) -> None:
        """End all streams and let none begin: what they were sent no longer exists."""
        ...

    async def reopen_streams(self) -> None:
        """Let streams begin again."""
        ...


class Follower:
    """The reader of the log of one read node.

    Args:
        replica: The odds that are served, at a revision that the database holds.
        open_bus: Connects to the bus.
        node: The rest of the node.
        wall: The wall clock.

    Attributes:
        bus: The present connection.
        rebuilds: The number of times that the odds were loaded anew.
        rewinds: The number of those after which streams had to end.
        sequence: The last message taken.
        log_last: The last message of the log, as of the last look.
        reason: The trouble; empty without one.
    """

    def __init__(
        self,
        replica: Replica,
        open_bus: Callable[[], Bus],
        node: Node,
        wall: Callable[[], datetime],
    ) -> None:
        self.bus = open_bus()
        self.rebuilds = self.rewinds = 0
        self.sequence = self.log_last = 0
        self.reason = ""
        self._served = replica
        self._open_bus = open_bus
        self._node = node
        self._wall = wall
        self._ready = self._was_ready = self._rebuilding = False
        self._applied_before = 0  # by replicas that were replaced
        self._heard_at = monotonic()
        self._leads: deque[float] = deque(maxlen=_CLOCKS)
        self._lead: float | None = None

    # What a status shows; any thread may read it

    @property
    def applied(self) -> int:
        """The number of messages applied."""
        return self._applied_before + self._served.applied

    @property
    def away(self) -> bool:
        """True once nothing has come from the bus for AWAY_S."""
        return monotonic() - self._heard_at > AWAY_S

    @property
    def behind(self) -> int:
        """The messages of the log that are not taken yet, as of the last look."""
        return max(0, self.log_last - self.sequence)

    @property
    def state(self) -> str:
        """See BusReport.state."""
        if self._rebuilding:
            return "rebuilding"
        if not self._was_ready:
            return "starting"
        if self.away:
            return "away"
        return "following" if self._ready and self.behind <= BEHIND_MESSAGES else "catching_up"

    @property
    def sent_at(self) -> datetime | None:
        """The time of the newest message applied, by its sender's clock."""
        return self._served.sent_at

    @property
    def lead_s(self) -> float | None:
        """The wall clock less the sender's at the promptest of the recent messages, in seconds."""
        leads = list(self._leads)
        return min(leads) if leads else self._lead

    # The work

    async def run(self) -> None:
        """Follow the log until cancelled, or until the bus is closed.

        Raises:
            StorageError: The database cannot be used.

        Cancellation: What was read is applied; a load is dropped.
        """
        judging = asyncio.create_task(self._judge())
        try:
            await self._run()
        finally:
            judging.cancel()
            with suppress(asyncio.CancelledError):
                await judging  # noqa: ASYNC102  # it is cancelled, and ends at once
            await self.bus.aclose()  # noqa: ASYNC102  # it bounds itself

    async def _run(self) -> None:
        reason, wait_s = "", RETRY_FIRST_S
        while True:
            try:
                if reason:
                    await self._rebuild(reason)
                began = monotonic()
                reason = await self._read(self._served)
                if not reason:
                    return
                if monotonic() - began > RETRY_MOST_S:
                    wait_s = RETRY_FIRST_S
            except (Gone, MadeAnew) as error:
                self._trouble(error)
                await self._reopen()
            except (Unavailable, StorageUnavailable, _Doubt) as error:
                self._trouble(error)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_MOST_S)

    async def _read(self, replica: Replica, until: Callable[[], bool] | None = None) -> str:
        """Apply the log to a replica.

        Args:
            replica: The replica; it becomes ready for clients at the log's present end if it is
                the one served.
            until: Ends the reading.

        Returns:
            The reason to load the odds anew; empty once `until` holds, or when the bus is closed.

        Raises:
            Unavailable, Gone, MadeAnew: The bus.
        """
        sequence = await self._begin(replica)
        self.log_last = goal = (await self.bus.log.info()).last
        strays = 0
        while True:
            try:
                if sequence > goal and await self._reached_end(replica, until):
                    return ""
                async with aclosing(self.bus.log.read_from(sequence)) as reader:
                    async for stored in reader:
                        taken = self._take(replica, stored)
                        if taken is Taken.REBUILD:
                            return replica.reason
                        if taken is Taken.RESUBSCRIBE:
                            strays += 1
                            break
                        sequence = stored.sequence + 1
                        if sequence > goal and await self._reached_end(replica, until):
                            return ""
                    else:
                        return ""  # the bus was closed
                if strays > 1:
                    return replica.reason
                sequence = await self._begin(replica)
            except TailLost as lost:
                log.warning("bus_tail_lost", last=lost.last, revision=replica.feed.head_revision)
                sequence = lost.last + 1
                replica.read_anew()
            except (Hole, BadMessage) as error:
                return str(error)

    async def _begin(self, replica: Replica) -> int:
        """Return the place in the log from which a replica has to read."""
        replica.read_anew()
        try:
            sequence = await find(self.bus.log, replica.feed.head_revision)
        except Hole as hole:
            sequence = hole.first  # the first message tells whether anything is missing
        self.sequence = sequence - 1
        return sequence

    def _take(self, replica: Replica, stored: Stored) -> Taken:
        before = replica.sent_at
        taken = replica.take(decode(stored.message))
        self.sequence = stored.sequence
        self.log_last = max(self.log_last, stored.sequence)
        self._heard_at = monotonic()
        sent_at = replica.sent_at
        if sent_at is not None and sent_at is not before:
            lead_s = (self._wall() - sent_at).total_seconds()
            self._lead = lead_s if self._lead is None else min(lead_s, self._lead)
        return taken

    async def _reached_end(self, replica: Replica, until: Callable[[], bool] | None) -> bool:
        """Note that a replica has reached the end of the log; return whether to end there."""
        if replica is self._served and not self._ready:
            self._ready = self._was_ready = True
            self.reason = ""
            log.info("caught_up", revision=replica.feed.head_revision, sequence=self.sequence)
            await self._node.set_ready(True)
        return until is not None and until()

    async def _rebuild(self, reason: str) -> None:
        """Load the odds anew, and serve them in place of the present ones.

        Raises:
            Unavailable, Gone, MadeAnew, StorageUnavailable: The present odds stay.
            _Doubt: The database does not fit to the log yet; likewise.
        """
        served = self._served
        epoch, head = served.feed.epoch, served.feed.head_revision
        log.warning("rebuilding", reason=reason, epoch=epoch, revision=head)
        self.reason, self._rebuilding, self._ready = reason, True, False
        try:
            await self._node.set_ready(False)
            shadow = await self._node.load()
            failed = await self._read(shadow, lambda: True)
            if failed:
                raise _Doubt(failed)

            def decided() -> bool:
                return shadow.feed.head_revision >= head or not shadow.stands(epoch, head)

            if not decided():
                with suppress(TimeoutError):
                    async with asyncio.timeout(REWIND_S):
                        failed = await self._read(shadow, decided)
                if failed:
                    raise _Doubt(failed)
            lost = not shadow.stands(epoch, head) or shadow.feed.head_revision < head
            if lost:
                log.warning("rewound", epoch=epoch, revision=head, now=shadow.feed.cursor)
                await self._node.end_streams()
            self._applied_before += served.applied
            shadow.move_to(served.cache, served.feed)
            self._served = shadow
            self.rebuilds += 1
            if lost:
                self.rewinds += 1
                await self._node.reopen_streams()
        finally:
            self._rebuilding = False

    async def _reopen(self) -> None:
        """Connect again, to see what stands in the place of a log that was deleted."""
        with suppress(LogError):
            await self.bus.aclose()
        self.bus = self._open_bus()

    async def _judge(self) -> None:
        """Keep the sources' states and the figures up to date, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self._served.judge(away=self.away)
            if self._lead is not None:
                self._leads.append(self._lead)
                self._lead = None
            with suppress(LogError):
                self.log_last = (await self.bus.log.info()).last

    def _trouble(self, error: Exception) -> None:
        if str(error) != self.reason:
            log.warning("log_not_followed", reason=str(error), error=type(error).__name__)
        self.reason = str(error)


class _Doubt(Exception):
    """The database and the log do not fit together, as in the middle of a take-over."""
