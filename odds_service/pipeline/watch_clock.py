"""The wall clock beside the boot clock: jumps and sleeps are told, and the schedules follow."""

from collections.abc import Sequence
from typing import Final, Protocol

import structlog
import trio

from odds_service.clock import SteadyClock

TICK_S: Final = 1.0

log = structlog.get_logger(__name__)


class Planned(Protocol):
    """A part that plans by the wall clock on Trio's clock, which stands still in sleep."""

    def clock_moved(self, slept_s: float) -> None: ...


async def watch_clock(clock: SteadyClock, planned: Sequence[Planned]) -> None:
    """Look at the clocks every TICK_S seconds; returns only when cancelled.

    Looks of others count too: what they found is seen at the next tick.
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
