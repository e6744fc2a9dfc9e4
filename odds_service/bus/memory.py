"""The log in memory, for tests and for several nodes in one process; it behaves as a bus does."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from typing import Final

from odds_service.bus.log import (
    Gone,
    LogInfo,
    MadeAnew,
    Stored,
    Trail,
    Unavailable,
    WrongSequence,
)

MOST_BYTES: Final = 64 * 2**20


class MemoryStream:
    """The messages themselves, shared by the logs of one loop.

    What can happen to a stream on a bus can happen to it: an outage, a lost tail, its end.

    Args:
        most_bytes: The size of all messages beyond which the oldest leave; the newest stays.
    """

    def __init__(self, *, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self.messages: deque[Stored] = deque()
        self.last = 0
        self.size_bytes = 0
        self.available = True
        self.exists = True
        self.made = 1  # counts how often it was made
        self.news = asyncio.Event()

    @property
    def first(self) -> int:
        return self.messages[0].sequence if self.messages else self.last + 1

    def at(self, sequence: int) -> Stored | None:
        """Return a message, None if it is not there."""
        place = sequence - self.first
        return self.messages[place] if 0 <= place < len(self.messages) else None

    def add(self, message: bytes) -> int:
        """Append a message, discard the oldest ones beyond the bound, and return its sequence."""
        self.last += 1
        self.messages.append(Stored(self.last, message, time.monotonic_ns()))
        self.size_bytes += len(message)
        while self.size_bytes > self.most_bytes and len(self.messages) > 1:
            self.size_bytes -= len(self.messages.popleft().message)
        self.tell()
        return self.last

    def interrupt(self) -> None:
        """Begin an outage."""
        self.available = False
        self.tell()

    def resume(self) -> None:
        """End an outage."""
        self.available = True
        self.tell()

    def lose_after(self, sequence: int) -> None:
        """Lose the messages after `sequence`, as a bus may at a loss of power."""
        while self.messages and self.messages[-1].sequence > sequence:
            self.size_bytes -= len(self.messages.pop().message)
        self.last = min(self.last, sequence)
        self.tell()

    def delete(self) -> None:
        """Delete the stream."""
        self.exists = False
        self.messages.clear()
        self.last = self.size_bytes = 0
        self.tell()

    def make_anew(self) -> None:
        """Delete the stream and make an empty one."""
        self.delete()
        self.exists = True
        self.made += 1
        self.tell()

    def tell(self) -> None:
        """Wake all readers."""
        self.news.set()
        self.news = asyncio.Event()


class MemoryLog:
    """A log in memory; see Log."""

    def __init__(self, stream: MemoryStream | None = None) -> None:
        self._stream = stream or MemoryStream()
        self._made = self._stream.made
        self._closed = False

    async def append(self, message: bytes, expect: int) -> int:
        """See Log."""
        await self._reach()
        stream = self._stream
        if expect == stream.last:
            return stream.add(message)
        stored = stream.at(expect + 1)
        if stored is not None and stored.message == message:
            return stored.sequence
        raise WrongSequence(expect, stream.last)

    async def last(self) -> Stored | None:
        """See Log."""
        await self._reach()
        return self._stream.messages[-1] if self._stream.messages else None

    async def read_from(self, sequence: int) -> AsyncGenerator[Stored, None]:
        """See Log."""
        stream, trail = self._stream, Trail()
        while not self._closed:
            if stream.available:
                self._look()
                await trail.check(sequence, self._info(), self._at)
                stored = stream.at(sequence)
                if stored is not None:
                    trail.add(stored)
                    yield stored
                    sequence += 1
                    continue
            await stream.news.wait()

    async def info(self) -> LogInfo:
        """See Log."""
        await self._reach()
        return self._info()

    async def aclose(self) -> None:
        """See Log."""
        self._closed = True
        self._stream.tell()
        await asyncio.sleep(0)

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        if self._closed:
            raise Unavailable("the log is closed")
        if not self._stream.available:
            raise Unavailable("the bus in memory is interrupted")
        self._look()

    def _look(self) -> None:
        if not self._stream.exists:
            raise Gone("the log in memory was deleted")
        if self._stream.made != self._made:
            raise MadeAnew("the log in memory was deleted and made anew")

    def _info(self) -> LogInfo:
        stream = self._stream
        return LogInfo(stream.first, stream.last, stream.size_bytes, str(stream.made))

    async def _at(self, sequence: int) -> Stored | None:  # noqa: ASYNC124  # as a bus is asked
        return self._stream.at(sequence)
