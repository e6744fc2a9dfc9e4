"""The delays of odds that the server hands over, and the ages of odds in its answers."""

import asyncio
from bisect import bisect_left
from typing import Final

from odds_service.delays import CONFIRMED_ANSWERED, Delays, Parcel
from odds_service.model.snapshot import EventSource, Reading
from odds_service.status import DELAY_BUCKETS_S

COUNT_S: Final = 0.5  # between two counts, so metrics are at most this late
_OPEN_PARCELS: Final = 256  # with more, all are counted at once


class Deliveries:
    """The parcels under delivery; for use on the server's loop only."""

    def __init__(self) -> None:
        self._open: list[Parcel] = []

    def delivered(self, parcel: Parcel, now_s: float) -> None:
        """Record a delivery at a time of the monotonic clock."""
        if now_s < parcel.until_s:
            parcel.times += 1
            parcel.at_s += now_s
            return
        if not parcel.times:
            if len(self._open) >= _OPEN_PARCELS:
                self.count()
            self._open.append(parcel)
        parcel.begin(now_s)

    def count(self) -> None:
        """Add the deliveries so far to the histograms."""
        opened, self._open = self._open, []
        for parcel in opened:
            parcel.count()

    async def count_regularly(self) -> None:
        """Count every COUNT_S seconds, and once more when cancelled; never returns."""
        try:
            while True:
                await asyncio.sleep(COUNT_S)
                self.count()
        finally:
            self.count()


class AnswerAges:
    """The ages of the odds in one answer, counted by source, tier and bucket.

    Odds that no pull of this run has confirmed have no tier and do not count; they are stale.
    """

    def __init__(self, delays: Delays, now: Reading) -> None:
        self._delays = delays
        self._boot_s = now.boot_s
        self._ages: dict[tuple[str, str], tuple[list[int], list[float]]] = {}  # by source and tier

    def add(self, carried: EventSource | None, confirmed_boot_s: float, bookmakers: int) -> None:
        """Count odds of an event that were confirmed at once.

        Args:
            carried: The event at the source of the odds.
            confirmed_boot_s: The boot clock at their confirmation.
            bookmakers: The number of bookmakers whose odds they are.
        """
        if carried is None or not carried.tier or self._boot_s is None:
            return
        age_s = max(0.0, self._boot_s - confirmed_boot_s)
        bucket = bisect_left(DELAY_BUCKETS_S, age_s)
        place = carried.source, carried.tier
        held = self._ages.get(place)
        if held is None:
            buckets = len(DELAY_BUCKETS_S) + 1
            held = self._ages[place] = [0] * buckets, [0.0] * buckets
        times, ages_s = held
        times[bucket] += bookmakers
        ages_s[bucket] += bookmakers * age_s

    def parcel(self, now_s: float) -> Parcel | None:
        """Return the ages as delays that end with the answer, at a time of the monotonic clock.

        The ages in one bucket count as their mean.
        """
        delays = self._delays
        shares = [
            (delays.of(*place).stages[CONFIRMED_ANSWERED], now_s - age_s / count, count)
            for place, (times, ages_s) in self._ages.items()
            for count, age_s in zip(times, ages_s, strict=True)
            if count
        ]
        return Parcel(shares, now_s) if shares else None
