"""Sources that show events by name, and the groups that a reconciler makes of them."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import NamedTuple

from odds_service.model.match import SourceRef
from odds_service.model.observation import Completeness, Observation, ObservedEvent, Scope
from odds_service.model.snapshot import EventSource
from odds_service.reconcile import Reconciler

KICK_OFF = datetime(2026, 5, 6, 11, tzinfo=UTC)


def shown(
    event_id: str,
    home: str,
    away: str,
    *,
    minutes: float = 0,
    start: datetime = KICK_OFF,
    sport: str = "soccer",
    competition: str = "",
    ids: Mapping[str, str] = {},
) -> ObservedEvent:
    """Return an event as a source shows it, without odds, `minutes` after the start."""
    return ObservedEvent(
        source_event_id=event_id,
        sport=sport,
        competition=competition,
        home=home,
        away=away,
        start_time=start + timedelta(minutes=minutes),
        bookmakers=(),
        shared_ids=ids,
    )


def observed(source: str, events: Iterable[ObservedEvent], minute: float = 0) -> Observation:
    at = KICK_OFF - timedelta(days=1) + timedelta(minutes=minute)
    return Observation(
        source=source,
        scope=Scope(),
        completeness=Completeness.PARTIAL,
        started_at=at,
        observed_at=at,
        sequence=round(at.timestamp()),
        events=tuple(events),
    )


def gone(
    reconciler: Reconciler, refs: Iterable[SourceRef], minute: float | None = None
) -> list[EventSource]:
    """Return departed source events, as detection gives them.

    minute: the minute of their departure; None: they are not remembered.
    """
    at = None if minute is None else KICK_OFF + timedelta(minutes=minute)
    found = []
    for source, event_id in refs:
        placed = reconciler.placed((source, event_id))
        found.append(EventSource(source, event_id, None, None, shown=placed.shown, departed_at=at))
    return found


def partition(reconciler: Reconciler, refs: Iterable[SourceRef]) -> set[frozenset[SourceRef]]:
    """Return the source events, grouped by the event that they are placed in."""
    found: dict[str, set[SourceRef]] = {}
    for source, event_id in refs:
        placed = reconciler.placed((source, event_id))
        found.setdefault(placed.event_id, set()).add((source, event_id))
    return {frozenset(members) for members in found.values()}


class Verdict(NamedTuple):
    """Pairs of source events: rightly joined, wrongly joined, and missed."""

    right: int
    wrong: list[tuple[SourceRef, SourceRef]]
    missed: list[tuple[SourceRef, SourceRef]]

    @property
    def precision(self) -> float:
        return self.right / (self.right + len(self.wrong))

    @property
    def recall(self) -> float:
        return self.right / (self.right + len(self.missed))


def judge(
    found: Collection[frozenset[SourceRef]], truth: Collection[frozenset[SourceRef]]
) -> Verdict:
    joined = {pair for group in found for pair in combinations(sorted(group), 2)}
    right = {pair for group in truth for pair in combinations(sorted(group), 2)}
    return Verdict(len(joined & right), sorted(joined - right), sorted(right - joined))
