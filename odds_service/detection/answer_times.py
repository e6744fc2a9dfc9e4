"""Stale answers from a provider's cache, recognised by times that step back.

A provider's edge may answer with an older body than it did before. The source's own time of a
bookmaker's odds gives such an answer away: for one bookmaker of one event, live feeds never step
back. Over a whole listing they do all the time, so listings are not compared.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from odds_service.model.match import SourceRef
from odds_service.model.observation import (
    Completeness,
    Observation,
    ObservedBookmaker,
    ObservedEvent,
)
from odds_service.model.snapshot import EventOdds, EventSource

STALE_ANSWER: Final = "stale_answer"
ADVANCING_ANSWERS: Final = 3  # behind, but each later than the last: a corrected clock


class _Line(Struct):
    """The newest time of a bookmaker's odds, and the answers behind it since.

    behind: the time of the latest of these answers. run: the number of them in a row whose times
    advance.
    """

    newest: datetime
    behind: datetime | None = None
    run: int = 0

    def takes(self, told: datetime) -> bool:
        """Return whether odds of this time are news, and remember the time."""
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


# (whether the time is the bookmaker's own or its latest market's, bookmaker); the two kinds of
# times are not compared with each other.
_Level = tuple[bool, str]


class AnswerTimes:
    """The newest times that the sources told, per source event and bookmaker.

    They are kept under the sources' own ids, so merges and splits of events do not touch them.
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

        Those count as unreadable: neither applied, nor confirmed, nor gone. An answer that is
        behind in every time that can be compared is a failed fetch.
        """
        if observation.completeness is Completeness.FAILED:
            return observation
        compared = behind = 0
        kept: list[ObservedEvent] = []
        whole: set[str] = set()  # events behind as a whole: also their names and starts are old
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
        """Drop the times of source events that departed."""
        for carried in departed:
            self._lines.pop((carried.source, carried.source_event_id), None)

    def _stale(self, source: str, event: ObservedEvent) -> tuple[int, frozenset[str]]:
        """Return the number of an event's bookmakers that tell a time, and those that step back."""
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
    """Return the source's time of a bookmaker's odds, and whether it is the bookmaker's own."""
    if shown.source_updated_at is not None:
        return shown.source_updated_at, True
    first = next(iter(shown.markets.values()), None)
    if first is None or first.source_updated_at is None:
        return None, False  # a source without times has none in its other markets either
    times = (market.source_updated_at for market in shown.markets.values())
    return max(at for at in times if at is not None), False
