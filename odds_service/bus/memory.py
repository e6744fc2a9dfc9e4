"""The log and the bus in memory, for tests and for several nodes in one process.

They behave as those on servers do.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Final

from odds_service.bus.bus import AnswerError, Answering, Reply, Work, check_size, took
from odds_service.bus.log import (
    Gone,
    LogInfo,
    MadeAnew,
    NotConnected,
    Stored,
    Trail,
    Unavailable,
    WrongSequence,
)

MOST_BYTES: Final = 64 * 2**20


Listener = Callable[[bytes, Reply | None], None]


class MemoryStream:
    """The messages themselves, and who listens beside them; shared by the buses of one loop.

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
        self.listeners: dict[str, list[Listener]] = {}
        self.asked: set[asyncio.Future[tuple[bytes, bool]]] = set()

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
        for answered in self.asked:
            if not answered.done():
                answered.set_exception(Unavailable("the bus in memory was interrupted"))
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

    async def at(self, sequence: int) -> Stored | None:
        """See Log."""
        await self._reach()
        return self._stream.at(sequence)

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
            raise NotConnected("the bus in memory is interrupted")
        self._look()

    def _look(self) -> None:
        if not self._stream.exists:
            raise Gone("the log in memory was deleted")
        if self._stream.made != self._made:
            raise MadeAnew("the log in memory was deleted and made anew")

    def _info(self) -> LogInfo:
        stream = self._stream
        return LogInfo(stream.first, stream.last, stream.size_bytes, str(stream.made))

    async def _at(self, sequence: int) -> Stored | None:
        return self._stream.at(sequence)


class MemoryBus:
    """A bus in memory; see Bus."""

    def __init__(self, stream: MemoryStream | None = None) -> None:
        self._stream = stream or MemoryStream()
        self._log = MemoryLog(self._stream)
        self._closed = asyncio.Event()
        self._asked: set[asyncio.Future[tuple[bytes, bool]]] = set()

    @property
    def log(self) -> MemoryLog:
        """See Bus."""
        return self._log

    async def ask(self, subject: str, body: bytes, within_s: float) -> bytes:
        """See Bus."""
        check_size(body)
        await asyncio.sleep(0)
        if self._closed.is_set():
            raise Unavailable("the connection to the bus is closed")
        stream = self._stream
        if not stream.available:
            raise NotConnected("the bus in memory is interrupted")
        listeners = tuple(stream.listeners.get(subject, ()))
        if not listeners:
            raise Unavailable(f"no node answers {subject}")
        answered: asyncio.Future[tuple[bytes, bool]] = asyncio.get_running_loop().create_future()

        async def reply(answer: bytes, failed: bool) -> None:
            if stream.available and not answered.done():
                answered.set_result((answer, failed))

        for asked in (stream.asked, self._asked):
            asked.add(answered)
        try:
            for take in listeners:
                take(body, reply)
            async with asyncio.timeout(within_s):
                answer, failed = await answered
        except TimeoutError:
            raise Unavailable(f"no answer of the bus to {subject} in {within_s:g} s") from None
        finally:
            for asked in (stream.asked, self._asked):
                asked.discard(answered)
        if failed:
            raise AnswerError(answer.decode("utf-8", "replace"))
        return answer

    async def answer(self, subject: str, work: Work) -> None:
        """See Bus."""
        answering = Answering(subject, work)

        def take(body: bytes, reply: Reply | None) -> None:
            if reply is not None:
                answering.take(body, reply)

        try:
            await self._listen(subject, take)
        finally:
            await answering.aclose()  # noqa: ASYNC102  # they are cancelled, and end at once

    async def tell(self, subject: str, body: bytes) -> None:
        """See Bus."""
        check_size(body)
        await asyncio.sleep(0)
        if self._stream.available and not self._closed.is_set():
            for take in tuple(self._stream.listeners.get(subject, ())):
                take(body, None)

    async def hear(self, subject: str, take: Callable[[bytes], None]) -> None:
        """See Bus."""
        await self._listen(subject, lambda body, _: took(subject, take, body))

    async def aclose(self) -> None:
        """See Bus."""
        self._closed.set()
        for answered in self._asked:
            if not answered.done():
                answered.set_exception(Unavailable("the connection to the bus is closed"))
        await self._log.aclose()

    async def _listen(self, subject: str, take: Listener) -> None:
        listeners = self._stream.listeners.setdefault(subject, [])
        listeners.append(take)
        try:
            await self._closed.wait()
        finally:
            listeners.remove(take)
