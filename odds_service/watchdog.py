"""A thread that sees the Trio thread stand: it says where, and ends the process if it must.

Everything in the Trio thread waits while a plug-in computes or blocks. A task of Trio beats, and
the watchdog counts the time without a beat, as far as it was running itself. So a machine that
sleeps, or a process that is stopped, is a pause and no stall: nobody is to blame for it.
"""

import os
import select
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Final

import structlog
import trio
from msgspec.structs import replace

from odds_service.line_queue import flush_prints
from odds_service.stack import Place, place_of
from odds_service.status import LoopReport

BEAT_S: Final = 0.25
STALL_S: Final = 1.0  # longer without a beat is a stall
HEALTH_S: Final = 10.0  # longer, and health is NOT_SERVING
END_S: Final = 10.0  # after a signal that Trio cannot act on, until the process is ended
SPILL_S: Final = 3.0  # for the changes that are not durable
FLUSH_S: Final = 1.0  # for the log's last lines
MAX_TASKS: Final = 50  # that are counted by name; the rest are OTHER
OTHER: Final = "other"

_LATE_S: Final = 0.5  # a delay of the watchdog itself that is not counted
# The watchdog gets its turn every few milliseconds, unless the interpreter is held. A thread that
# used more of a processor than this between two looks held it: a stopped process uses none. A share
# of the time that passed would not do, since a busy machine gives a thread a small share.
_HELD_S: Final = 0.5
_STOPS: Final = frozenset({signal.SIGINT, signal.SIGTERM})

log = structlog.get_logger(__name__)


