"""SIGINT and SIGTERM stop in order at the first one, at once at the second; SIGHUP reloads."""

import signal
from collections.abc import Callable

import structlog
import trio

from odds_service.early import remembered

log = structlog.get_logger(__name__)


async def stop_on_signals(
    stop: trio.Event,
    at_once: trio.CancelScope,
    start: trio.CancelScope | None = None,
    reload: Callable[[], None] | None = None,
) -> None:
    """Set `stop` at the first SIGINT or SIGTERM, and cancel `at_once` at the second.

    Signals that were remembered from before count too. Returns only when cancelled.

    Args:
        stop: The event that ends the service in order.
        at_once: The scope of everything.
        start: The scope of the start alone; the first signal cancels it too.
        reload: Called at each SIGHUP; None to leave SIGHUP alone.
    """

    def take(number: int) -> None:
        log.info("signal", signal=signal.Signals(number).name, again=stop.is_set())
        if number == signal.SIGHUP:
            if reload is not None:
                reload()
            return
        if stop.is_set():
            at_once.cancel()
        stop.set()
        if start is not None:
            start.cancel()

    taken = [signal.SIGINT, signal.SIGTERM] + ([] if reload is None else [signal.SIGHUP])
    early = remembered()
    with trio.open_signal_receiver(*taken) as signals:
        for number in early:
            take(number)
        async for number in signals:
            take(number)
