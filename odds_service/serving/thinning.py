"""Points of a line of prices, thinned to what a screen can show."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from odds_service.model.market import Market, MarketStatus

_PER_BUCKET: Final = 4  # the first and the last of a bucket, its low and its high


class Point(Struct, frozen=True, gc=False):
    """The odds from a time on; `market` is None while there are none.

    Attributes:
        at: The time of detection, or the start of the span.
        seen_at: The time of the observation that brought them.
    """

    at: datetime
    market: Market | None
    seen_at: datetime

    @property
    def offered(self) -> bool:
        return self.market is not None and self.market.status is MarketStatus.OPEN

    @property
    def level(self) -> float | None:
        """The price by which highs and lows are judged: that of the first outcome with one."""
        outcomes = () if self.market is None else self.market.outcomes
        return next((each.price for each in outcomes if each.price is not None), None)


def thin(points: Sequence[Point], most: int, keep: Iterable[int] = ()) -> list[Point]:
    """Return at most `most` points in order: first and last, highs and lows, and those to keep.

    Args:
        points: The points in order.
        most: The most points to return, at least 10.
        keep: Indices of up to two more points to keep.
    """
    if len(points) <= most:
        return list(points)
    kept = {0, len(points) - 1, *keep}
    buckets = (most - 4) // _PER_BUCKET
    for bucket in range(buckets):
        begin, end = (len(points) * each // buckets for each in (bucket, bucket + 1))
        kept |= {begin, end - 1}
        levels = [
            (level, place)
            for place in range(begin, end)
            if (level := points[place].level) is not None
        ]
        if levels:
            kept |= {min(levels)[1], max(levels)[1]}
    return [points[place] for place in sorted(kept)]
