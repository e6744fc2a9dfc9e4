"""Closing odds from a market's changes: pure functions that all stores share."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from odds_service.model.change import Reason
from odds_service.model.market import AtStart
from odds_service.model.source import (
    STALE_AFTER_INTERVALS,
    SourceState,
    SourceStatus,
    assumed_up,
    event_interval_s,
)

T = TypeVar("T")

# Reasons for which odds go although nobody saw that they are offered no more.
_UNSEEN: Final = frozenset(
    {
        Reason.UNREADABLE,
        Reason.NO_LONGER_ASKED,
        Reason.PURGED,
        Reason.IMPORT_ENDED,
        Reason.MERGED,
        Reason.SPLIT,
    }
)

MarketValues = tuple[str, ...]  # source, bookmaker, market type, line and participant, or more


class Step(NamedTuple, Generic[T]):
    """One change of an event, reduced to the data that closing odds depend on.

    Attributes:
        place: the market; None for the end of the event.
        revision: revision of the change.
        observed_at: time of the observation that brought it.
        offered: the row or change itself if the market is OPEN after it; else None.
        added: whether the market was not there before.
        reason: the reason of the change.
        capture: the snapshot of the look that brought the change; 0 for none. Its id is that of its
            first change, so that it may be below the revision.
    """

    place: MarketValues | None
    revision: int
    observed_at: datetime
    offered: T | None
    added: bool = False
    reason: str = ""
    capture: int = 0


class LastOffer(NamedTuple, Generic[T]):
    """The last OPEN odds of a market before the start.

    Attributes:
        origin: the row or change that brought them.
        replaced_at: the snapshot of the next change, or its revision; None if there is no change.
        until_start: whether they still stood when the event started.
        gone: the change before the start that suspended or removed them; None if until_start.
        opening: the row or change that brought the market's first OPEN odds; None if the log does
            not reach back to when the market was added.
    """

    origin: T
    replaced_at: int | None
    until_start: bool
    gone: Step[T] | None = None
    opening: T | None = None


class SnapshotTimes(Protocol):
    """A snapshot, or a row of one."""

    @property
    def snapshot_id(self) -> int: ...
    @property
    def observed_at(self) -> datetime: ...
    @property
    def confirmed_at(self) -> datetime: ...


class LastOffers(Generic[T]):
    """The last OPEN odds of each market before the start, from the steps of one event.

    Attributes:
        found: market -> its last offer before the start.
    """

    def __init__(self, start_time: datetime) -> None:
        self.found: dict[MarketValues, LastOffer[T]] = {}
        self._start_time = start_time
        self._whole: dict[MarketValues, bool] = {}  # whether the log has it from its beginning

    def take(self, step: Step[T]) -> None:
        """Take the next change of the event's markets, or its end, in the order of the log."""
        found, whole = self.found, self._whole
        before_start = step.observed_at < self._start_time
        gone = step if before_start else None
        if step.place is None:
            for place, offer in found.items():
                if offer.replaced_at is None:
                    found[place] = _replaced(offer, step, gone)
            return
        whole.setdefault(step.place, step.added)
        last = found.get(step.place)
        if before_start and step.offered is not None:
            opening = last.opening if last else step.offered if whole[step.place] else None
            found[step.place] = LastOffer(step.offered, None, True, None, opening)
        elif last is not None and last.replaced_at is None:
            found[step.place] = _replaced(last, step, gone)


def last_offers(steps: Iterable[Step[T]], start_time: datetime) -> dict[MarketValues, LastOffer[T]]:
    """Return the last OPEN odds of each market before the start.

    Args:
        steps: the changes of one event's markets and its ends, in the order of the log.
        start_time: the start of the event.
    """
    offers = LastOffers[T](start_time)
    for step in steps:
        offers.take(step)
    return offers.found


def _replaced(offer: LastOffer[T], step: Step[T], gone: Step[T] | None) -> LastOffer[T]:
    return offer._replace(
        replaced_at=step.capture or step.revision, until_start=gone is None, gone=gone
    )


def at_start(
    offer: LastOffer[T], state: SourceState | None, looked_at: datetime, start_time: datetime
) -> AtStart:
    """Return whether a market was offered at the start, as far as its source was looked at.

    Args:
        offer: the last open odds of the market.
        state: the state of the source at the start; None if unknown.
        looked_at: the last look of the source at the event, not after the start.
        start_time: the start of the event.
    """
    known = state or assumed_up("")
    age_s = (start_time - looked_at).total_seconds()
    if known.status is not SourceStatus.UP:
        return AtStart.NOT_KNOWN
    if age_s > STALE_AFTER_INTERVALS * event_interval_s(known, 0.0):
        return AtStart.NOT_KNOWN
    if offer.gone is None:
        return AtStart.OFFERED
    return AtStart.NOT_KNOWN if offer.gone.reason in _UNSEEN else AtStart.NOT_OFFERED


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
        replaced_at: the first snapshot that did not show them; None if there is none.
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
