"""SIGINT and SIGTERM stop the service; SIGHUP makes it read its settings again."""

import signal
from collections.abc import Callable
from types import FrameType

import structlog
import trio

log = structlog.get_logger(__name__)


class Hangups:
    """The memory of a SIGHUP that comes before the service can act on it.

    Its default action would end the process. Make it in the main thread, before anything slow.
    """

    def __init__(self) -> None:
        self.pending = False
        signal.signal(signal.SIGHUP, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.pending = True


async def stop_on_signals(
    stop: trio.Event,
    at_once: trio.CancelScope,
    reload: Callable[[], None] | None = None,
    hangups: Hangups | None = None,
) -> None:
    """Set `stop` at the first SIGINT or SIGTERM, and cancel `at_once` at the second.

    Args:
        stop: ends the service in order.
        at_once: ends it at once.
        reload: called at each SIGHUP; None to leave SIGHUP alone.
        hangups: remembers a SIGHUP from before this call.

    Returns only when cancelled.
    """
    taken = [signal.SIGINT, signal.SIGTERM] + ([] if reload is None else [signal.SIGHUP])
    with trio.open_signal_receiver(*taken) as signals:
        if reload is not None and hangups is not None and hangups.pending:
            reload()
        async for number in signals:
            log.info("signal", signal=signal.Signals(number).name, again=stop.is_set())
            if number == signal.SIGHUP:
                if reload is not None:
                    reload()
                continue
            if stop.is_set():
                at_once.cancel()
            stop.set()
