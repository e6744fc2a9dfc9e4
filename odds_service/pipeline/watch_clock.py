"""A watch on the wall clock and the boot clock: it reports jumps and sleeps to the schedules."""

from collections.abc import Sequence
from typing import Final, Protocol

import structlog
import trio

from odds_service.clock import SteadyClock

TICK_S: Final = 1.0

log = structlog.get_logger(__name__)


class Planned(Protocol):
    """A part that plans ahead on Trio's clock, which stands still while the machine sleeps."""

    def clock_moved(self, slept_s: float) -> None:
        """Plan anew, after a jump or a sleep of `slept_s` seconds."""
        ...


async def watch_clock(clock: SteadyClock, planned: Sequence[Planned]) -> None:
    """Look at the clocks every TICK_S seconds; return only when cancelled.

    Moves that another caller of `clock.look` has found are reported at the next tick.

    Args:
        clock: the two clocks.
        planned: the parts to tell of each move.
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
