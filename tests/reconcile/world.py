"""A service that watches sources over days, and may restart in between.

Its rows are kept as a store keeps them: by event and source, with the changes of the event.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from odds_service.cache import OddsCache
from odds_service.clock import DrivenClock
from odds_service.feed import ChangeFeed
from odds_service.model.change import Change, EventChange
from odds_service.model.event import EventStatus
from odds_service.model.market import MarketKey
from odds_service.model.match import SourceRef
from odds_service.model.observation import Completeness, Observation, ObservedEvent, Scope
from odds_service.model.snapshot import EventOdds, EventSource
from odds_service.model.source import SourceState
from odds_service.pipeline.channels import WriteQueue
from odds_service.pipeline.detect import Detector
from odds_service.reconcile import Reconciler
from tests.support.observations import observed_event

FIRST = datetime(2026, 8, 4, 18, tzinfo=UTC)  # the start of the first game
H2H = MarketKey("h2h")
SOURCES = ("a", "b", "c")

Row = tuple[str, EventSource]


def game(
    event_id: str,
    home: str = "Yankees",
    away: str = "Red Sox",
    *,
    minutes: float = 0,
    sport: str = "baseball",
    told: EventStatus | None = None,
    ids: Mapping[str, str] = {},
) -> ObservedEvent:
    """Return a game as a source shows it, `minutes` after the start of the first one."""
    shown = observed_event(
        event_id,
        {f"of {event_id}": {H2H: {"home": 1.9, "away": 2.0}}},
        home=home,
        away=away,
        start_time=FIRST + timedelta(minutes=minutes),
    )
    return replace(shown, sport=sport, competition="", status=told, shared_ids=ids)


class World:
    """A service's cache, log and stored rows, at a time that the test sets."""

    def __init__(self) -> None:
        self.at = FIRST - timedelta(days=1)
        self.rows: dict[tuple[str, str], EventSource] = {}
        self.log: list[Change] = []
        self._sequence = 0
        self._open([], [], 0)

    def _open(self, events: Iterable[EventOdds], ghosts: Iterable[Row], revision: int) -> None:
        self.feed = ChangeFeed("e", revision)
        self.first = revision
        states = [SourceState(source=source, interval_s=1e9) for source in SOURCES]
        self.cache = OddsCache(self.feed, events=events, sources=states)
        self.reconciler = Reconciler(self.cache.events.values(), ghosts)
        self.detector = Detector(
            self.cache, self.feed, WriteQueue(10**6), self.reconciler, DrivenClock(lambda: self.at)
        )

    def restart(self) -> None:
        """Restart the service from its stored rows.

        Absences are kept, unlike after a real restart, since they have no bearing on groups.
        """
        ghosts = [
            (event_id, carried)
            for (event_id, _), carried in self.rows.items()
            if carried.departed_at is not None and carried.shown is not None
        ]
        events = [
            replace(
                entry,
                sources={
                    name: replace(self.rows[entry.event.id, name], absences=carried.absences)
                    for name, carried in entry.sources.items()
                },
            )
            for entry in self.cache.events.values()
        ]
        self._open(events, ghosts, self.feed.head_revision)

    def see(self, source: str, *events: ObservedEvent, minute: float | None = None) -> list[Change]:
        """Show everything that one source has, at a minute after the first game's start."""
        moment = timedelta(minutes=1)
        self.at = self.at + moment if minute is None else FIRST + timedelta(minutes=minute)
        self._sequence += 1
        found = self.detector.apply(
            Observation(
                source=source,
                scope=Scope(listing="all"),
                completeness=Completeness.COMPLETE,
                started_at=self.at,
                observed_at=self.at,
                sequence=self._sequence,
                events=events,
            )
        )
        changed = {change.event_id for change in found.changes if isinstance(change, EventChange)}
        rows = [row for commit in found.commits for row in commit.event_sources]
        for event_id, carried in rows:
            erased = carried.departed_at is not None and carried.shown is None
            assert event_id in changed or erased, f"no change of {event_id} takes {carried} along"
            self.rows[event_id, carried.source] = replace(
                carried, applied=None, absences=0, seen_boot_s=None
            )
        self.log += found.changes
        return found.changes

    def drop(self, source: str, *left: ObservedEvent, minute: float | None = None) -> None:
        """Show only `left`, often enough that the rest counts as gone."""
        self.see(source, *left, minute=minute)
        self.see(source, *left)
        self.see(source, *left)

    def settle(self) -> None:
        """Let the reconciler settle what departed meanwhile, without showing anything."""
        nothing = Observation(
            source="c", scope=Scope(listing="none"), completeness=Completeness.PARTIAL,
            started_at=self.at, observed_at=self.at, events=(),
        )  # fmt: skip
        self.detector.apply(nothing)

    def groups(self) -> set[frozenset[SourceRef]]:
        return {
            frozenset((carried.source, carried.source_event_id) for carried in e.sources.values())
            for e in self.cache.events.values()
        }

    def named(self) -> set[str]:
        """Return the groups as text: `a1 b1`."""
        return {" ".join(sorted(ref[1] for ref in members)) for members in self.groups()}