class Watchdog:
    """The watch over the thread that made it.

    Attributes:
        report: What was seen so far, for GetStatus and metrics.
        set_stalled: Told True when the thread has stood for HEALTH_S, and False afterwards. Called
            in the watchdog's thread.
    """

    def __init__(self) -> None:
        self.report = LoopReport()
        self.set_stalled: Callable[[bool], None] = lambda _: None
        self._watched = threading.get_ident()
        self._cpu_clock = time.pthread_getcpuclockid(self._watched)
        self._spill: Callable[[], str] | None = None
        self._beats = 0
        self._ended = False
        self._signals: list[float] = []  # when requests to stop came, by the monotonic clock
        self._wake, self._woken = socket.socketpair()
        for end in (self._wake, self._woken):
            end.setblocking(False)
        self._forward = -1  # Trio's own descriptor of signals

    async def beat(self) -> None:
        """Show that the thread runs, until cancelled."""
        while True:
            self._beats += 1
            await trio.sleep(BEAT_S)

    @contextmanager
    def seeing_signals(self) -> Iterator[None]:
        """See the numbers of signals when they come, also while the thread stands.

        Python's C code writes them to one descriptor at once, whatever the main thread does. Trio
        uses it to wake up; so the watchdog's own takes its place, and passes on what it reads.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._forward = signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(self._forward, warn_on_full_buffer=False)

    @contextmanager
    def spilling(self, spill: Callable[[], str]) -> Iterator[None]:
        """During a block, spill before the process is ended.

        Args:
            spill: Stores what is not durable, and returns where; empty for nothing. It is called
                in a thread.
        """
        self._spill = spill
        try:
            yield
        finally:
            self._spill = None  # the database may have another owner soon

    def stop(self) -> None:
        """End the thread. Call it in the watched thread, after all else."""
        self._ended = True
        with suppress(BlockingIOError):
            self._wake.send(b"\0")

    def close(self) -> None:
        """Close the descriptors, once the thread has ended."""
        self._wake.close()
        self._woken.close()

    def run(self) -> None:
        """Watch until stopped; the target of the thread."""
        beats, stood_s, place = self._beats, 0.0, Place()
        looked, cpu_s = time.monotonic(), self._cpu_s()
        while True:
            self._take_signals()
            if self._ended:
                break
            now, cpu_now_s = time.monotonic(), self._cpu_s()
            passed_s, used_s = now - looked, cpu_now_s - cpu_s
            looked, cpu_s = now, cpu_now_s
            # Late itself, the watchdog was stopped too, unless the thread held the interpreter.
            if passed_s > BEAT_S + _LATE_S and used_s < _HELD_S:
                if passed_s - BEAT_S >= STALL_S:
                    self._paused(passed_s - BEAT_S)
                passed_s = BEAT_S
            if self._beats != beats:
                beats, missed_s, stood_s = self._beats, stood_s, 0.0
                # The interpreter was held for all of the time between two looks.
                if missed_s < STALL_S and used_s >= _HELD_S and passed_s > STALL_S + BEAT_S:
                    self._stalled(passed_s, place_of(self._watched))
                    missed_s = passed_s
                if missed_s >= STALL_S:
                    self._back(missed_s)
                continue
            before_s, stood_s = stood_s, stood_s + passed_s
            if before_s < STALL_S <= stood_s:
                place = place_of(self._watched)
                self._stalled(stood_s, place)
            if before_s < HEALTH_S <= stood_s:
                log.error("trio_thread_stands", seconds=round(stood_s, 1), health="NOT_SERVING",
                          **place_of(self._watched).told())  # fmt: skip
                self.set_stalled(True)
            if stood_s >= STALL_S and self._must_end(now, stood_s):
                self._end(stood_s, place_of(self._watched))

    def _cpu_s(self) -> float:
        return time.clock_gettime(self._cpu_clock)

    def _take_signals(self) -> None:
        """Wait for signals for up to BEAT_S, note them and pass them on to Trio."""
        if not select.select([self._woken], [], [], BEAT_S)[0]:
            return
        numbers = self._woken.recv(1024)
        if self._forward >= 0:
            with suppress(OSError):  # full, so that Trio wakes up anyway
                os.write(self._forward, numbers)
        now = time.monotonic()
        self._signals += [now for number in numbers if number in _STOPS]

    def _must_end(self, now: float, stood_s: float) -> bool:
        """Return whether a stop was asked for that this thread will not see through.

        A second request while it stands waits no longer.
        """
        if not self._signals:
            return False
        meanwhile = [came for came in self._signals if came >= now - stood_s]
        return len(meanwhile) > 1 or (stood_s >= END_S and now - self._signals[0] >= END_S)

    def _paused(self, seconds: float) -> None:
        report = self.report
        self.report = replace(
            report, pauses=report.pauses + 1, paused_s=report.paused_s + seconds
        )  # fmt: skip
        log.warning("process_paused", seconds=round(seconds, 1))

    def _stalled(self, seconds: float, place: Place) -> None:
        log.warning("trio_thread_stands", seconds=round(seconds, 1), **place.told())
        report = self.report
        counts = Counter(report.stalls_by_task)
        counts[place.task if place.task in counts or len(counts) < MAX_TASKS else OTHER] += 1
        self.report = replace(
            report,
            stalls=report.stalls + 1,
            stalls_by_task=dict(counts),
            last_task=place.task,
            last_place=place.where,
            last_at=datetime.now(UTC),
        )

    def _back(self, stood_s: float) -> None:
        report = self.report
        self.report = replace(
            report,
            stalled_s=report.stalled_s + stood_s,
            longest_s=max(report.longest_s, stood_s),
        )
        log.warning("trio_thread_runs_again", stood_s=round(stood_s, 1), task=report.last_task)
        if stood_s >= HEALTH_S:
            self.set_stalled(False)

    def _end(self, stood_s: float, place: Place) -> None:
        """Spill and exit; the spill has a thread of its own, lest a full disk holds up the end."""
        ended: list[str] = []
        spilling = threading.Thread(
            target=lambda: ended.append(self._spilled()), name="last spill", daemon=True
        )
        spilling.start()
        spilling.join(SPILL_S)
        log.critical(
            "ended_by_watchdog", stood_s=round(stood_s, 1), **place.told(),
            spill=ended[0] if ended else f"not within {SPILL_S:.0f} s",
        )  # fmt: skip
        flush_prints(FLUSH_S)
        os._exit(1)

    def _spilled(self) -> str:
        try:
            return (self._spill and self._spill()) or "nothing was left to store"
        except Exception as error:  # whatever it is, the process ends, and the log names it
            return f"failed: {error!r}"


@contextmanager
def watched() -> Iterator[Watchdog]:
    """Watch the present Trio thread during a block."""
    dog = Watchdog()
    beating = trio.CancelScope()

    async def beat() -> None:
        with beating:
            await dog.beat()

    # A system task beats until the block has ended, however the block is cancelled.
    trio.lowlevel.spawn_system_task(beat)
    thread = threading.Thread(target=dog.run, name="watchdog", daemon=True)
    try:
        with dog.seeing_signals():
            thread.start()
            try:
                yield dog
            finally:
                beating.cancel()
                dog.stop()
                thread.join()  # milliseconds: it has been woken
    finally:
        dog.close()
