"""Closing odds from the log of a memory."""

from collections.abc import Iterator
from datetime import datetime

from odds_service.errors import BelowFloor
from odds_service.model.change import ChangeKind, EventChange, MarketChange, SourceChange
from odds_service.model.market import MarketStatus
from odds_service.model.source import SourceState, SourceStatus
from odds_service.storage.closing import Step, at_start, last_offers, last_seen
from odds_service.storage.memory import Memory
from odds_service.storage.memory_past import revision_at, sources_at, successes
from odds_service.storage.successes import earliest_success
from odds_service.store import ClosingOdds


def closing_of(memory: Memory, event_id: str) -> Iterator[ClosingOdds]:
    """Yield the closing odds of an event, as far as the log reaches back."""
    start_time = memory.events[event_id].event.start_time
    steps = [
        _step(change)
        for change in memory.changes(memory.floor_revision, memory.durable_revision)
        if not isinstance(change, SourceChange)
        and change.event_id == event_id
        and change.revision not in memory.refused
        and (isinstance(change, MarketChange) or change.kind is ChangeKind.EVENT_ENDED)
    ]
    looks = _Looks(memory, event_id, start_time)
    offers = last_offers(steps, start_time)
    for place in sorted(offers):
        offer = offers[place]
        change, gone = offer.origin, offer.gone
        captures = [
            snapshot
            for snapshot in memory.snapshots.values()
            if (snapshot.event_id, snapshot.source, snapshot.bookmaker)
            == (event_id, change.source, change.bookmaker)
        ]
        confirmed_at, overwritten = last_seen(
            captures, change.snapshot_id, offer.replaced_at, change.observed_at, start_time
        )
        if overwritten:
            confirmed_at = looks.last(change.source, confirmed_at)
        looked_at = confirmed_at
        if gone is not None:
            looked_at, _ = last_seen(
                captures, offer.replaced_at or 0, None, gone.observed_at, start_time
            )
            looked_at = looks.last(change.source, looked_at)
        yield ClosingOdds(
            event_id,
            start_time,
            change.source,
            change.bookmaker,
            change.after,
            confirmed_at,
            at_start(offer, looks.states.get(change.source), looked_at, start_time),
            looked_at,
            None if offer.opening is None else offer.opening.after,
        )


class _Looks:
    """The looks of sources at an event before its start; the twin of storage.reads.looks.

    Attributes:
        states: the known states of sources at the start.
    """

    def __init__(self, memory: Memory, event_id: str, start_time: datetime) -> None:
        self.states = _states(memory, start_time)
        self._memory = memory
        self._event_id = event_id
        self._start_time = start_time

    def last(self, source: str, seen_at: datetime) -> datetime:
        """Return the time of a source's last look at the event before its start.

        Args:
            source: a source that carries it.
            seen_at: a known look at or before the start; never later than the result.
        """
        memory = self._memory
        carried = memory.carried.get((self._event_id, source))
        pulls = set() if carried is None else {carried.listing, carried.source_event_id}
        looks = [
            run.finished_at
            for run in successes(memory, seen_at, self._start_time)
            if run.source == source and run.listing in pulls
        ]
        runs = memory.runs
        if looks or (runs and min(started_at for started_at, _, _ in runs) <= seen_at):
            return max(looks, default=seen_at)
        return self._earliest(source, seen_at)

    def _earliest(self, source: str, seen_at: datetime) -> datetime:
        """Return the earliest possible time of the last look: the record of pulls is gone."""
        state, start_time = self.states.get(source), self._start_time
        if state is None:
            return seen_at
        bound = earliest_success(state, start_time, seen_at)
        if state.status is SourceStatus.UP and not _answered(
            self._memory, source, bound, start_time
        ):
            return seen_at  # the service may have been stopped, of which the log says nothing
        return bound


def _answered(memory: Memory, source: str, since: datetime, until: datetime) -> bool:
    """Return whether a change shows that a source answered between two times."""
    try:
        after, upto = revision_at(memory, since), revision_at(memory, until)
    except BelowFloor:
        return False
    return any(
        change.source == source
        and since <= change.observed_at <= until
        and change.kind not in (ChangeKind.SOURCE_STALE, ChangeKind.SOURCE_DOWN)
        for change in memory.changes(after, upto)
        if not memory.is_unknown(change.revision)
    )


def _states(memory: Memory, at: datetime) -> dict[str, SourceState]:
    """Return the known states of sources at a time."""
    try:
        revision = revision_at(memory, at)
    except BelowFloor:
        return {}
    return {state.source: state for state in sources_at(memory, revision, at)}


def _step(change: EventChange | MarketChange) -> Step[MarketChange]:
    if isinstance(change, EventChange):
        return Step(None, change.revision, change.observed_at, None, reason=change.reason)
    place = (change.source, change.bookmaker, *change.after.key)
    offered = change if change.after.status is MarketStatus.OPEN else None
    added = change.kind is ChangeKind.ADDED
    return Step(
        place,
        change.revision,
        change.observed_at,
        offered,
        added,
        change.reason,
        change.snapshot_id,
    )
