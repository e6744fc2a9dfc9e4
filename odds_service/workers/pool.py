"""All workers of a service, and the sources on them."""

import os
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, Literal

import trio

from odds_service.config import Settings
from odds_service.sources.boundary import Limits
from odds_service.status import WorkerReport
from odds_service.workers.remote import RemoteSource, open_remote
from odds_service.workers.worker import Worker

AUTO: Final = "auto"


class Workers:
    """The workers of a service.

    Args:
        workers: at least one.
        placed: source -> the number of its worker, from 1; others go where the fewest are.
        limits: the limits for the sources' answers.
    """

    def __init__(self, workers: Iterable[Worker], placed: dict[str, int], limits: Limits) -> None:
        self.workers = tuple(workers)
        self._placed = placed
        self._limits = limits

    def open(self, name: str, table: dict[str, Any]) -> AbstractAsyncContextManager[RemoteSource]:
        """Open a source in its worker; see open_remote."""
        return open_remote(name, table, self._limits, self.worker_for(name))

    def report(self) -> list[WorkerReport]:
        """Return the state of each worker."""
        return [worker.report() for worker in self.workers]

    async def set_level(self, level: str) -> None:
        """Log this level and those above it from now on."""
        for worker in self.workers:
            await worker.set_level(level)

    def worker_for(self, name: str) -> Worker:
        """Return the worker for a source that is opened now."""
        place = self._placed.get(name)
        if place is not None:
            return self.workers[place - 1]
        return min(self.workers, key=lambda worker: (worker.sources, worker.number))


@asynccontextmanager
async def open_workers(settings: Settings) -> AsyncIterator[Workers | None]:
    """Start the workers that the settings ask for; None if they ask for none.

    At the exit they are ended, after their sources were closed.
    """
    number = number_of_workers(settings.workers.count, len(settings.sources))
    if not number:
        yield None
        return
    level, form = settings.log.level, settings.log.format
    workers = [Worker(place, level, form) for place in range(1, number + 1)]
    async with trio.open_nursery() as nursery:
        for worker in workers:
            nursery.start_soon(worker.run, name=f"worker {worker.number}")
        limits = Limits.among(settings.limits.model_dump())
        yield Workers(workers, settings.workers.place, limits)
        nursery.cancel_scope.cancel()


def number_of_workers(count: int | Literal["auto"], sources: int) -> int:
    """Return how many workers to start; "auto": one for each core but the service's own.

    Args:
        count: the setting.
        sources: the number of sources, beyond which "auto" starts none.
    """
    if count != AUTO:
        return count
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(max(1, cores - 1), sources)
