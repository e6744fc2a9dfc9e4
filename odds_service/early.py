"""Signals from before the service can act on them, remembered until it can.

The main thread calls `remember_signals` before anything slow is imported. Without a handler, a
process with the id 1 (the first of a container) ignores SIGTERM; another one ends without order,
at a SIGHUP too.
"""

import os
import signal
from types import FrameType
from typing import Final

REMEMBERED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class EarlySignals:
    """The signals that came so far; a second request to stop ends the process at once.

    Nothing is open yet while it is in charge, so there is nothing to put in order.
    """

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def note(self, number: int, _frame: FrameType | None) -> None:
        """Remember a signal; the handler of all of REMEMBERED."""
        stops = (signal.SIGINT, signal.SIGTERM)
        if number in stops and any(earlier in stops for earlier in self.numbers):
            os._exit(1)
        self.numbers.append(number)


def remember_signals() -> None:
    """Remember the signals of this process from now on. Call it in the main thread."""
    early = EarlySignals()
    for number in REMEMBERED:
        signal.signal(number, early.note)


def forget_signals() -> None:
    """Give all signals their usual effect again, including those that were remembered."""
    numbers = remembered()
    for number in REMEMBERED:
        usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, usual)
    for earlier in numbers:
        signal.raise_signal(earlier)


def remembered() -> list[int]:
    """Return the numbers of the signals that came since `remember_signals`."""
    handler = signal.getsignal(signal.SIGTERM)
    early = getattr(handler, "__self__", None)
    return early.numbers if isinstance(early, EarlySignals) else []
