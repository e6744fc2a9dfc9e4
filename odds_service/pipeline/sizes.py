"""The size of the database and its growth, measured at a slow pace and off the Trio thread."""

import shutil
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import structlog
import trio

from odds_service.clock import Clock
from odds_service.delays import Delays
from odds_service.errors import OddsServiceError
from odds_service.status import Disk, StorageReport
from odds_service.store import Store

MEASURE_EVERY_S: Final = 60.0
LEAST_SPAN_S: Final = 3_600.0  # a shorter one would show the pace of a warm-up or of one match
MOST_SPAN_S: Final = 86_400.0  # a day, so that quiet nights and busy evenings both count
_SAMPLE_EVERY_S: Final = 300.0

log = structlog.get_logger(__name__)


class _Sample(NamedTuple):
    boot_s: float
    total_bytes: int


class Sizes:
    """The latest size of a database, and the samples that its growth is told from.

    The samples are of this run alone, so the growth is unknown in the first hour after a start.

    Attributes:
        report: The latest size; None if the last measurement failed, or for a store without one.
    """

    def __init__(self) -> None:
        self.report: StorageReport | None = None
        self._samples: deque[_Sample] = deque()

    async def measure(self, store: Store, clock: Clock) -> None:
        """Measure once; readers see the last size until then.

        Raises:
            StorageUnavailable: The database does not answer.
            OSError: A folder cannot be looked at.
        """
        try:
            size = await store.size()
            disks = [] if size is None else await trio.to_thread.run_sync(_disks, size.folders)
        except Exception:
            self.report = None
            raise
        if size is None:
            return
        total, boot_s = sum(size.parts.values()), clock.boot_s()
        growth, span_s = self._growth(_Sample(boot_s, total))
        self.report = StorageReport(
            measured_at=clock.wall(),
            parts=dict(size.parts),
            disks=disks,
            growth_bytes_per_day=growth,
            growth_span_s=span_s,
        )

    def _growth(self, now: _Sample) -> tuple[float | None, float]:
        """Return the growth in bytes a day, None if it is not known yet, and its span."""
        samples = self._samples
        if not samples or now.boot_s - samples[-1].boot_s >= _SAMPLE_EVERY_S:
            samples.append(now)
        while now.boot_s - samples[0].boot_s > MOST_SPAN_S:
            samples.popleft()
        span_s = now.boot_s - samples[0].boot_s
        if span_s < LEAST_SPAN_S:
            return None, 0.0
        return (now.total_bytes - samples[0].total_bytes) / span_s * 86_400, span_s


def _disks(folders: Mapping[str, Path]) -> list[Disk]:
    """Return the file systems of folders. Blocks. Raises OSError."""
    found = []
    for place, folder in folders.items():
        usage = shutil.disk_usage(folder)  # `free` is the part that is free for this user
        found.append(Disk(place, usage.free, usage.total))
    return found


async def measure_by_clock(store: Store, sizes: Sizes, delays: Delays, clock: Clock) -> None:
    """Measure at the start and every MEASURE_EVERY_S seconds, until cancelled.

    A failure leaves the size unknown until the next time; it never ends the service.

    Args:
        store: The database.
        sizes: Receives the sizes.
        delays: Gets a mark each time, for the percentiles of the last minutes.
        clock: Dates the sizes.
    """
    failing = False
    while True:
        try:
            await sizes.measure(store, clock)
            failing = False
        except (OddsServiceError, OSError) as error:
            if not failing:
                log.warning("size_unknown", reason=str(error))
            failing = True
        except Exception as error:  # a bug here must not stop the odds
            log.error("size_crashed", exc_info=error)
        delays.mark()
        await trio.sleep(MEASURE_EVERY_S)
