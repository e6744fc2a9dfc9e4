"""Text on its way to a file descriptor, written by a thread, so that a stalled reader stops nobody.

A pipe whose reader stands still blocks each write for as long as it likes. Here only the thread
waits. What does not fit into the queue meanwhile is counted and left out.
"""

import atexit
import contextlib
import io
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final, Literal, TextIO

MAX_LINES: Final = 10_000
MAX_BYTES: Final = 8 * 2**20
FLUSH_S: Final = 3.0  # at exit; a reader that takes nothing for so long gets no more


class LineQueue:
    """A bounded queue of texts and the thread that writes them, in order, to one descriptor.

    All methods may be called from any thread, and none of them waits for the reader but `flush`.

    Attributes:
        lost: The number of texts that found the queue full, or that could not be written.
        when_emptied: Called by the thread each time that all is written; it may put more.
    """

    def __init__(
        self, descriptor: int, *, max_lines: int = MAX_LINES, max_bytes: int = MAX_BYTES
    ) -> None:
        self._descriptor = descriptor
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._pid = 0
        self._idle = True
        # Reentrant: a finalizer may log while its thread holds it.
        self._changed = threading.Condition(threading.RLock())
        self.lost = self._told = 0
        self.when_emptied: Callable[[], None] = lambda: None

    @property
    def has_room(self) -> bool:
        """Return whether a short text would be taken now."""
        return len(self._waiting) < self._max_lines and self._bytes < self._max_bytes

    def put(self, text: str, *, always: bool = False) -> bool:
        """Queue a text; return whether there was room for it, or make some if `always`."""
        piece = text.encode("utf-8", "backslashreplace")
        with self._changed:
            full = len(self._waiting) >= self._max_lines
            full = full or (bool(self._waiting) and self._bytes + len(piece) > self._max_bytes)
            if full and not always:
                self.lost += 1
                return False
            self._waiting.append(piece)
            self._bytes += len(piece)
            self._idle = False
            self._changed.notify_all()
            if self._pid != os.getpid():  # the first text, here or in a forked child
                self._pid = os.getpid()
                threading.Thread(
                    target=self._write_on, name=f"lines to {self._descriptor}", daemon=True
                ).start()
        return True

    def take_lost(self) -> int:
        """Return the number of texts lost since the last call."""
        with self._changed:
            lost, self._told = self.lost - self._told, self.lost
        return lost

    def flush(self, timeout_s: float = FLUSH_S) -> bool:
        """Wait until all is written; return False if the reader did not take it in time."""
        with self._changed:
            until = monotonic() + timeout_s
            while not self._idle and (left_s := until - monotonic()) > 0:
                self._changed.wait(left_s)
            return self._idle

    def _write_on(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._idle = True
                    self._changed.notify_all()
                    self._changed.wait()
                piece = self._waiting[0]
            try:
                self._write(piece)
            except OSError:  # the reader has gone, or the disk is full: the next may fare better
                with self._changed:
                    self.lost += 1
            with self._changed:
                self._waiting.popleft()
                self._bytes -= len(piece)
                emptied = not self._waiting
            if emptied:
                self.when_emptied()

    def _write(self, piece: bytes) -> None:
        rest = memoryview(piece)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # who shares the pipe has made it non-blocking
                select.select([], [self._descriptor], [])


class QueuedText(io.TextIOBase):
    """A stand-in for sys.stdout or sys.stderr that queues what is printed."""

    def __init__(self, replaced: TextIO) -> None:
        self._replaced = replaced
        self.queue = LineQueue(replaced.fileno())

    def write(self, text: str) -> int:
        self.queue.put(text)
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._replaced.fileno()

    def isatty(self) -> bool:
        return self._replaced.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a property there too, of no one type
        return self._replaced.encoding


def queue_prints(name: Literal["stdout", "stderr"]) -> LineQueue | None:
    """Replace sys.stdout or sys.stderr by a QueuedText, and return its queue.

    What is left at exit is flushed, within FLUSH_S. Returns None, and replaces nothing, if the
    stream is none of the operating system's.
    """
    stream = getattr(sys, name)
    if isinstance(stream, QueuedText):
        return stream.queue
    if stream is None:
        return None
    with contextlib.suppress(OSError, ValueError):
        queued = QueuedText(stream)
        stream.flush()
        setattr(sys, name, queued)
        atexit.unregister(flush_prints)
        atexit.register(flush_prints)
        return queued.queue
    return None


def flush_prints(timeout_s: float = FLUSH_S) -> None:
    """Write out what was printed, or what the readers take of it in time."""
    until = monotonic() + timeout_s
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, QueuedText):
            stream.queue.flush(max(0.0, until - monotonic()))


def lost_prints() -> int:
    """Return the number of texts, log lines included, that no reader took in time."""
    return sum(
        stream.queue.lost for stream in (sys.stdout, sys.stderr) if isinstance(stream, QueuedText)
    )
