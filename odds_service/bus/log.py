"""The log on the bus as a protocol: one ordered stream of messages with one writer.

All functions are for one asyncio loop, that of the bus thread.
"""

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, NamedTuple, Protocol

from msgspec import Struct

from odds_service.errors import OddsServiceError

TRAIL_MESSAGES: Final = 4096  # about 20 s of a busy day, far beyond a tail that a crash can lose


class LogError(OddsServiceError):
    """The log on the bus cannot be used as it is."""


class Unavailable(LogError):
    """The bus gives no answer now; a retry may help. An append may have been stored or not."""


class NotConnected(Unavailable):
    """There is no connection to the bus, so nothing was sent."""


class WrongSequence(LogError):
    """An append expected another last sequence: somebody else writes, or the tail was lost.

    Attributes:
        expected: The last sequence that the append expected.
        last: The actual one.
    """

    def __init__(self, expected: int, last: int) -> None:
        super().__init__(f"the log on the bus ends at {last}, not at {expected}")
        self.expected = expected
        self.last = last


class Hole(LogError):
    """Messages that a reader still needs have left the log.

    Attributes:
        wanted: The sequence asked for.
        first: The oldest one that is there.
    """

    def __init__(self, wanted: int, first: int) -> None:
        super().__init__(f"the log on the bus begins at {first}, after {wanted}")
        self.wanted = wanted
        self.first = first


class TailLost(LogError):
    """The log no longer holds what a reader has read of it, or ends before what it asks for.

    Attributes:
        last: The last sequence that is still as it was read, as far as known. Reading on from
            last + 1 gives what was written in place of the lost messages.
    """

    def __init__(self, last: int) -> None:
        super().__init__(f"the log on the bus has lost its messages after {last}")
        self.last = last


class Gone(LogError):
    """The log does not exist on the bus."""


class MadeAnew(LogError):
    """The log was deleted and made again: its sequences mean something else."""


class Stored(NamedTuple):
    """A message of the log.

    Attributes:
        sequence: Its place, from 1 on, without gaps.
        message: Its bytes.
        stored_ns: The bus's clock when it was stored, in ns. With the sequence it tells a message
            from one that was later written in its place.
    """

    sequence: int
    message: bytes
    stored_ns: int


class LogInfo(Struct, frozen=True):
    """The state of the log.

    Attributes:
        first: The oldest sequence; last + 1 if there is none.
        last: The newest sequence, also of a message that has left; 0 in a new log.
        size_bytes: The size of all messages.
        made: A mark of this log, different after it was made anew.
    """

    first: int
    last: int
    size_bytes: int
    made: str


class Log(Protocol):
    """One ordered stream of messages. Old ones leave it at its bounds."""

    async def append(self, message: bytes, expect: int) -> int:
        """Append a message as number `expect` + 1 and return its sequence.

        Several appends may be under way at once: they are stored in the order of the calls, or
        refused. An append whose reply was lost is repeated with the same arguments; if it was
        stored, the repeat returns its sequence.

        Args:
            message: The bytes; the log holds no other message with the same bytes at that place.
            expect: The sequence of the message before, 0 for the first.

        Raises:
            WrongSequence: Another message has this place, or the one before is not there.
            Unavailable: No answer. The message may be stored; repeat the call.
            Gone, MadeAnew: This log no longer exists.
        """
        ...

    async def last(self) -> Stored | None:
        """Return the newest message, or None if the log holds none.

        Raises:
            Unavailable, Gone, MadeAnew: See append().
        """
        ...

    async def at(self, sequence: int) -> Stored | None:
        """Return the message at a place, or None if the log has none there.

        Raises:
            Unavailable, Gone, MadeAnew: See append().
        """
        ...

    def read_from(self, sequence: int) -> AsyncGenerator[Stored, None]:
        """Yield the messages from `sequence` on, in order and without gaps, and wait for more.

        It waits through outages of the bus, and goes on by itself.

        Raises:
            Hole: `sequence`, or the next message of a slow reader, has left the log.
            TailLost: Messages that were yielded are no longer in the log, or `sequence` is more
                than one beyond its end.
            Gone, MadeAnew: This log no longer exists.
        """
        ...

    async def info(self) -> LogInfo:
        """Return the state of the log.

        Raises:
            Unavailable, Gone, MadeAnew: See append().
        """
        ...

    async def aclose(self) -> None:
        """End the use of the log; readers end, too."""
        ...


class Trail:
    """The newest messages that a reader has yielded, to find out whether they are still there."""

    def __init__(self) -> None:
        self._read: deque[tuple[int, int]] = deque(maxlen=TRAIL_MESSAGES)

    def add(self, stored: Stored) -> None:
        """Record a message that is yielded next."""
        self._read.append((stored.sequence, stored.stored_ns))

    async def check(
        self, sequence: int, info: LogInfo, at: Callable[[int], Awaitable[Stored | None]]
    ) -> None:
        """Check that what was yielded is still there, and that the next message is or will be.

        Messages that are no longer there are forgotten.

        Args:
            sequence: The next message to yield.
            info: The state of the log.
            at: Returns a message of the log, None if it is not there.

        Raises:
            Hole, TailLost: See Log.read_from.
        """
        wanted = sequence
        while self._read and self._read[-1][0] >= info.first:
            newest, stored_ns = self._read[-1]
            held = await at(newest) if newest <= info.last else None
            if held is not None and held.stored_ns == stored_ns:
                break
            self._read.pop()
            wanted = newest
        if wanted < sequence or sequence > info.last + 1:
            raise TailLost(min(wanted - 1, info.last))
        if sequence < info.first:
            raise Hole(sequence, info.first)
