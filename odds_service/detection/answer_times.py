"""Detection of stale answers from a provider's cache, by times that step back.

An edge server of the provider may return an older body than before. The source's own timestamp of
a bookmaker's odds reveals it: for one bookmaker of one event, live feeds never step back. Over a
whole listing they constantly do, so listings are not compared.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from odds_service.model.market import times_of
from odds_service.model.match import SourceRef
from odds_service.model.observation import (
    Completeness,
    Observation,
    ObservedBookmaker,
    ObservedEvent,
)
from odds_service.model.snapshot import EventOdds, EventSource

STALE_ANSWER: Final = "stale_answer"
ADVANCING_ANSWERS: Final = 3  # this many in a row that are behind, but advance: a corrected clock


class _Line(Struct):
    """The newest time of a bookmaker's odds, and the answers since then that were older.

    `behind` is the time of the last older answer, and `run` the number of consecutive older answers
    whose times advance.
    """

    newest: datetime
    behind: datetime | None = None
    run: int = 0

    def takes(self, told: datetime) -> bool:
        """Return whether odds of this time are current, and remember the time."""
        if told < self.newest:
            if self.behind is None or told < self.behind:
                self.run = 1
            elif told > self.behind:
                self.run += 1
            self.behind = told
            if self.run < ADVANCING_ANSWERS:
                return False
        self.newest, self.behind, self.run = told, None, 0
        return True


# (True for the bookmaker's own time, False for that of its latest market; bookmaker). Times of the
# two kinds are not compared.
_Level = tuple[bool, str]


class AnswerTimes:
    """The newest timestamps from the sources, per source event and bookmaker.

    The sources' own ids are the keys, so merges and splits of events do not affect them.
    """

    def __init__(self, events: Mapping[str, EventOdds]) -> None:
        self._lines: dict[SourceRef, dict[_Level, _Line]] = {}
        for entry in events.values():
            for (source, bookmaker), odds in entry.bookmakers.items():
                carried = entry.sources.get(source)
                if carried is not None and odds.source_updated_at is not None:
                    of_event = self._lines.setdefault((source, carried.source_event_id), {})
                    of_event[True, bookmaker] = _Line(odds.source_updated_at)

    def sift(self, observation: Observation) -> Observation:
        """Return an observation without the bookmakers whose time steps back.

        These bookmakers count as unreadable: neither applied, nor confirmed, nor gone. If every
        comparable time steps back, the fetch has failed.
        """
        if observation.completeness is Completeness.FAILED:
            return observation
        compared = behind = 0
        kept: list[ObservedEvent] = []
        whole: set[str] = set()  # stale events, whose names and starts are old too
        for event in observation.events:
            told, stale = self._stale(observation.source, event)
            compared += told
            behind += len(stale)
            if not stale:
                kept.append(event)
            elif len(stale) == len(event.bookmakers):
                whole.add(event.source_event_id)
            else:
                fresh = tuple(each for each in event.bookmakers if each.bookmaker not in stale)
                kept.append(replace(event, bookmakers=fresh, unreadable=event.unreadable | stale))
        if not behind:
            return observation
        problems = {STALE_ANSWER: behind} | observation.problems
        if behind == compared:
            return replace(
                observation,
                completeness=Completeness.FAILED,
                events=(),
                reason=STALE_ANSWER,
                problems=problems,
            )
        return replace(
            observation,
            events=tuple(kept),
            unreadable=observation.unreadable | whole,
            problems=problems,
        )

    def forget(self, departed: Iterable[EventSource]) -> None:
        """Drop the times of departed source events."""
        for carried in departed:
            self._lines.pop((carried.source, carried.source_event_id), None)

    def _stale(self, source: str, event: ObservedEvent) -> tuple[int, frozenset[str]]:
        """Return the number of bookmakers of an event with a time, and the stale bookmakers."""
        known = self._lines.setdefault((source, event.source_event_id), {})
        told = 0
        stale: set[str] = set()
        for shown in event.bookmakers:
            at, own = _told_by(shown)
            if at is None:
                continue
            told += 1
            line = known.get((own, shown.bookmaker))
            if line is None:
                known[own, shown.bookmaker] = _Line(at)
            elif not line.takes(at):
                stale.add(shown.bookmaker)
        return told, frozenset(stale)


def _told_by(shown: ObservedBookmaker) -> tuple[datetime | None, bool]:
    """Return the timestamp of a bookmaker's odds, and whether it is the bookmaker's own."""
    if shown.source_updated_at is not None:
        return shown.source_updated_at, True
    times = times_of(shown.markets)
    if not times or times[0] is None:
        return None, False  # if one market has no time, the source gives none at all
    return max(at for at in times if at is not None), False
