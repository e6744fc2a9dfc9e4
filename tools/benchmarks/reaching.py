"""The wait of benchmark clients until all of their streams have reached a revision."""

import asyncio
from abc import ABC, abstractmethod


class Reaching(ABC):
    """Clients that count their streams short of a revision."""

    def __init__(self) -> None:
        self._target = self._short = 0
        self._there = asyncio.Event()

    @abstractmethod
    def behind(self, revision: int) -> int:
        """Return the number of streams that have not reached it."""

    def _moved(self, before: int, revision: int) -> None:
        """Note that a stream went from one revision to another."""
        if before < self._target <= revision:
            self._short -= 1
            if self._short == 0:
                self._there.set()

    async def reach(self, revision: int, within_s: float) -> None:
        """Wait until all streams have reached a revision."""
        self._target, self._short = revision, self.behind(revision)
        self._there.clear()
        if not self._short:
            return
        try:
            async with asyncio.timeout(within_s):
                await self._there.wait()
        except TimeoutError:
            return
