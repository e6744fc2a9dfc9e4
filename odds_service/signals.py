"""SIGINT and SIGTERM: stop in order at the first one, at once at the second."""

import signal

import structlog
import trio

log = structlog.get_logger(__name__)


async def stop_on_signals(stop: trio.Event, at_once: trio.CancelScope) -> None:
    """Set `stop` at the first SIGINT or SIGTERM, and cancel `at_once` at the second.

    Returns only when cancelled.
    """
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for number in signals:
            log.info("signal", signal=signal.Signals(number).name, again=stop.is_set())
            if stop.is_set():
                at_once.cancel()
            stop.set()
