"""Pauses in long work on the server's loop, so that streams and other calls go on."""

import asyncio
from collections.abc import Iterable
from typing import Final

STRETCH_S: Final = 0.005  # the longest work without a pause


class Stretches:
    """The stretches of one piece of work; `pause` belongs into its loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._yield_at = self._loop.time() + STRETCH_S

    def over(self) -> bool:
        """Return whether pause() would let others run."""
        return self._loop.time() > self._yield_at

    async def pause(self) -> None:
        """Let others run if the stretch is over; else return at once."""
        if self.over():
            await asyncio.sleep(0)
            self._yield_at = self._loop.time() + STRETCH_S


async def joined(pieces: Iterable[bytes]) -> bytes:
    """Return pieces as one text, made in stretches."""
    found = []
    stretches = Stretches()
    for piece in pieces:
        found.append(piece)
        await stretches.pause()
    return b"".join(found)
