"""A watch on the wall clock and the boot clock, which reports jumps and sleeps to schedules."""

from collections.abc import Iterable
from typing import Final, Protocol

import structlog
import trio

from odds_service.clock import SteadyClock

TICK_S: Final = 1.0

log = structlog.get_logger(__name__)


class Planned(Protocol):
    """A component that plans ahead on Trio's clock, which stops while the machine sleeps."""

    def clock_moved(self, slept_s: float) -> None:
        """Replan after a jump, or after a sleep of `slept_s` seconds."""
        ...


async def watch_clock(clock: SteadyClock, planned: Iterable[Planned]) -> None:
    """Check the clocks every TICK_S seconds, until cancelled.

    Moves found by another caller of `clock.look` are reported at the next tick.

    Args:
        clock: the two clocks.
        planned: the components to notify of each move; iterated anew each time.
    """
    seen, moves = clock.state, clock.moves
    while True:
        await trio.sleep(TICK_S)
        clock.look()
        state = clock.state
        if state.jumps != seen.jumps:
            log.warning("clock_jumped", seconds=round(state.last_jump_s, 3),
                        jumps=state.jumps)  # fmt: skip
        slept_s = state.slept_s - seen.slept_s
        if slept_s:
            log.warning("slept", seconds=round(slept_s, 3), sleeps=state.sleeps)
        if clock.moves != moves:
            for part in planned:
                part.clock_moved(slept_s)
        seen, moves = state, clock.moves
