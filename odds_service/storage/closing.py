"""Closing odds from a market's changes: pure functions that all stores share."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Generic, NamedTuple, Protocol, TypeVar

T = TypeVar("T")

MarketValues = tuple[str, ...]  # source, bookmaker, market type, line and participant, or more


class Step(NamedTuple, Generic[T]):
    """One change of an event, reduced to the data that closing odds depend on.

    Attributes:
        place: the market; None for the end of the event.
        revision: revision of the change.
        observed_at: time of the observation that brought it.
        offered: the row or change itself if the market is OPEN after it; else None.
    """

    place: MarketValues | None
    revision: int
    observed_at: datetime
    offered: T | None


class LastOffer(NamedTuple, Generic[T]):
    """The last OPEN odds of a market before the start.

    Attributes:
        origin: the row or change that brought them.
        replaced_at: revision of the next change; None if there is none.
        until_start: whether they still stood when the event started.
    """

    origin: T
    replaced_at: int | None
    until_start: bool


class SnapshotTimes(Protocol):
    """A snapshot, or a row of one."""

    @property
    def snapshot_id(self) -> int: ...
    @property
    def observed_at(self) -> datetime: ...
    @property
    def confirmed_at(self) -> datetime: ...


def last_offers(steps: Iterable[Step[T]], start_time: datetime) -> dict[MarketValues, LastOffer[T]]:
    """Return the last OPEN odds of each market before the start.

    Args:
        steps: the changes of one event's markets and its ends, in the order of the log.
        start_time: the start of the event.
    """
    found: dict[MarketValues, LastOffer[T]] = {}
    for step in steps:
        before_start = step.observed_at < start_time
        if step.place is None:
            for place, offer in found.items():
                if offer.replaced_at is None:
                    found[place] = LastOffer(offer.origin, step.revision, not before_start)
        elif before_start and step.offered is not None:
            found[step.place] = LastOffer(step.offered, None, True)
        elif step.place in found and found[step.place].replaced_at is None:
            origin = found[step.place].origin
            found[step.place] = LastOffer(origin, step.revision, not before_start)
    return found


def last_seen(
    captures: Iterable[SnapshotTimes],
    first: int,
    replaced_at: int | None,
    observed_at: datetime,
    start_time: datetime,
) -> tuple[datetime, bool]:
    """Return the last time at or before the start at which odds were seen true.

    Args:
        captures: the snapshots of the bookmaker for this event.
        first: id of the snapshot that brought the odds.
        replaced_at: revision of the change that replaced them; None if there is none.
        observed_at: time at which they were first seen.
        start_time: the start of the event.

    Returns:
        The time, and whether looks after the start may have overwritten a later one before it.
    """
    times = [observed_at]
    for capture in captures:
        if capture.snapshot_id >= first and (
            replaced_at is None or capture.snapshot_id < replaced_at
        ):
            times += capture.observed_at, capture.confirmed_at
    before: Sequence[datetime] = [time for time in times if time <= start_time]
    return max(before), len(before) < len(times)
